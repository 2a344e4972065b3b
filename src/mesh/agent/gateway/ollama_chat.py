"""Ollama's chat and generate, as types: pure translation to and from payloads, whole and line by line.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.agent.asking.asked import Join
from mesh.agent.gateway.ollama import NS_PER_S
from mesh.agent.gateway.openai import BadRequest, read
from mesh.workloads.chat import payload_of, prompt_payload
from mesh.workloads.contract import Payload


class Options(msgspec.Struct, frozen=True):
    """How an answer is made; other options are the engine's own affair and are ignored."""

    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None


class Message(msgspec.Struct, frozen=True):
    """A message."""

    role: str
    content: str = ""
    images: list[Any] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What both have in common. They stream unless told not to; ``keep_alive`` is ignored."""

    model: str
    stream: bool | None = True
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    resume: bool | None = False
    """Mesh's own: a stream that breaks goes on at another device, after an empty line with ``mesh.joined``."""


class ChatRequest(Asked, frozen=True, kw_only=True):
    """The body of POST /api/chat."""

    messages: list[Message] = []
    tools: list[Any] | None = None


class GenerateRequest(Asked, frozen=True, kw_only=True):
    """The body of POST /api/generate; ``raw``: the text goes on as it is, without the model's template for chats."""

    prompt: str = ""
    system: str = ""
    raw: bool | None = False
    suffix: str | None = None
    images: list[Any] | None = None


_chat: msgspec.json.Decoder[ChatRequest] = msgspec.json.Decoder(ChatRequest)
_generate: msgspec.json.Decoder[GenerateRequest] = msgspec.json.Decoder(GenerateRequest)
_encode = msgspec.json.Encoder().encode


def read_chat(body: bytes) -> tuple[ChatRequest, Payload]:
    """Read a request and make the payload of it; the oldest messages are left out where they do not fit, as there.

    Raises BadRequest, BadInput.
    """
    request = read(_chat, body)
    if request.tools:
        raise BadRequest("`tools` are not supported here: leave them out.")
    if any(one.images for one in request.messages):
        raise BadRequest("Only text can be said to this model: leave images out.")
    said = [(one.role, one.content) for one in request.messages]
    return request, payload_of(said, **_settings(request), trim=True)


def read_generate(body: bytes) -> tuple[GenerateRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput."""
    request = read(_generate, body)
    if request.images or request.suffix:
        raise BadRequest("`images` and `suffix` are not supported here: leave them out.")
    if request.raw:
        return request, prompt_payload(request.prompt, **_settings(request))
    said = [("user", request.prompt)]
    if request.system:
        said = [("system", request.system), *said]
    return request, payload_of(said, **_settings(request), trim=True)


def _settings(request: Asked) -> dict[str, Any]:
    options = request.options or Options()
    wanted: bool | dict[str, Any] | None = None
    if isinstance(request.format, dict):
        wanted = request.format
    elif request.format:
        if request.format != "json":
            raise BadRequest('`format` is "json", or a JSON schema.')
        wanted = True
    limit = options.num_predict
    return {
        "max_tokens": None if limit is None or limit < 0 else limit,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "stop": options.stop or None,
        "json": wanted,
    }


# --- answers ----------------------------------------------------------------------------------------------------------


class Form:
    """How one request is answered: ``chat`` in messages, else in plain pieces of a response."""

    def __init__(self, model: str, created: str, *, chat: bool) -> None:
        self._start = {"model": model, "created_at": created}
        self._chat = chat

    def piece(self, text: str) -> bytes:
        """A line with a piece of the text."""
        return _encode({**self._start, **self._said(text), "done": False}) + b"\n"

    def joined(self, join: Join) -> bytes:
        """A line without text, where it goes on as another job."""
        told = {"joined": msgspec.to_builtins(join)}
        return _encode({**self._start, **self._said(""), "done": False, "mesh": told}) + b"\n"

    def last(self, text: str, result: Payload, charge: int, took_s: float) -> bytes:
        """The last line, or the whole answer: ``text`` is what was not said yet."""
        took_ns = int(took_s * NS_PER_S)
        return (
            _encode(
                {
                    **self._start,
                    **self._said(text),
                    "done": True,
                    "done_reason": result.manifest["finish"],
                    "total_duration": took_ns,
                    "load_duration": 0,
                    "prompt_eval_count": result.manifest["prompt_tokens"],
                    "prompt_eval_duration": 0,
                    "eval_count": result.manifest["tokens"],
                    "eval_duration": took_ns,
                    "usage": {"charge": charge},
                }
            )
            + b"\n"
        )

    def _said(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}} if self._chat else {"response": text}
