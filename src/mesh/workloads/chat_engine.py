"""The engine of chat: llama.cpp through xllamacpp, called in this process. Imported only in an engine's process.

The library opens a port as it starts, which nobody needs: it is made a socket in this process's own folder, and shut
before any input is read. Nothing of a prompt is kept for the next one, so that nobody can tell by the time an answer
takes what others have asked.

A reader that takes nothing holds up what is said, not what is written: the library goes on to the answer's end, which
its window bounds.

Touches: model files, a Unix socket (at the start), the processor's count.
"""

import os
import platform
import socket
import stat
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import psutil
import xllamacpp

from mesh.errors import MeshError
from mesh.workloads.chat import TRIMS_MAX, BadSetting, ChatTooLong, shortened, tokens_max
from mesh.workloads.contract import Model, Payload, Piece, Say, Stop
from mesh.workloads.replay import TOP, Token, Trace

LANES_MAX = 2
"""Answers written at once: two on two cores take as long as one after the other. The second lane is the owner's."""
OTHERS_LANES = 1
BATCH_TOKENS = 64
"""Prompts are read so many tokens at a time: half a second on a slow machine, then a cancel is heeded."""

BUILD = f"xllamacpp {version('xllamacpp')} {platform.machine().lower()}"
"""What computes: only answers of the same build are held to all that a replay can find."""

_SEED_MAX = 2**32 - 1


class EngineRefused(MeshError):
    """The engine could not answer this chat. Try it again; if it fails again, change the input."""

    code = "engine.chat_refused"


class LlamaChat:
    """A GGUF model with a window of its own for each of its lanes."""

    batch_pieces_max = 1
    batch_size_max = 1 << 30

    def __init__(self, model: Model) -> None:
        """Load ``model.gguf``; ``settings`` give ``context_tokens``, the window of each lane."""
        self.lanes = min(model.lanes, LANES_MAX)
        self.others_lanes = OTHERS_LANES
        self._model = model.id
        self._server = xllamacpp.Server(_parameters(model, self.lanes))
        shut_listeners()

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """One piece: a chat is worked on as a whole. Its size is not known before the model has read it."""
        yield Piece(payload, 1)

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop, say: Say) -> list[Payload]:
        """Answer one chat, saying each token as it comes; a stop ends it with the next token."""
        payload: Payload = pieces[0].content
        if "replay" in payload.manifest:
            return [self._replay(lane, payload, stop)]
        messages, left_out = payload.manifest.get("messages"), 0
        for _ in range(TRIMS_MAX):
            answer = _Answer(stop, say, tokens_max(payload))
            self._ask(payload, messages, answer)
            if answer.over is None:
                return [answer.result(self._model, left_out)]
            shorter = shortened(messages, answer.over) if payload.manifest.get("trim") else None
            if shorter is None or messages is None:
                raise ChatTooLong.by(*answer.over)
            left_out += len(messages) - len(shorter)
            messages = shorter
        raise ChatTooLong

    def join(self, payload: Payload, pieces: Sequence[Piece], answers: Sequence[Payload]) -> Payload:
        """The answer to the one piece."""
        return answers[0]

    def _replay(self, lane: int, payload: Payload, stop: Stop) -> Payload:
        """Look how far a claimed answer is from what this model says itself; the answer has no text of its own."""
        claimed = payload.manifest["replay"]
        ended = claimed["finish"] == "stop" and "stop" not in payload.manifest
        begin, most = claimed.get("begin", 0), claimed.get("tokens")
        trace = Trace(claimed["text"], ended=ended, begin=begin, most=most)
        # What is asked again and again begins alike, so it is kept from one time to the next; never from somebody else.
        kept: dict[str, Any] = {"id_slot": lane, "cache_prompt": False}
        while not trace.over:
            following = _Following(stop, trace)
            self._ask(payload, payload.manifest.get("messages"), following, _Along(trace.prefix, kept))
            if following.over is not None:
                raise ChatTooLong.by(*following.over)
            kept["cache_prompt"] = True
        done = _Answer(stop, None, 0).result(self._model, 0)
        return Payload({**done.manifest, "finish": "stop", "replayed": trace.found()._asdict()})

    def _ask(
        self, payload: Payload, messages: list[dict[str, str]] | None, answer: "_Answer", along: "_Along | None" = None
    ) -> None:
        request = _settings(payload)
        if along is not None:
            # It never ends by itself: how likely an end is stands among the likeliest tokens all the same.
            request.update(temperature=0, ignore_eos=True, logprobs=TOP if messages is None else True, top_logprobs=TOP)
            request.update(along.kept)
            request.pop("stop", None)
        said = payload.manifest.get("so_far", "") + ("" if along is None else along.prefix)
        try:
            if messages is None:
                request["prompt"] = payload.manifest["prompt"] + said
                self._server.handle_completions(request, answer.hear)
            else:
                own = [{"role": "assistant", "content": said}] if said else []
                request["messages"] = [*messages, *own]  # the library goes on with a last message of its own
                self._server.handle_chat_completions(request, answer.hear)
        except ValueError:  # its text may quote the input
            if "json" in payload.manifest:
                raise BadSetting("The JSON schema is not one that this engine can keep to.") from None
            raise EngineRefused from None
        if answer.problem is not None:
            raise answer.problem


