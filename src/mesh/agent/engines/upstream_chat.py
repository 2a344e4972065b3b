"""Chat with an engine that runs on this machine already: OpenAI's form, or Ollama's own where it is Ollama.

What is sent is built from known fields: roles and texts, and how to go on; no tools, no addresses, no images. Its
words are handed on as they come, as long as they are taken: a reader that takes nothing holds up the engine by its
connection. Leaving early closes the connection, at which such engines stop. Whatever it says beyond the text (errors,
reasons) is never quoted.

Touches: what ``upstream`` touches.
"""

import asyncio
import time
from typing import Any, NamedTuple

import msgspec

from mesh.agent.engines.upstream import Upstream, UpstreamFailed, whole
from mesh.sdk.sharing import EngineKind
from mesh.units import KIB, MIB
from mesh.workloads.breath import GAP_S
from mesh.workloads.chat import BYTES_PER_TOKEN_MAX, TRIMS_MAX, ChatTooLong, shortened, so_far_of, tokens_max
from mesh.workloads.contract import BadInput, Outlet, Payload
from mesh.workloads.frames import WINDOW_BYTES

LINE_BYTES_MAX = MIB
REFUSAL_BYTES_MAX = 64 * KIB
OVERHEAD_BYTES_MAX = 4 * KIB
"""What an engine may say around one token: OpenAI's chunks have some 300 bytes, with probabilities a few thousand."""
WINDOW_USUAL, WINDOW_MAX = 4096, 131_072
"""Ollama cuts what is longer than its window without a word, unless a larger one is asked for."""
BYTES_PER_TOKEN_LEAST = 2
TOO_LONG = (b"exceed_context_size", b"context_length_exceeded", b"maximum context length", b"context window")
"""How engines say that messages do not fit: llama.cpp, OpenAI, vLLM, others."""
STATUS_TOO_LONG = (400, 413, 422, 500)


class _Over(Exception):
    """The messages do not fit: their tokens and the window, where it is said."""

    def __init__(self, over: tuple[int, int] | None) -> None:
        self.over = over
        super().__init__("over")


class Asked(NamedTuple):
    """Whom to ask for which model: ``name`` is the engine's own, ``id`` the network's."""

    upstream: Upstream
    kind: EngineKind
    name: str
    id: str


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Message(msgspec.Struct):
    content: str = ""


class _Line(msgspec.Struct):
    message: _Message | None = None
    response: str | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int = 0
    eval_count: int = 0
    error: Any = None


GOES_ON = frozenset({"ollama", "llama-server"})
"""Engines that go on with a last message of their own by themselves."""


class CannotGoOn(BadInput):
    """The engine there can only begin an answer, not go on with one. Another device is tried."""

    code = "engine.cannot_go_on"
    kind = "failed"


_events: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(_Event)
_lines: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


async def chat(asked: Asked, payload: Payload, limit_s: float, outlet: Outlet | None) -> tuple[Payload, float]:
    """Have a chat answered: the result, and the seconds of work. Raises ChatTooLong, UpstreamFailed."""
    messages, left_out = payload.manifest.get("messages"), 0
    for _ in range(TRIMS_MAX):
        answer = _Answer(payload, outlet)
        try:
            await _one(asked, payload.manifest, messages, answer, limit_s)
        except _Over as over:
            shorter = shortened(messages, over.over or (2, 1)) if payload.manifest.get("trim") else None
            if shorter is None or messages is None:
                raise (ChatTooLong.by(*over.over) if over.over else ChatTooLong()) from None
            left_out += len(messages) - len(shorter)
            messages = shorter
            continue
        finally:
            answer.close()
        return answer.result(asked.id, left_out), answer.work_s()
    raise ChatTooLong


