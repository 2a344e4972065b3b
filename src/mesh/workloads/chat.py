"""Chat: messages in, text out, word for word as it is made. The part that requester, worker and child share.

A job's manifest holds either ``messages`` (role and content each, the last one not by the assistant) or ``prompt``
(text that is simply continued), and how to go on: ``max_tokens``, ``temperature``, ``top_p``, ``seed``, ``stop``
(texts), ``json`` (true: any JSON object; an object: the JSON schema to keep to) and ``trim``: messages over the model's
window are an error, unless this allows the oldest ones but the system's to be left out. ``so_far``: the answer begins
with this text, which was said elsewhere; only what follows it is made. No blobs. ``replay`` (``text`` and ``finish`` of
an answer, the byte at which to ``begin``, how many ``tokens`` to look at) asks for no answer, but how far that one is
from this model's own: ``workloads.replay``.

The result's manifest: ``model``, ``engine`` (its build), ``text``, ``finish`` (``stop`` or ``length``),
``prompt_tokens``, ``tokens``, and ``left_out``: how many messages were. The stream is the text in UTF-8; no character
is cut.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mesh.protocol.values import Unit
from mesh.units import KIB, MIB
from mesh.workloads.catalogue import CHAT_DEFAULT
from mesh.workloads.contract import BadInput, Payload

MESSAGES_MAX = 1000
INPUT_BYTES_MAX = MIB
"""UTF-8 bytes of all messages: twice a window of 128 thousand tokens."""
TOKENS_DEFAULT = 512
TOKENS_MAX = 32_768
REHEARSED_TOKENS_SHORT, REHEARSED_TOKENS = 8, 48
STOPS_MAX = 16
STOP_BYTES_MAX = 256
SCHEMA_BYTES_MAX = 16 * KIB
SCHEMA_DEPTH_MAX = 16
BYTES_PER_TOKEN = 6
"""What is set aside for each token that may come: English text has 4.3 bytes to a token. Longer tokens are not paid."""
BYTES_PER_TOKEN_SAID = 4
"""By which the tokens of a text are estimated that another device has written: English has 4.3 bytes to a token."""
READ_PER_WRITTEN = 2.5
"""Tokens read in the time of one that is written, on two cores without a GPU (245 and 98 a second were measured)."""
TOKENS_EXPECTED = 200
"""What an answer is expected to have, where more are allowed: most end by themselves, long before their limit."""
BYTES_PER_TOKEN_MAX = 512
"""No vocabulary has tokens nearly as long: bounds what a result may hold."""
SPARE_SHARE = 0.75
"""Where old messages are left out, so much of the window is filled at most: the rest is for the answer."""
TRIMS_MAX = 12
"""How often more is left out before it is given up."""
ROLES = ("system", "user", "assistant")
_FIELDS = frozenset(
    ("messages", "prompt", "max_tokens", "temperature", "top_p", "seed", "stop", "json", "trim", "replay", "so_far"),
)


class NothingSaid(BadInput):
    """There is nothing to answer: no message, or an empty one. Send at least one message with text."""

    code = "input.chat_empty"


class ChatTooLong(BadInput):
    """The messages are longer than this model's window. Shorten them, leave old ones out, or use another model."""

    code = "input.chat_too_long"
    kind = "too_large"

    @classmethod
    def by(cls, tokens: int, limit: int) -> "ChatTooLong":
        """What to say where the tokens of the messages and of the window are known."""
        return cls(
            f"The messages have {tokens:,} tokens, and this model's window has room for {limit:,}, answer included. "
            "Shorten them, leave old ones out, or use another model.",
            tokens=tokens,
            limit=limit,
        )


class ChatInputTooLarge(BadInput):
    """A chat may hold up to 1,000 messages and 1 MiB of text. Shorten it."""

    code = "input.chat_too_large"
    kind = "too_large"


class BadSetting(BadInput):
    """A setting of this chat cannot be used. The message names it and what it may be."""

    code = "input.chat_setting"