class _Along(NamedTuple):
    """Where a replay goes on: the claimed text before it, and what is kept from one time to the next."""

    prefix: str
    kept: dict[str, Any]


class _Answer:
    """What the library says to one chat."""

    def __init__(self, stop: Stop, say: Say | None, tokens: int) -> None:
        """``tokens``: how many it may have."""
        self.problem: BaseException | None = None
        self.over: tuple[int, int] | None = None
        """The prompt's tokens and the window, where it does not fit."""
        self._stop, self._say, self._tokens = stop, say, tokens
        self._parts: list[str] = []
        self._finish = "length"
        self._usage: dict[str, Any] = {}

    def hear(self, news: dict[str, Any]) -> bool:
        """Called by the library with each thing it has to say; True stops it."""
        try:
            return self._hear(news)
        except BaseException as problem:  # noqa: BLE001 - raised again where the library has let go
            self.problem = problem
            return True

    def _hear(self, news: dict[str, Any]) -> bool:
        if "error" in news:
            error = news["error"]
            if error.get("type") == "exceed_context_size_error":
                self.over = (int(error["n_prompt_tokens"]), int(error["n_ctx"]))
                return True
            raise EngineRefused(status=int(error.get("code", 500)))
        if news.get("usage"):
            self._usage = news["usage"]
        read = news.get("prompt_progress")
        if read and self._say is not None:
            self._say.advanced(read["processed"] / max(1, read["total"] + self._tokens))
        for choice in news.get("choices") or ():
            text = choice.get("text") or (choice.get("delta") or {}).get("content")
            if text:
                self._parts.append(text)
                if self._say is not None:
                    self._say(text.encode())
            if choice.get("finish_reason"):
                self._finish = "length" if choice["finish_reason"] == "length" else "stop"
        if self._stop.asked:
            raise InterruptedError
        return False

    def result(self, model: str, left_out: int) -> Payload:
        """The whole answer."""
        return Payload(
            {
                "model": model,
                "engine": BUILD,
                "text": "".join(self._parts),
                "finish": self._finish,
                "prompt_tokens": int(self._usage.get("prompt_tokens", 0)),
                "tokens": int(self._usage.get("completion_tokens", 0)),
                "left_out": left_out,
            }
        )


class _Following(_Answer):
    """What the library says while it goes along a claimed answer: it is stopped where it would leave it."""

    def __init__(self, stop: Stop, trace: Trace) -> None:
        super().__init__(stop, None, 0)
        self._trace = trace
        self._parted = False

    def _hear(self, news: dict[str, Any]) -> bool:
        if super()._hear(news):
            return True
        for choice in news.get("choices") or ():
            for said in (choice.get("logprobs") or {}).get("content") or ():
                tops = tuple((bytes(top["bytes"]), float(top["logprob"])) for top in said["top_logprobs"])
                if not self._parted and not self._trace.take(Token(bytes(said["bytes"]), tops)):
                    self._parted = True
            if choice.get("finish_reason") and not self._parted:
                raise EngineRefused  # room for one token more than was claimed is always asked for
        return self._parted


def _parameters(model: Model, lanes: int) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model.files["model.gguf"]
    parameters.n_parallel = lanes
    parameters.n_ctx = int(model.settings["context_tokens"]) * lanes
    parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads(model.lanes)
    parameters.cache_prompt = parameters.cache_idle_slots = False
    parameters.cache_ram_mib = 0
    parameters.slot_prompt_similarity = 0.0
    parameters.endpoint_slots = parameters.fit_params = parameters.ui = False
    parameters.hostnames = [os.path.join(os.getcwd(), "engine.sock")]
    parameters.verbosity = 0  # what it logs may quote prompts
    return parameters


def threads(lanes: int) -> int:
    """Threads that compute: the physical cores but one, since they wait for each other and one that is disturbed
    holds up all (8 to 17 tokens a second instead of 100 where another program took a core).
    """
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, cores - 1)


def shut_listeners() -> None:
    """Shut every socket on which this process listens: its threads see the end, and nobody can come in."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    one.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or no socket that can be shut


def _settings(payload: Payload) -> dict[str, Any]:
    """A chat's settings as the library names them."""
    manifest = payload.manifest
    request: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "cache_prompt": False,
        "max_tokens": tokens_max(payload),
        "n_predict": tokens_max(payload),
    }
    for name in ("temperature", "top_p", "seed", "stop"):
        if name in manifest:
            request[name] = manifest[name]
    schema = manifest.get("json", False)
    if isinstance(schema, dict):
        request["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    elif schema:
        request["response_format"] = {"type": "json_object"}
    return request
