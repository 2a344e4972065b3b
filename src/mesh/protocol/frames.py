"""Frames between two devices: MessagePack messages behind a 4-byte length, with every size limit.

A *session stream* carries these frames both ways: the asker opened it. Payloads and results over 256 KiB travel on a
*blob stream* of their own: one ``Blob`` frame, then exactly that many raw bytes. Every stream opens with ``Hello`` (a
session) or ``Blob``.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.protocol.values import JobSpec, Load, Usage

FRAME_VERSION = 1
LENGTH_BYTES = 4
HELLO_BYTES_MAX = 16 * 1024
"""A Hello holds a certificate and a State: 2 to 10 KiB."""
INLINE_BYTES_MAX = 256 * 1024
"""Payloads up to this ride inside their frame; longer ones would keep other jobs' frames waiting behind them."""
FRAME_BYTES_MAX = 384 * 1024
"""An inline payload and the permit, Submit and claim around it."""
BLOB_BYTES_MAX = 256 * 1024 * 1024
"""The most that one job may send or return; engines set lower limits of their own."""
CHUNK_BYTES_MAX = 64 * 1024
"""The most that one Chunk carries: other jobs' frames wait behind it."""
BEAT_S = 1.0
SUSPECT_AFTER_S = 3.0
"""A peer silent for this long while something is in flight is suspect: three beats."""


class FrameError(MeshError):
    """The other device sent something that is not a frame of this protocol. Update Mesh on both devices."""

    code = "session.protocol"
    kind = "invalid"


class Frame(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="t", tag=str.lower):
    """Base of all frames."""


class Hello(Frame, frozen=True):
    """First frame each way: the sender's certificate, and the newest signed State it holds."""

    certificate: str
    state: str | None = None
    version: int = FRAME_VERSION


class Blob(Frame, frozen=True):
    """First frame of a blob stream: which attempt the following ``size`` raw bytes belong to."""

    job: JobId
    attempt: int
    size: int


class Submit(Frame, frozen=True):
    """Ask for one attempt. ``signed`` is the Submit paper; ``permit`` rides along the first time it is used.

    ``secret`` keys the digests. ``payload`` None: it comes on a blob stream. ``wait_limit_s``: answer Busy rather than
    let it wait longer than this (None: wait as long as the job's limits allow).
    """

    job: JobId
    attempt: int
    signed: str
    spec: JobSpec
    secret: bytes
    permit: str | None = None
    payload: bytes | None = None
    payload_size: int = 0
    wait_limit_s: float | None = None


class Accept(Frame, frozen=True):
    """The worker takes the attempt; it expects to start in ``wait_s``."""

    job: JobId
    attempt: int
    wait_s: float = 0.0
    load: Load = Load()


class Busy(Frame, frozen=True):
    """The queue is longer than the Submit's wait limit; no attempt is spent."""

    job: JobId
    attempt: int
    load: Load = Load()


class Decline(Frame, frozen=True):
    """The worker refuses. ``error`` is a wire error of codes and numbers; the requester goes on to another device."""

    job: JobId
    attempt: int
    error: dict[str, Any]
    retry_after_s: float | None = None
    load: Load = Load()


class Started(Frame, frozen=True):
    """The engine began with the attempt."""

    job: JobId
    attempt: int
    load: Load = Load()


class Progress(Frame, frozen=True):
    """How far it is; also a sign of life. ``fraction`` 0..1; ``eta_s`` only when known."""

    job: JobId
    attempt: int
    stage: str
    fraction: float
    eta_s: float | None = None


class Chunk(Frame, frozen=True):
    """The next bytes of a streamed result, numbered from 0 without gaps. ``Done`` brings the whole result again."""

    job: JobId
    attempt: int
    sequence: int
    content: bytes


class Done(Frame, frozen=True):
    """The attempt is finished: what it took, the worker's signed Claim, and the result (None: on a blob stream)."""

    job: JobId
    attempt: int
    usage: Usage
    claim: str
    result: bytes | None = None
    result_size: int = 0
    load: Load = Load()


class Fault(Frame, frozen=True):
    """The attempt ended without a result: engine error, time limit, cancelled; ``claim`` if something was delivered."""

    job: JobId
    attempt: int
    error: dict[str, Any]
    claim: str | None = None
    load: Load = Load()


class Acknowledged(Frame, frozen=True):
    """The requester took the result; ``used`` is its signed Used (None between devices of one owner)."""

    job: JobId
    attempt: int
    used: str | None = None


class Cancel(Frame, frozen=True):
    """Stop this attempt; the worker answers with Fault, or with Done where that crossed."""

    job: JobId
    attempt: int


class Taken(msgspec.Struct, frozen=True):
    """How much of a stream its reader has taken, in bytes from its start: as much more may be under way."""

    job: JobId
    attempt: int
    bytes: int


class Beat(Frame, frozen=True):
    """Every second while anything is in flight, and whenever half a window of a stream was taken.

    A requester adds signed Counts of its streams (only the second's beat does), and what its readers have taken.
    """

    load: Load | None = None
    counts: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()


FromAsker = Hello | Blob | Submit | Acknowledged | Cancel | Beat
FromWorker = Hello | Blob | Accept | Busy | Decline | Started | Progress | Chunk | Done | Fault | Beat
AnyFrame = FromAsker | FromWorker

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnyFrame)


def encode(frame: Frame) -> bytes:
    """A frame with its length in front, ready to be joined with others into one write."""
    body = _encoder.encode(frame)
    assert len(body) <= FRAME_BYTES_MAX, "our own frame is over the limit"
    return len(body).to_bytes(LENGTH_BYTES) + body


def decode(body: bytes | memoryview) -> AnyFrame:
    """Read one frame's body. Raises FrameError."""
    try:
        return _decoder.decode(body)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(reason=type(error).__name__) from error


class FrameReader:
    """Cuts a stream into frames; refuses a length over the limit before it keeps a byte of it."""

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        """``limit``: the longest body accepted now; may be raised later through ``limit``."""
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, content: bytes) -> None:
        """Add bytes that arrived."""
        self._buffer += content

    def next(self) -> AnyFrame | None:
        """The next whole frame, or None until more bytes arrive. Raises FrameError."""
        if len(self._buffer) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_BYTES])
        if length > self.limit:
            raise FrameError("A frame is longer than allowed.", bytes=length)
        if len(self._buffer) < LENGTH_BYTES + length:
            return None
        body = bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + length])
        del self._buffer[: LENGTH_BYTES + length]
        return decode(body)

    @property
    def rest(self) -> bytes:
        """Bytes not yet cut into frames: after a Blob frame they are the blob's own."""
        return bytes(self._buffer)