class BadChatResult(BadInput):
    """The worker's answer is not one to this chat. It was not accepted; the job may be tried on another device."""

    code = "chat.result_invalid"
    kind = "failed"


def payload_of(messages: Sequence[tuple[str, str]], **settings: Any) -> Payload:
    """Make the payload for messages (role, content) and settings; those that are None are left out. Unchecked."""
    listed = [{"role": role, "content": content} for role, content in messages]
    return Payload({"messages": listed, **{name: value for name, value in settings.items() if value is not None}})


def prompt_payload(prompt: str, **settings: Any) -> Payload:
    """Make the payload for a text that is to be continued. Unchecked."""
    return Payload({"prompt": prompt, **{name: value for name, value in settings.items() if value is not None}})


class Chat:
    """The pure part of the workload."""

    name = "chat"
    unit: Unit = "byte"
    streams = True
    deterministic = False
    default_model = CHAT_DEFAULT
    apart = False
    assumed_s = 1 / 120
    """On each core, as where others use it too: 60 tokens a second on two, at 4.3 bytes to a token."""
    assumed_fixed_s = 0.3
    """The words that the model's template puts around every chat (30 tokens) are read first."""

    def check(self, payload: Payload) -> None:
        """Refuse what is no chat, or breaks a limit above. Raises BadInput."""
        manifest = payload.manifest
        unknown = set(manifest) - _FIELDS
        if payload.blobs or unknown or ("messages" in manifest) == ("prompt" in manifest):
            raise BadInput("A chat takes `messages` or a `prompt`, and settings of its own; nothing else.")
        total = 0
        for text in _texts(manifest):
            try:
                total += len(text.encode())
            except UnicodeEncodeError:
                raise BadInput("A message is not valid Unicode. Correct its encoding and send it again.") from None
        if total > INPUT_BYTES_MAX:
            raise ChatInputTooLarge(bytes=total, limit=INPUT_BYTES_MAX)
        _check_settings(manifest)

    def count(self, payload: Payload, result: Payload | None) -> int:
        """UTF-8 bytes of the messages and of the answer; before there is one, of the longest that may come."""
        if result is None:
            return self.count_input(payload) + tokens_max(payload) * BYTES_PER_TOKEN
        if "replay" in payload.manifest:  # reading it costs what writing it did
            return self.count_input(payload) + len(payload.manifest["replay"]["text"].encode())
        return self.count_input(payload) + len(result.manifest["text"].encode())

    def effort(self, payload: Payload, result: Payload | None) -> int:
        """What is written counts whole, what is read less; the length of an answer is guessed."""
        if result is None:
            written = min(tokens_max(payload), TOKENS_EXPECTED) * BYTES_PER_TOKEN_SAID
        else:
            written = self.count(payload, result) - self.count_input(payload)
        return max(1, written + int(self.count_input(payload) / READ_PER_WRITTEN))

    def count_streamed(self, payload: Payload, streamed: bytes) -> int:
        """Its bytes."""
        return len(streamed)

    def count_input(self, payload: Payload) -> int:
        """UTF-8 bytes of all messages."""
        return sum(len(text.encode()) for text in _texts(payload.manifest))

    def as_streamed(self, result: Payload) -> bytes:
        """The text."""
        text: str = result.manifest["text"]
        return text.encode()

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse what is no answer, or one longer than was asked for."""
        manifest = result.manifest
        text, tokens = manifest.get("text"), manifest.get("tokens")
        counts = [tokens, manifest.get("prompt_tokens"), manifest.get("left_out")]
        if not isinstance(text, str) or manifest.get("finish") not in ("stop", "length") or result.blobs:
            raise BadChatResult
        if any(type(count) is not int or count < 0 for count in counts) or not isinstance(manifest.get("model"), str):
            raise BadChatResult
        most = tokens_max(payload)
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise BadChatResult from None
        assert tokens is not None
        if tokens > most or size > most * BYTES_PER_TOKEN_MAX:
            raise BadChatResult(limit=most)

    def go_on(self, payload: Payload, said: str) -> Payload | None:
        """The chat whose answer goes on after what was said; None for JSON, which is kept to from its start."""
        manifest = payload.manifest
        if manifest.get("json"):
            return None
        left = max(1, tokens_max(payload) - _tokens_of(said))
        return Payload({**manifest, "so_far": manifest.get("so_far", "") + said, "max_tokens": left})

    def put_together(self, said: str, rest: Payload) -> Payload:
        """The whole answer; its tokens are counted as far as this device made it, and estimated before that."""
        made, tokens = rest.manifest, _tokens_of(said)
        whole = {"text": said + made["text"], "tokens": made["tokens"] + tokens}
        return Payload({**made, **whole, "prompt_tokens": max(0, made["prompt_tokens"] - tokens)})

    def rehearsal(self, pieces: int) -> Payload:
        """A question with a short answer, or with a longer one: half a second's worth at 100 tokens a second."""
        tokens = REHEARSED_TOKENS_SHORT if pieces == 1 else REHEARSED_TOKENS
        return payload_of([("user", "Tell a long story about a harbour.")], max_tokens=tokens, temperature=0.0)

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """``{"message": "..."}``, or a whole manifest (``messages`` and settings). Raises BadInput."""
        rest = {name: value for name, value in fields.items() if name != "message"}
        if "message" in fields:
            rest["messages"] = [{"role": "user", "content": fields["message"]}]
        payload = Payload(rest)
        self.check(payload)
        return payload

    def to_line(self, result: Payload) -> dict[str, Any]:
        """The answer: ``{"text": "...", "finish": "..."}``."""
        return {"text": result.manifest["text"], "finish": result.manifest["finish"]}


