"""OpenAI's Responses API, as types: pure translation to and from chats, whole and event by event.

Nothing is kept: an answer cannot be referred to by a later request.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.agent.asking.asked import Join
from mesh.agent.gateway.openai import BadRequest, read
from mesh.agent.gateway.openai_chat import Format, Head, Message, json_of, messages_of
from mesh.workloads.chat import payload_of
from mesh.workloads.contract import Payload


class TextOptions(msgspec.Struct, frozen=True):
    """The form of the text."""

    format: Format | None = None


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/responses. Unknown fields are ignored."""

    model: str
    input: str | list[Message]
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions | None = None
    stream: bool | None = False
    tools: list[Any] | None = None
    previous_response_id: str | None = None
    background: bool | None = False
    resume: bool | None = False
    """Mesh's own, as in chats: an empty piece with ``mesh.joined`` says where the text goes on elsewhere."""


_requests: msgspec.json.Decoder[ResponsesRequest] = msgspec.json.Decoder(ResponsesRequest)
_encode = msgspec.json.Encoder().encode


def read_responses(body: bytes) -> tuple[ResponsesRequest, Payload]:
    """Read a request and make the payload of it. Raises BadRequest, BadInput."""
    request = read(_requests, body)
    if request.tools:
        raise BadRequest("`tools` are not supported here: leave them out.")
    if request.previous_response_id or request.background:
        raise BadRequest("Answers are not kept here: send the whole conversation as `input`, in the foreground.")
    said = [("user", request.input)] if isinstance(request.input, str) else messages_of(request.input)
    if request.instructions:
        said = [("system", request.instructions), *said]
    settings = {"max_tokens": request.max_output_tokens, "temperature": request.temperature, "top_p": request.top_p}
    wanted = None if request.text is None else json_of(request.text.format)
    return request, payload_of(said, **settings, json=wanted)


class Answer:
    """One answer: whole, or the events of its stream, numbered."""

    def __init__(self, request: ResponsesRequest, head: Head) -> None:
        self._request = request
        self._head = head
        self._item = "msg_" + head.id.removeprefix("resp_")
        self._number = -1

    def whole(self, result: Payload, charge: int) -> bytes:
        """The body of an answer that is given at once."""
        return _encode(self._response(result, charge))

    def begin(self) -> bytes:
        """The events before the text."""
        item = {"id": self._item, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        return (
            self._event("response.created", response=self._response(None, 0))
            + self._event("response.in_progress", response=self._response(None, 0))
            + self._event("response.output_item.added", output_index=0, item=item)
            + self._event("response.content_part.added", **self._where(), part=_part(""))
        )

    def piece(self, text: str) -> bytes:
        """A piece of the text."""
        return self._event("response.output_text.delta", **self._where(), delta=text, logprobs=[])

    def joined(self, join: Join) -> bytes:
        """An empty piece, where the text goes on as another job."""
        told = {"joined": msgspec.to_builtins(join)}
        return self._event("response.output_text.delta", **self._where(), delta="", logprobs=[], mesh=told)

    def end(self, result: Payload, charge: int) -> bytes:
        """The events after the text."""
        text = result.manifest["text"]
        response = self._response(result, charge)
        last = "response.completed" if response["status"] == "completed" else "response.incomplete"
        return (
            self._event("response.output_text.done", **self._where(), text=text, logprobs=[])
            + self._event("response.content_part.done", **self._where(), part=_part(text))
            + self._event("response.output_item.done", output_index=0, item=response["output"][0])
            + self._event(last, response=response)
        )

    def broken(self, code: str, message: str) -> bytes:
        """The event with which a stream ends that could not be finished."""
        return self._event("error", code=code, message=message, param=None)

    def _where(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **content: Any) -> bytes:
        self._number += 1
        told = _encode({"type": kind, "sequence_number": self._number, **content})
        return b"event: " + kind.encode() + b"\ndata: " + told + b"\n\n"

    def _response(self, result: Payload | None, charge: int) -> dict[str, Any]:
        request = self._request
        output: list[dict[str, Any]] = []
        usage: dict[str, Any] | None = None
        status, cut = "in_progress", False
        if result is not None:
            cut = result.manifest["finish"] == "length"
            status = "incomplete" if cut else "completed"
            item = {"id": self._item, "type": "message", "status": status, "role": "assistant"}
            output = [{**item, "content": [_part(result.manifest["text"])]}]
            asked, made = result.manifest["prompt_tokens"], result.manifest["tokens"]
            usage = {
                "input_tokens": asked,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": made,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": asked + made,
                "charge": charge,
            }
        return {
            "id": self._head.id,
            "object": "response",
            "created_at": self._head.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "model": self._head.model,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": request.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": request.top_p,
            "metadata": {},
            "usage": usage,
        }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}
