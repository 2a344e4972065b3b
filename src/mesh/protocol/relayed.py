"""Relay frames, sans-I/O: what a relay and its clients say inside WebSocket binary messages.

One message is one frame: a type byte, then a body; all integers are big endian. The protocol is that of the iroh relay
(subprotocols ``iroh-relay-v1`` and ``-v2``), so that the transport of our devices speaks it by itself. A relay sees
keys and lengths; datagrams are sealed between the two devices, and their bytes are opaque here.

Touches: nothing (the hash of the challenge is an argument).
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from mesh.errors import MeshError

Version = Literal[1, 2]
Buffer = bytes | bytearray | memoryview

SUBPROTOCOLS: Final[tuple[tuple[str, Version], ...]] = (("iroh-relay-v2", 2), ("iroh-relay-v1", 1))
"""Names of the protocol versions as WebSocket subprotocols, best first."""

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
CHALLENGE_BYTES: Final = 16
PING_BYTES: Final = 8
BODY_BYTES_MAX: Final = 64 * 1024
"""Longest body after the type byte: the protocol's own limit, above which its clients end the connection."""
FRAME_BYTES_MAX: Final = 1 + BODY_BYTES_MAX
CHALLENGE_CONTEXT: Final = "iroh-relay handshake v1 challenge signature"

# Handshake.
CHALLENGE: Final = 0
CLIENT_AUTH: Final = 1
ACCEPTED: Final = 2
DENIED: Final = 3
# From clients.
SEND_DATAGRAM: Final = 4
SEND_BATCH: Final = 5
# From relays.
DATAGRAM: Final = 6
BATCH: Final = 7
ENDPOINT_GONE: Final = 8
# Both ways.
PING: Final = 9
PONG: Final = 10
# From relays again.
HEALTH: Final = 11
RESTARTING: Final = 12
STATUS: Final = 13

FROM_CLIENT: Final = frozenset({SEND_DATAGRAM, SEND_BATCH, PING, PONG})
"""Types that a client may send after the handshake, in either version."""
FROM_RELAY: Final[dict[Version, frozenset[int]]] = {
    1: frozenset({DATAGRAM, BATCH, ENDPOINT_GONE, PING, PONG, HEALTH, RESTARTING}),
    2: frozenset({DATAGRAM, BATCH, ENDPOINT_GONE, PING, PONG, RESTARTING, STATUS}),
}
"""Types that a relay may send after the handshake: a client drops a relay that uses another version's type."""

FORWARDED_BY: Final = DATAGRAM - SEND_DATAGRAM
"""What forwarding adds to the type byte."""

STATUS_HEALTHY: Final = 0
STATUS_CONNECTED_ELSEWHERE: Final = 1
STATUS_RATE_LIMITED: Final = 2

_ECN_MAX = 3
_TEXT_BYTES_MAX = 1024  # our own reasons are short; a client need not believe a longer one
_DATAGRAM_AT = 1 + KEY_BYTES + 1
_BATCH_AT = _DATAGRAM_AT + 2


class BadFrame(MeshError):
    """A relay frame is malformed. The connection ends; the device connects again by itself."""

    code = "relay.bad_frame"
    kind = "invalid"


class ClientAuth(NamedTuple):
    """The client's answer to the challenge: its raw public key, and its signature of the challenge's digest."""

    key: bytes
    signature: bytes


class Datagrams(NamedTuple):
    """One datagram, or several of ``segment`` bytes each (the last may be shorter).

    ``key`` is the destination's on the way in and the sender's on the way out. ``segment`` 0: a single datagram.
    """

    key: bytes
    ecn: int
    content: bytes
    segment: int = 0


class Ping(NamedTuple):
    """Asks for a Pong with the same 8 bytes."""

    echo: bytes


class Pong(NamedTuple):
    """The answer to a Ping."""

    echo: bytes


class EndpointGone(NamedTuple):
    """A device that had sent something to the reader has left the relay."""

    key: bytes


class Health(NamedTuple):
    """Version 1's word on the connection's health; an empty problem means well."""

    problem: str


