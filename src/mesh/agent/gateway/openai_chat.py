"""OpenAI's chat and completions, as types: pure translation to and from payloads, whole and chunk by chunk.

Touches: nothing.
"""

from typing import Any, Literal

import msgspec

from mesh.agent.asking.asked import Join
from mesh.agent.gateway.openai import BadRequest, read
from mesh.workloads.chat import payload_of, prompt_payload
from mesh.workloads.contract import Payload

PROMPT_TOKENS = 16
"""What a completion has where nobody says: OpenAI's own default."""
DONE = b"data: [DONE]\n\n"


class Part(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str = "text"
    text: str = ""


class Message(msgspec.Struct, frozen=True):
    """A message: plain text, or text in parts."""

    role: str
    content: str | list[Part] | None = None


class JsonSchema(msgspec.Struct, frozen=True):
    """The schema that an answer is to keep to."""

    schema: dict[str, Any] | None = None


class Format(msgspec.Struct, frozen=True):
    """The form of an answer. The Responses API has ``schema`` here, the others in ``json_schema``."""

    type: str = "text"
    json_schema: JsonSchema | None = None
    schema: dict[str, Any] | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream says beside the text."""

    include_usage: bool = False


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """What chat and completions have in common. Unknown fields are ignored."""

    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    resume: bool | None = False
    """Mesh's own: a stream that breaks goes on at another device, after a chunk with ``mesh.joined``."""

    @property
    def usage_apart(self) -> bool:
        """Whether usage comes in a last chunk of its own."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Sampling, frozen=True, kw_only=True):
    """The body of POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    response_format: Format | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None


class CompletionRequest(Sampling, frozen=True, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    logprobs: int | None = None


class Head(msgspec.Struct, frozen=True):
    """What every chunk of one answer says again: its id, when it began, and the model as it was asked for."""

    id: str
    created: int
    model: str


_chat: msgspec.json.Decoder[ChatRequest] = msgspec.json.Decoder(ChatRequest)
_completion: msgspec.json.Decoder[CompletionRequest] = msgspec.json.Decoder(CompletionRequest)
_encode = msgspec.json.Encoder().encode


def read_chat(body: bytes) -> tuple[ChatRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput."""
    request = read(_chat, body)
    _only_one(request)
    if request.tools:
        raise BadRequest("`tools` are not supported here: leave them out.")
    if request.logprobs:
        raise BadRequest("`logprobs` are not supported here: leave them out.")
    limit = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
    settings = {**_settings(request), "max_tokens": limit, "json": json_of(request.response_format)}
    return request, payload_of(messages_of(request.messages), **settings)


def read_completion(body: bytes) -> tuple[CompletionRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput."""
    request = read(_completion, body)
    _only_one(request)
    if request.suffix or request.logprobs:
        raise BadRequest("`suffix` and `logprobs` are not supported here: leave them out.")
    prompt = request.prompt
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise BadRequest("`prompt` must be one text: token numbers belong to other models' tokenizers.")
        prompt = prompt[0]
    limit = PROMPT_TOKENS if request.max_tokens is None else request.max_tokens
    return request, prompt_payload(prompt, **{**_settings(request), "max_tokens": limit})


def messages_of(messages: list[Message]) -> list[tuple[str, str]]:
    """Role and text of each message. Raises BadRequest."""
    return [("system" if one.role == "developer" else one.role, text_of(one.content)) for one in messages]


def text_of(content: str | list[Part] | None) -> str:
    """The text of a content. Raises BadRequest for what is no text."""
    if isinstance(content, list):
        if any(part.type not in ("text", "input_text", "output_text") for part in content):
            raise BadRequest("Only text can be said to this model: leave images, sound and files out.")
        return "".join(part.text for part in content)
    return content or ""


def json_of(wanted: Format | None) -> bool | dict[str, Any] | None:
    """Which JSON an answer is to be: any, of a schema, or none at all. Raises BadRequest."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return True
    schema = wanted.json_schema.schema if wanted.json_schema is not None else wanted.schema
    if wanted.type != "json_schema" or schema is None:
        raise BadRequest("The format of an answer is `text`, `json_object`, or `json_schema` with its schema.")
    return schema


def _only_one(request: Sampling) -> None:
    if request.n not in (None, 1):
        raise BadRequest("One answer is made for a request: `n` must be 1.")


def _settings(request: Sampling) -> dict[str, Any]:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    sampling = {"temperature": request.temperature, "top_p": request.top_p, "seed": request.seed}
    return {**sampling, "stop": stop or None}


# --- answers ----------------------------------------------------------------------------------------------------------


def usage_of(result: Payload, charge: int) -> dict[str, int]:
    """What an answer took: tokens, and the charge in micro-credits."""
    asked, made = result.manifest["prompt_tokens"], result.manifest["tokens"]
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made, "charge": charge}


class ChatForm:
    """How a chat is answered."""

    kind: Literal["chat.completion", "text_completion"] = "chat.completion"
    chunk_kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def said(self, text: str) -> dict[str, Any]:
        """A whole text, within a choice."""
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def piece(self, text: str | None) -> dict[str, Any]:
        """A piece of the text, within a choice; None: nothing more."""
        return {"delta": {} if text is None else {"content": text}}

    def first(self) -> dict[str, Any] | None:
        """What comes before the text, within a choice."""
        return {"delta": {"role": "assistant", "content": ""}}


class CompletionForm(ChatForm):
    """How a completion is answered."""

    kind = "text_completion"
    chunk_kind = "text_completion"
    prefix = "cmpl-"

    def said(self, text: str) -> dict[str, Any]:
        """A whole text, within a choice."""
        return {"text": text}

    def piece(self, text: str | None) -> dict[str, Any]:
        """A piece of the text, within a choice."""
        return {"text": text or ""}

    def first(self) -> dict[str, Any] | None:
        """Nothing comes before the text."""
        return None


def whole(form: ChatForm, head: Head, result: Payload, charge: int) -> bytes:
    """The body of an answer that is given at once."""
    choice = {"index": 0, **form.said(result.manifest["text"]), "logprobs": None}
    choice["finish_reason"] = result.manifest["finish"]
    return _encode({**_head(form.kind, head), "choices": [choice], "usage": usage_of(result, charge)})


def chunk(form: ChatForm, head: Head, inside: dict[str, Any]) -> bytes:
    """An event of a stream, with a piece of the text."""
    return _event(form, head, [{"index": 0, **inside, "logprobs": None, "finish_reason": None}])


def joined(form: ChatForm, head: Head, join: Join) -> bytes:
    """The event of a stream that goes on as another job: an empty piece of the text, and where it joins."""
    empty = {"index": 0, **form.piece(""), "logprobs": None, "finish_reason": None}
    return _event(form, head, [empty], mesh={"joined": msgspec.to_builtins(join)})


def last_chunks(form: ChatForm, head: Head, result: Payload, charge: int, *, usage_apart: bool) -> bytes:
    """The events that end a stream: why it ended, and what it took, in one or in two."""
    ended = [{"index": 0, **form.piece(None), "logprobs": None, "finish_reason": result.manifest["finish"]}]
    usage = usage_of(result, charge)
    if usage_apart:
        return _event(form, head, ended) + _event(form, head, [], usage=usage) + DONE
    return _event(form, head, ended, usage=usage) + DONE


def broken(error_body: bytes) -> bytes:
    """The event with which a stream ends that could not be finished."""
    return b"data: " + error_body + b"\n\n"


def _event(form: ChatForm, head: Head, choices: list[dict[str, Any]], **more: Any) -> bytes:
    return b"data: " + _encode({**_head(form.chunk_kind, head), "choices": choices, **more}) + b"\n\n"


def _head(kind: str, head: Head) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created, "model": head.model}
