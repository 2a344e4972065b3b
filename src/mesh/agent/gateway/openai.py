"""OpenAI's requests and answers, as types: pure translation to and from payloads.

Touches: nothing.
"""

import base64
from typing import Any, Literal, TypeVar

import msgspec

from mesh.agent.gateway.names import AUTO, KnownModel
from mesh.errors import KINDS, MeshError
from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.embeddings import FLOAT_BYTES, payload_of, vectors_of

T = TypeVar("T")


class BadRequest(MeshError):
    """The request is not one that this gateway understands. Change what the message names."""

    code = "gateway.bad_request"
    kind = "invalid"


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """The body of POST /v1/embeddings. ``user`` and unknown fields are ignored."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


_ERROR_TYPES = {
    "unauthenticated": "authentication_error",
    "forbidden": "permission_error",
    "too_many": "rate_limit_error",
    "not_found": "not_found_error",
}
_embeddings: msgspec.json.Decoder[EmbeddingsRequest] = msgspec.json.Decoder(EmbeddingsRequest)
_encode = msgspec.json.Encoder().encode


def error_body(error: MeshError) -> bytes:
    """An error in OpenAI's shape; while a model loads, with ``percent``, and ``eta_s`` where it is known."""
    kind = error.wire_kind
    type_ = _ERROR_TYPES.get(kind, "invalid_request_error" if KINDS[kind].status < 500 else "server_error")
    extra = {name: error.facts[name] for name in ("percent", "eta_s") if name in error.facts}
    return _encode(
        {"error": {"message": error.message, "type": type_, "param": None, "code": error.wire_code, **extra}}
    )


def read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode a body. Raises BadRequest, BadInput."""
    try:
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise BadInput("The body is not valid UTF-8. Correct its encoding and send it again.") from error
    except msgspec.ValidationError as error:
        raise BadRequest(f"The request does not fit: {error}.") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error


# --- embeddings -------------------------------------------------------------------------------------------------------


def read_embeddings(body: bytes) -> tuple[EmbeddingsRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput."""
    request = read(_embeddings, body)
    texts = [request.input] if isinstance(request.input, str) else request.input
    if any(not isinstance(text, str) for text in texts):
        raise BadRequest("`input` must be text or a list of texts: token numbers belong to other models' tokenizers.")
    return request, payload_of([str(text) for text in texts])


def check_dimensions(wanted: int | None, width: int | None) -> None:
    """Refuse another width than the model's own: cut vectors would be another model's. Raises BadRequest."""
    if wanted is not None and width is not None and wanted != width:
        raise BadRequest(f"This model's vectors have {width} dimensions; others cannot be had of it.")


def embeddings_answer(request: EmbeddingsRequest, result: Payload) -> bytes:
    """The answer's body. Raises BadRequest where the model has another width than was asked for."""
    manifest = result.manifest
    width = int(manifest["dim"])
    check_dimensions(request.dimensions, width)
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


# --- models -----------------------------------------------------------------------------------------------------------


def models_answer(known: list[KnownModel]) -> bytes:
    """The body of GET /v1/models: the workloads' own choice first."""
    auto = {"id": AUTO, "object": "model", "created": 0, "owned_by": "mesh"}
    return _encode({"object": "list", "data": [auto, *(_model(one) for one in known)]})


def model_answer(id: str, known: list[KnownModel]) -> bytes | None:
    """The body of GET /v1/models/{id}; None where there is no such model."""
    if id == AUTO:
        return _encode({"id": AUTO, "object": "model", "created": 0, "owned_by": "mesh"})
    found = [one for one in known if one.id == id]
    return _encode(_model(found[0])) if found else None


def _model(one: KnownModel) -> dict[str, Any]:
    """OpenAI's fields, and ours: workload, licence, size, and where it is loaded."""
    return {
        "id": one.id,
        "object": "model",
        "created": 0,
        "owned_by": "mesh",
        "workload": one.workload,
        "licence": one.licence,
        "size_bytes": one.size_bytes,
        "present": one.present,
        "warm": one.warm,
        "devices": one.devices,
    }