async def _one(
    asked: Asked, manifest: dict[str, Any], messages: list[dict[str, str]] | None, answer: "_Answer", limit_s: float
) -> None:
    form = _ollama_body if asked.kind == "ollama" else _openai_body
    path, body = form(asked, manifest, messages)
    async with asked.upstream.opened(path, body, limit_s) as said:
        if said.status_code != 200:
            refusal = await whole(said, REFUSAL_BYTES_MAX)
            if said.status_code in STATUS_TOO_LONG and any(words in refusal for words in TOO_LONG):
                raise _Over(_over(refusal))
            raise UpstreamFailed(reason="status", status=said.status_code)
        rest = bytearray()
        async for piece in said.aiter_raw():
            rest += piece
            answer.came(len(piece))
            *lines, rest = rest.split(b"\n")
            for line in lines:
                answer.line(bytes(line.strip()), ollama=asked.kind == "ollama")
            if len(rest) > LINE_BYTES_MAX:
                raise UpstreamFailed(reason="size")
            await answer.hand_on()
        answer.line(bytes(rest.strip()), ollama=asked.kind == "ollama")
    await answer.end()


# --- what is asked ----------------------------------------------------------------------------------------------------


def _openai_body(
    asked: Asked, manifest: dict[str, Any], messages: list[dict[str, str]] | None
) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": asked.name, "stream": True, "stream_options": {"include_usage": True}}
    body["max_tokens"] = int(manifest["max_tokens"]) if "max_tokens" in manifest else tokens_max(Payload(manifest))
    body |= {name: manifest[name] for name in ("temperature", "top_p", "seed", "stop") if name in manifest}
    schema = manifest.get("json", False)
    if isinstance(schema, dict):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif schema:
        body["response_format"] = {"type": "json_object"}
    if asked.kind == "llama-server":
        body["cache_prompt"] = False  # nobody shall tell by the time of an answer what others have asked
    said = so_far_of(manifest)
    if messages is None:
        return "/v1/completions", {**body, "prompt": manifest["prompt"] + manifest.get("so_far", "")}
    if said and asked.kind == "vllm":
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    elif said and asked.kind not in GOES_ON:
        raise CannotGoOn(engine=asked.kind)
    return "/v1/chat/completions", {**body, "messages": _plain([*messages, *said])}


def _ollama_body(
    asked: Asked, manifest: dict[str, Any], messages: list[dict[str, str]] | None
) -> tuple[str, dict[str, Any]]:
    limit = tokens_max(Payload(manifest))
    options: dict[str, Any] = {"num_predict": limit}
    options |= {name: manifest[name] for name in ("temperature", "top_p", "seed", "stop") if name in manifest}
    texts = [manifest["prompt"]] if messages is None else [one["content"] for one in messages]
    texts.append(manifest.get("so_far", ""))
    needed = sum(len(text.encode()) for text in texts) // BYTES_PER_TOKEN_LEAST + limit
    if needed > WINDOW_USUAL:
        options["num_ctx"] = min(1 << (needed - 1).bit_length(), WINDOW_MAX)
    body: dict[str, Any] = {"model": asked.name, "stream": True, "options": options}
    schema = manifest.get("json", False)
    if schema:
        body["format"] = schema if isinstance(schema, dict) else "json"
    if messages is None:
        return "/api/generate", {**body, "prompt": manifest["prompt"] + manifest.get("so_far", ""), "raw": True}
    return "/api/chat", {**body, "messages": _plain([*messages, *so_far_of(manifest)])}


def _plain(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"role": one["role"], "content": one["content"]} for one in messages]