class Status(NamedTuple):
    """Version 2's word on the connection's health: one of the ``STATUS_`` numbers."""

    code: int


class Restarting(NamedTuple):
    """The relay is about to restart: milliseconds to wait before connecting again, and for how long to try."""

    reconnect_in_ms: int
    try_for_ms: int


FromClient = Datagrams | Ping | Pong
FromRelay = Datagrams | Ping | Pong | EndpointGone | Health | Status | Restarting


def pick_version(offered: str) -> tuple[str, Version] | None:
    """The best version among a ``Sec-WebSocket-Protocol`` header's comma-separated names, or None."""
    names = {name.strip() for name in offered.split(",")}
    return next((known for known in SUBPROTOCOLS if known[0] in names), None)


# --- handshake --------------------------------------------------------------------------------------------------------


def challenge_frame(challenge: bytes) -> bytes:
    """The relay's first word; ``challenge`` is 16 fresh random bytes."""
    assert len(challenge) == CHALLENGE_BYTES
    return bytes((CHALLENGE,)) + challenge


def challenge_digest(challenge: bytes, derive_key: Callable[[str, bytes], bytes]) -> bytes:
    """What the client signs: BLAKE3 in its ``derive_key`` mode (context string, key material → 32 bytes)."""
    return derive_key(CHALLENGE_CONTEXT, challenge)


def read_challenge(frame: Buffer) -> bytes:
    """The 16 bytes of a challenge frame. Raises BadFrame."""
    if len(frame) != 1 + CHALLENGE_BYTES or frame[0] != CHALLENGE:
        raise BadFrame(expected="challenge")
    return bytes(frame[1:])


def client_auth(key: bytes, signature: bytes) -> bytes:
    """A client's answer to the challenge."""
    return bytes((CLIENT_AUTH,)) + key + bytes((SIGNATURE_BYTES,)) + signature


def read_client_auth(frame: Buffer) -> ClientAuth:
    """Read a client's answer: exactly 98 bytes. Raises BadFrame."""
    at = 1 + KEY_BYTES
    if len(frame) != at + 1 + SIGNATURE_BYTES or frame[0] != CLIENT_AUTH or frame[at] != SIGNATURE_BYTES:
        raise BadFrame(expected="client auth")
    return ClientAuth(bytes(frame[1:at]), bytes(frame[at + 1 :]))


ACCEPTED_FRAME: Final = bytes((ACCEPTED,))


def denied_frame(reason: str) -> bytes:
    """The relay's refusal, with a reason that says nothing about others; the connection closes after it."""
    text = reason.encode()
    assert len(text) < 128  # so that its length is one LEB128 byte
    return bytes((DENIED, len(text))) + text


def read_verdict(frame: Buffer) -> str | None:
    """The relay's answer to a ClientAuth: None when accepted, else the reason. Raises BadFrame."""
    if bytes(frame[:2]) == ACCEPTED_FRAME:
        return None
    if len(frame) < 2 or frame[0] != DENIED or frame[1] >= 128 or len(frame) != 2 + frame[1]:
        raise BadFrame(expected="verdict")
    return _text(frame[2:])


# --- frames -----------------------------------------------------------------------------------------------------------


def send_datagrams(to: bytes, content: Buffer, *, segment: int = 0, ecn: int = 0) -> bytes:
    """A client's frame: one datagram, or a batch when ``segment`` is given."""
    return _datagrams(SEND_BATCH if segment else SEND_DATAGRAM, to, content, segment=segment, ecn=ecn)


def forwarded_head(kind: int, sender: bytes) -> bytes:
    """The first 33 bytes of a forwarded frame: the rest is copied as it came."""
    return bytes((kind + FORWARDED_BY,)) + sender


def ping(echo: bytes) -> bytes:
    """A Ping, either way; ``echo`` is 8 bytes."""
    assert len(echo) == PING_BYTES
    return bytes((PING,)) + echo


def pong(echo: Buffer) -> bytes:
    """The Pong that answers a Ping with these 8 bytes."""
    return bytes((PONG,)) + bytes(echo)


def endpoint_gone(key: bytes) -> bytes:
    """News that a device has left the relay."""
    return bytes((ENDPOINT_GONE,)) + key


