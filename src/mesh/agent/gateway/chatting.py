"""The routes that chat, whole or as a stream: read, ask, hand on what comes as it comes.

Touches: the clock (when an answer was made, and how long it took).
"""

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from mesh.agent.asking.asked import Join
from mesh.agent.asking.streaming import Streamed
from mesh.agent.gateway import ollama, ollama_chat, openai, openai_chat
from mesh.agent.gateway import openai_responses as responses
from mesh.agent.gateway.calls import Call, Reply, begun_headers, headers_of
from mesh.agent.gateway.openai_chat import ChatForm, CompletionForm, Head, Sampling
from mesh.errors import MeshError
from mesh.workloads.chat import Chat
from mesh.workloads.contract import Payload

EVENTS = b"text/event-stream"
LINES = b"application/x-ndjson"
CHAT = Chat()


# --- OpenAI's ---------------------------------------------------------------------------------------------------------


async def chat_completions(call: Call) -> Reply:
    """Messages to an answer."""
    request, payload = openai_chat.read_chat(call.body)
    return await _completed(call, ChatForm(), request, payload)


async def completions(call: Call) -> Reply:
    """A text, continued."""
    request, payload = openai_chat.read_completion(call.body)
    return await _completed(call, CompletionForm(), request, payload)


async def _completed(call: Call, form: ChatForm, request: Sampling, payload: Payload) -> Reply:
    if not request.stream:
        done = await call.run(CHAT, payload, request.model)
        (result,) = done.results
        head = _head(form.prefix, result.job, request.model)
        return Reply(openai_chat.whole(form, head, result.payload, result.charge), headers_of(done.results))
    begun, answer = await call.begin(CHAT, payload, request.model, resume=bool(request.resume))
    head = _head(form.prefix, begun.job, request.model)

    async def events() -> AsyncIterator[bytes]:
        first = form.first()
        if first is not None:
            yield openai_chat.chunk(form, head, first)
        async for piece in _pieces(answer):
            if isinstance(piece, Join):
                yield openai_chat.joined(form, head, piece)
            else:
                yield openai_chat.chunk(form, head, form.piece(piece))
        result = answer.result
        yield openai_chat.last_chunks(form, head, result.payload, result.charge, usage_apart=request.usage_apart)

    def broken(error: MeshError) -> bytes:
        return openai_chat.broken(openai.error_body(error))

    return Reply(b"", begun_headers(begun), stream=_whatever_comes(events(), broken), kind=EVENTS)


async def respond(call: Call) -> Reply:
    """Messages to an answer, in the form of the Responses API."""
    request, payload = responses.read_responses(call.body)
    if not request.stream:
        done = await call.run(CHAT, payload, request.model)
        (result,) = done.results
        whole = responses.Answer(request, _head("resp_", result.job, request.model))
        return Reply(whole.whole(result.payload, result.charge), headers_of(done.results))
    begun, answer = await call.begin(CHAT, payload, request.model, resume=bool(request.resume))
    told = responses.Answer(request, _head("resp_", begun.job, request.model))

    async def events() -> AsyncIterator[bytes]:
        yield told.begin()
        async for piece in _pieces(answer):
            yield told.joined(piece) if isinstance(piece, Join) else told.piece(piece)
        yield told.end(answer.result.payload, answer.result.charge)

    def broken(error: MeshError) -> bytes:
        return told.broken(error.wire_code, error.message)

    return Reply(b"", begun_headers(begun), stream=_whatever_comes(events(), broken), kind=EVENTS)


# --- Ollama's ---------------------------------------------------------------------------------------------------------


async def ollama_chats(call: Call) -> Reply:
    """Messages to an answer."""
    request, payload = ollama_chat.read_chat(call.body)
    return await _told(call, request, payload, chat=True)


async def generate(call: Call) -> Reply:
    """A prompt to an answer."""
    request, payload = ollama_chat.read_generate(call.body)
    return await _told(call, request, payload, chat=False)


async def _told(call: Call, request: ollama_chat.Asked, payload: Payload, *, chat: bool) -> Reply:
    started_s = time.monotonic()
    form = ollama_chat.Form(request.model, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), chat=chat)
    if request.stream is False:
        done = await call.run(CHAT, payload, request.model)
        (result,) = done.results
        text = result.payload.manifest["text"]
        body = form.last(text, result.payload, result.charge, time.monotonic() - started_s)
        return Reply(body, headers_of(done.results))
    begun, answer = await call.begin(CHAT, payload, request.model, resume=bool(request.resume))
    stream = _whatever_comes(_lines(form, answer, started_s), lambda error: ollama.error_body(error) + b"\n")
    return Reply(b"", begun_headers(begun), stream=stream, kind=LINES)


async def _lines(form: ollama_chat.Form, answer: Streamed, started_s: float) -> AsyncIterator[bytes]:
    async for piece in _pieces(answer):
        yield form.joined(piece) if isinstance(piece, Join) else form.piece(piece)
    yield form.last("", answer.result.payload, answer.result.charge, time.monotonic() - started_s)


def _head(prefix: str, job: str, model: str) -> Head:
    return Head(prefix + job, int(time.time()), model)


async def _pieces(answer: Streamed) -> AsyncIterator[str | Join]:
    """The text as it comes, and between its pieces where it goes on in another job."""
    joins: list[Join] = []
    answer.on_join = joins.append
    async for text in answer.texts():
        while joins:
            yield joins.pop(0)
        yield text
    for join in joins:  # nothing was left to be said
        yield join


async def _whatever_comes(pieces: AsyncIterator[bytes], broken: Callable[[MeshError], bytes]) -> AsyncIterator[bytes]:
    """A stream to its end, or to the words why it ended before."""
    try:
        async for piece in pieces:
            yield piece
    except MeshError as error:
        yield broken(error)
