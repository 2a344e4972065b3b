"""OpenAI's requests and answers for embeddings and models, as types; to and from payloads.

Touches: nothing.
"""

import base64
from typing import Any, Literal

import msgspec

from mesh.errors import MeshError
from mesh.workloads.catalogue import BUILTIN
from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.embeddings import FLOAT_BYTES, payload_of, vectors_of


class BadRequest(MeshError):
    """The request is not one that this gateway understands. Change what the message names."""

    code = "gateway.bad_request"
    kind = "invalid"


class UnknownModel(MeshError):
    """No such model is offered here. `GET /v1/models` lists those that are."""

    code = "gateway.model_not_found"
    kind = "not_found"


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """The body of POST /v1/embeddings. ``user`` and unknown fields are ignored."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


_requests: msgspec.json.Decoder[EmbeddingsRequest] = msgspec.json.Decoder(EmbeddingsRequest)
_encode = msgspec.json.Encoder().encode


def read_embeddings(body: bytes) -> tuple[EmbeddingsRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput, UnknownModel."""
    try:
        request = _requests.decode(body)
    except UnicodeDecodeError as error:
        raise BadInput("The body is not valid UTF-8. Correct its encoding and send it again.") from error
    except msgspec.ValidationError as error:
        raise BadRequest(f"The request does not fit: {error}.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error
    if request.model not in models("embeddings"):
        raise UnknownModel
    texts = [request.input] if isinstance(request.input, str) else request.input
    if any(not isinstance(text, str) for text in texts):
        raise BadRequest("`input` must be text or a list of texts: token numbers belong to other models' tokenizers.")
    return request, payload_of([str(text) for text in texts])


def embeddings_answer(request: EmbeddingsRequest, result: Payload) -> bytes:
    """The answer's body. Raises BadRequest where the model has another width than was asked for."""
    manifest = result.manifest
    width = int(manifest["dim"])
    if request.dimensions not in (None, width):
        raise BadRequest(f"This model's vectors have {width} dimensions; others cannot be had of it.")
    vectors: list[Any]
    if request.encoding_format == "base64":
        row, blob = width * FLOAT_BYTES, result.blobs[0]
        starts = range(0, len(blob), row)
        vectors = [base64.b64encode(blob[start : start + row]).decode() for start in starts]
    else:
        vectors = vectors_of(result)
    return _encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": manifest["tokens"], "total_tokens": manifest["tokens"]},
        }
    )


def models(workload: str | None = None) -> list[str]:
    """Ids of the models that this version knows."""
    return [entry.id for entry in BUILTIN if workload in (None, entry.workload)]


def models_answer() -> bytes:
    """The body of GET /v1/models."""
    listed = [{"id": model, "object": "model", "created": 0, "owned_by": "mesh"} for model in models()]
    return _encode({"object": "list", "data": listed})