def tokens_max(payload: Payload) -> int:
    """The most tokens that the answer may have."""
    return int(payload.manifest.get("max_tokens", TOKENS_DEFAULT))


def shortened(messages: list[dict[str, str]] | None, over: tuple[int, int]) -> list[dict[str, str]] | None:
    """The messages without the oldest, but the system's, by how much they are over the window; None if none can go.

    ``over``: the tokens that they have, and the window.
    """
    if messages is None:
        return None
    tokens, window = over
    size = sum(len(message["content"]) for message in messages)
    target = size * window * SPARE_SHARE / tokens
    kept = list(messages)
    while size > target or len(kept) == len(messages):
        oldest = next((place for place, one in enumerate(kept[:-1]) if one["role"] != "system"), None)
        if oldest is None:
            return kept if len(kept) < len(messages) else None
        size -= len(kept.pop(oldest)["content"])
    while len(kept) > 1 and (place := _first_said(kept)) is not None and kept[place]["role"] == "assistant":
        kept.pop(place)  # an answer whose question has gone
    return kept


def _first_said(messages: list[dict[str, str]]) -> int | None:
    return next((place for place, one in enumerate(messages) if one["role"] != "system"), None)


def so_far_of(manifest: dict[str, Any]) -> list[dict[str, str]]:
    """What was said of an answer already, as a last message: there are engines that go on with one of their own."""
    said = manifest.get("so_far")
    return [{"role": "assistant", "content": said}] if said else []


def _tokens_of(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN_SAID)


def _texts(manifest: dict[str, Any]) -> list[str]:
    """The texts of a chat's input. Raises BadInput."""
    so_far = manifest.get("so_far")
    if so_far is None:
        return _asked(manifest)
    if not isinstance(so_far, str) or not so_far or manifest.get("json"):
        raise BadSetting("`so_far` is the text that an answer begins with, and none in JSON.")
    return [*_asked(manifest), so_far]