def health(version: Version, status: int, problem: str) -> bytes:
    """The connection's health in the words of a version: a number in 2, a text in 1 (empty when healthy)."""
    if version == 1:
        return bytes((HEALTH,)) + problem.encode()
    return bytes((STATUS, status))


def restarting(reconnect_in_ms: int, try_for_ms: int) -> bytes:
    """Advice to clients before the relay stops."""
    return bytes((RESTARTING,)) + reconnect_in_ms.to_bytes(4) + try_for_ms.to_bytes(4)


def is_sound_datagram(frame: Buffer) -> bool:
    """Whether a frame of type ``SEND_DATAGRAM`` or ``SEND_BATCH`` is well formed: the check made before forwarding."""
    size = len(frame)
    if frame[0] == SEND_DATAGRAM:
        return _DATAGRAM_AT < size <= FRAME_BYTES_MAX and frame[_DATAGRAM_AT - 1] <= _ECN_MAX
    return (
        _BATCH_AT < size <= FRAME_BYTES_MAX
        and frame[_DATAGRAM_AT - 1] <= _ECN_MAX
        and (frame[_DATAGRAM_AT] | frame[_DATAGRAM_AT + 1]) != 0
    )


def decode_from_client(frame: Buffer) -> FromClient:
    """Read a client's frame after the handshake. Raises BadFrame."""
    kind = _kind(frame)
    if kind not in FROM_CLIENT:
        raise BadFrame(type=kind)
    if kind in (SEND_DATAGRAM, SEND_BATCH):
        return _read_datagrams(frame, kind == SEND_BATCH)
    return _read_echo(frame, kind)


def decode_from_relay(frame: Buffer, version: Version) -> FromRelay:
    """Read a relay's frame after the handshake, as a client of this version does. Raises BadFrame."""
    kind = _kind(frame)
    if kind not in FROM_RELAY[version]:
        raise BadFrame(type=kind, version=version)
    if kind in (DATAGRAM, BATCH):
        return _read_datagrams(bytes((kind - FORWARDED_BY,)) + bytes(frame[1:]), kind == BATCH)
    if kind in (PING, PONG):
        return _read_echo(frame, kind)
    if kind == ENDPOINT_GONE and len(frame) == 1 + KEY_BYTES:
        return EndpointGone(bytes(frame[1:]))
    if kind == HEALTH and len(frame) <= 1 + _TEXT_BYTES_MAX:
        return Health(_text(frame[1:]))
    if kind == STATUS and len(frame) == 2:
        return Status(frame[1])
    if kind == RESTARTING and len(frame) == 9:
        return Restarting(int.from_bytes(frame[1:5]), int.from_bytes(frame[5:9]))
    raise BadFrame(type=kind, bytes=len(frame))


def _kind(frame: Buffer) -> int:
    if not 0 < len(frame) <= FRAME_BYTES_MAX:
        raise BadFrame(bytes=len(frame))
    return frame[0]


def _datagrams(kind: int, key: bytes, content: Buffer, *, segment: int, ecn: int) -> bytes:
    head = bytes((kind,)) + key + bytes((ecn,))
    return head + (segment.to_bytes(2) if segment else b"") + bytes(content)


def _read_datagrams(frame: Buffer, batch: bool) -> Datagrams:
    if not is_sound_datagram(frame):
        raise BadFrame(type=frame[0], bytes=len(frame))
    at = _BATCH_AT if batch else _DATAGRAM_AT
    segment = int.from_bytes(frame[_DATAGRAM_AT:_BATCH_AT]) if batch else 0
    return Datagrams(bytes(frame[1 : 1 + KEY_BYTES]), frame[1 + KEY_BYTES], bytes(frame[at:]), segment)


def _read_echo(frame: Buffer, kind: int) -> Ping | Pong:
    if len(frame) != 1 + PING_BYTES:
        raise BadFrame(type=kind, bytes=len(frame))
    return Ping(bytes(frame[1:])) if kind == PING else Pong(bytes(frame[1:]))


def _text(raw: Buffer) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadFrame(expected="text") from error
