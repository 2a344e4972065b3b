"""Ollama's requests and answers, as types: pure translation to and from payloads.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh import __version__
from mesh.agent.gateway.names import KnownModel
from mesh.agent.gateway.openai import BadRequest, check_dimensions, read
from mesh.errors import MeshError
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import TEXT_BYTES_MAX, payload_of, vectors_of

CAPABILITIES = {"embeddings": "embedding", "chat": "completion", "ocr": "vision"}
"""What Ollama calls the kinds of work."""
NS_PER_S = 1_000_000_000
_UNDATED = "1970-01-01T00:00:00Z"
"""Models of the catalogue have no date; clients want one."""
_FAR = "9999-12-31T23:59:59Z"


class EmbedRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/embed. ``options`` and ``keep_alive`` are ignored: engines idle by their own rule."""

    model: str
    input: str | list[str]
    truncate: bool | None = None
    dimensions: int | None = None


class OldEmbedRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/embeddings, from before /api/embed: one text."""

    model: str
    prompt: str


class ShowRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/show; older clients say ``name``."""

    model: str = ""
    name: str = ""


_embed: msgspec.json.Decoder[EmbedRequest] = msgspec.json.Decoder(EmbedRequest)
_old_embed: msgspec.json.Decoder[OldEmbedRequest] = msgspec.json.Decoder(OldEmbedRequest)
_show: msgspec.json.Decoder[ShowRequest] = msgspec.json.Decoder(ShowRequest)
_encode = msgspec.json.Encoder().encode


def error_body(error: MeshError) -> bytes:
    """An error in Ollama's shape, with its code beside the words."""
    extra = {name: error.facts[name] for name in ("percent", "eta_s") if name in error.facts}
    return _encode({"error": error.message, "code": error.wire_code, **extra})


# --- embeddings -------------------------------------------------------------------------------------------------------


def read_embed(body: bytes) -> tuple[EmbedRequest, Payload]:
    """Read a request and make the payload of it. Too long texts are cut, unless ``truncate`` is false.

    Raises BadRequest, BadInput.
    """
    request = read(_embed, body)
    texts = [request.input] if isinstance(request.input, str) else request.input
    if request.truncate is False:
        return request, payload_of(texts)
    return request, payload_of([_cut(text) for text in texts], cut=True)


def read_old_embed(body: bytes) -> tuple[OldEmbedRequest, Payload]:
    """Read a request of the old form; too long texts are cut. Raises BadRequest, BadInput."""
    request = read(_old_embed, body)
    return request, payload_of([_cut(request.prompt)], cut=True)


def embed_answer(request: EmbedRequest, result: Payload, took_s: float) -> bytes:
    """The answer's body. Raises BadRequest where the model has another width than was asked for."""
    check_dimensions(request.dimensions, int(result.manifest["dim"]))
    return _encode(
        {
            "model": request.model,
            "embeddings": vectors_of(result),
            "total_duration": int(took_s * NS_PER_S),
            "load_duration": 0,
            "prompt_eval_count": result.manifest["tokens"],
        }
    )


def old_embed_answer(result: Payload) -> bytes:
    """The answer's body in the old form."""
    return _encode({"embedding": vectors_of(result)[0]})


def _cut(text: str) -> str:
    """As much of a text as a job may carry; the model's own limit is kept where its tokenizer is."""
    if len(text) * 4 <= TEXT_BYTES_MAX:
        return text
    raw = text.encode(errors="surrogatepass")
    return text if len(raw) <= TEXT_BYTES_MAX else raw[:TEXT_BYTES_MAX].decode(errors="ignore")


# --- models -----------------------------------------------------------------------------------------------------------


def tags_answer(known: list[KnownModel]) -> bytes:
    """The body of GET /api/tags."""
    return _encode({"models": [_model(one) for one in known]})


def ps_answer(known: list[KnownModel]) -> bytes:
    """The body of GET /api/ps: the models that are loaded on a device of one's own."""
    return _encode({"models": [{**_model(one), "expires_at": _FAR, "size_vram": 0} for one in known if one.warm]})


def read_show(body: bytes) -> str:
    """The model that is asked about. Raises BadRequest, BadInput."""
    request = read(_show, body)
    name = request.model or request.name
    if not name:
        raise BadRequest("The request names no model.")
    return name


def show_answer(one: KnownModel) -> bytes:
    """The body of POST /api/show."""
    info: dict[str, Any] = {"general.architecture": one.workload, "mesh.devices": one.devices, "mesh.warm": one.warm}
    if one.dim is not None:
        info[f"{one.workload}.embedding_length"] = one.dim
    return _encode(
        {
            "license": one.licence,
            "modelfile": "",
            "parameters": "",
            "template": "",
            "system": "",
            "details": _details(one),
            "model_info": info,
            "capabilities": [CAPABILITIES.get(one.workload, one.workload)],
            "modified_at": _UNDATED,
        }
    )


def version_answer() -> bytes:
    """The body of GET /api/version: ours."""
    return _encode({"version": __version__})


def _model(one: KnownModel) -> dict[str, Any]:
    return {
        "name": one.id,
        "model": one.id,
        "modified_at": _UNDATED,
        "size": one.size_bytes,
        "digest": one.digest,
        "details": _details(one),
    }


def _details(one: KnownModel) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "mesh",
        "family": one.workload,
        "families": [one.workload],
        "parameter_size": "",
        "quantization_level": "",
    }