def _asked(manifest: dict[str, Any]) -> list[str]:
    if "prompt" in manifest:
        prompt = manifest["prompt"]
        if not isinstance(prompt, str):
            raise BadInput("The prompt must be text.")
        if not prompt:
            raise NothingSaid
        return [prompt]
    messages = manifest["messages"]
    if not isinstance(messages, list):
        raise BadInput("The messages must be a list.")
    if len(messages) > MESSAGES_MAX:
        raise ChatInputTooLarge(messages=len(messages), limit=MESSAGES_MAX)
    texts = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise BadInput(f"Message {index} must have a role and a content, and nothing else.", index=index)
        if message["role"] not in ROLES:
            raise BadInput(f"Message {index} has no role of {', '.join(ROLES)}.", index=index)
        if not isinstance(message["content"], str):
            raise BadInput(f"The content of message {index} is not text.", index=index)
        texts.append(message["content"])
    if not messages or messages[-1]["role"] == "assistant" or not texts[-1].strip():
        raise NothingSaid
    return texts


def _check_settings(manifest: dict[str, Any]) -> None:
    _number(manifest, "max_tokens", 1, TOKENS_MAX, whole=True)
    _number(manifest, "temperature", 0, 2)
    _number(manifest, "top_p", 0, 1)
    _number(manifest, "seed", 0, 2**32 - 2, whole=True)
    if not isinstance(manifest.get("trim", False), bool):
        raise BadSetting("`trim` is true or false.")
    stop = manifest.get("stop", [])
    fits = isinstance(stop, list) and len(stop) <= STOPS_MAX and all(isinstance(one, str) and one for one in stop)
    if not fits or any(len(one.encode(errors="replace")) > STOP_BYTES_MAX for one in stop):
        raise BadSetting(f"`stop` is a list of up to {STOPS_MAX} texts of up to {STOP_BYTES_MAX} bytes.")
    replay = manifest.get("replay", {"text": "-", "finish": "stop"})
    if not isinstance(replay, dict) or not _is_answer(replay) or not _is_stretch(replay):
        raise BadSetting(
            "`replay` has `text` and `finish` of an answer, and may say where to `begin` and how many `tokens`."
        )
    schema = manifest.get("json", False)
    if not isinstance(schema, bool | dict):
        raise BadSetting("`json` is true, or a JSON schema.")
    if isinstance(schema, dict):
        _check_schema(schema)


def _is_answer(replay: dict[str, Any]) -> bool:
    text = replay.get("text")
    try:
        fits = isinstance(text, str) and 0 < len(text.encode()) <= INPUT_BYTES_MAX
    except UnicodeEncodeError:
        return False
    return fits and replay.get("finish") in ("stop", "length")


def _is_stretch(replay: dict[str, Any]) -> bool:
    """Whether it begins at a character of the text, and looks at one token at least; nothing else is in it."""
    begin, tokens, text = replay.get("begin", 0), replay.get("tokens", 1), replay["text"].encode()
    if type(begin) is not int or type(tokens) is not int or set(replay) - {"text", "finish", "begin", "tokens"}:
        return False
    return 0 <= begin < len(text) and text[begin] & 0xC0 != 0x80 and 1 <= tokens <= TOKENS_MAX


def _number(manifest: dict[str, Any], name: str, least: float, most: float, *, whole: bool = False) -> None:
    if name not in manifest:
        return
    value = manifest[name]
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise BadSetting(f"`{name}` is {kind} from {least} to {most}.")


def _check_schema(schema: dict[str, Any]) -> None:
    depth = 0
    level: list[dict[str, Any] | list[Any]] = [schema]
    while level:
        depth += 1
        if depth > SCHEMA_DEPTH_MAX:
            raise BadSetting(f"The JSON schema is nested more than {SCHEMA_DEPTH_MAX} deep.")
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, msgspec.MsgspecError):
        raise BadSetting("The JSON schema holds something that is not JSON.") from None
    if size > SCHEMA_BYTES_MAX:
        raise BadSetting(f"The JSON schema may have up to {SCHEMA_BYTES_MAX} bytes.", bytes=size)