def _over(refusal: bytes) -> tuple[int, int] | None:
    """The tokens and the window, as llama.cpp says them."""
    try:
        error = msgspec.json.decode(refusal)["error"]
        tokens, window = int(error["n_prompt_tokens"]), int(error["n_ctx"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError, IndexError):
        return None
    return (tokens, window) if tokens > window > 0 else None


# --- what is answered -------------------------------------------------------------------------------------------------


class _Answer:
    """What an engine says to one chat, handed on as it is taken; a few words at a time."""

    def __init__(self, payload: Payload, outlet: Outlet | None) -> None:
        self._most = tokens_max(payload)
        self._outlet = outlet
        self._parts: list[str] = []
        self._pieces = self._size = self._came = 0
        self._finish: str | None = None
        self._prompt_tokens = self._tokens = 0
        self._untold = bytearray()
        self._told_s = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._room, self._taken = WINDOW_BYTES, asyncio.Event()
        self._began_s = time.monotonic()
        self._waited_s = 0.0
        if outlet is not None:
            outlet.on_taken = self._took

    def came(self, count: int) -> None:
        """So many bytes more have come, of whatever. Raises UpstreamFailed for far too many."""
        self._came += count
        if self._came > self._most * (BYTES_PER_TOKEN_MAX + OVERHEAD_BYTES_MAX) + LINE_BYTES_MAX:
            raise UpstreamFailed(reason="size")

    def line(self, line: bytes, *, ollama: bool) -> None:
        """One line of its answer. Raises UpstreamFailed for what is none."""
        try:
            if ollama:
                if line:
                    self._ollama(_lines.decode(line))
            elif line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
                self._openai(_events.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamFailed(reason="shape") from None

    def _openai(self, event: _Event) -> None:
        if event.error is not None:
            raise UpstreamFailed(reason="said")
        for choice in event.choices[:1]:
            self._text(choice.text or (choice.delta.content if choice.delta else None) or "")
            self._finish = choice.finish_reason or self._finish
        if event.usage is not None:
            self._prompt_tokens, self._tokens = event.usage.prompt_tokens, event.usage.completion_tokens

    def _ollama(self, line: _Line) -> None:
        if line.error is not None:
            raise UpstreamFailed(reason="said")
        self._text(line.response or (line.message.content if line.message else ""))
        if line.done:
            self._finish = line.done_reason or "stop"
            self._prompt_tokens, self._tokens = line.prompt_eval_count, line.eval_count

    def _text(self, text: str) -> None:
        if not text or self._finish is not None:
            return
        try:
            content = text.encode()
        except UnicodeEncodeError:
            raise UpstreamFailed(reason="shape") from None
        self._pieces += 1
        self._size += len(content)
        if self._size > self._most * BYTES_PER_TOKEN_MAX:
            raise UpstreamFailed(reason="size")
        self._parts.append(text)
        self._untold += content

    async def hand_on(self) -> None:
        """Let out what has come, the first at once, later words with their neighbours; waits for a slow reader."""
        wait_s = self._told_s + GAP_S - time.monotonic()
        if self._untold and wait_s <= 0:
            self._tell()
        elif self._untold and self._later is None:
            self._later = asyncio.get_running_loop().call_later(wait_s, self._tell)
        if self._room <= 0:
            began = time.monotonic()
            while self._room <= 0:
                self._taken.clear()
                await self._taken.wait()
            self._waited_s += time.monotonic() - began

    async def end(self) -> None:
        """It has ended: the rest leaves. Raises UpstreamFailed where it was cut."""
        if self._finish is None:
            raise UpstreamFailed(reason="cut")
        self._tell()

    def close(self) -> None:
        """Nothing more leaves."""
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def work_s(self) -> float:
        """Seconds since it was asked, less those in which its reader held it up."""
        return max(1e-6, time.monotonic() - self._began_s - self._waited_s)

    def result(self, id: str, left_out: int) -> Payload:
        """The whole answer. Tokens that it does not count are counted by its pieces."""
        return Payload(
            {
                "model": id,
                "text": "".join(self._parts),
                "finish": "length" if self._finish == "length" else "stop",
                "prompt_tokens": max(0, self._prompt_tokens),
                "tokens": min(max(0, self._tokens or self._pieces), self._most),
                "left_out": left_out,
            }
        )

    def _tell(self) -> None:
        self.close()
        content, self._told_s = bytes(self._untold), time.monotonic()
        self._untold.clear()
        if self._outlet is not None and content:
            self._room -= len(content)
            self._outlet.put(content)

    def _took(self, count: int) -> None:
        self._room += count
        self._taken.set()
