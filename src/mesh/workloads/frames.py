"""What an agent and an engine's process say to each other over the process's pipes.

A frame is four bytes of length (big-endian) and one MessagePack value. Commands go in, news comes out. Job numbers are
the agent's own and live as long as the process.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.errors import MeshError
from mesh.protocol.values import Isolation
from mesh.units import MIB
from mesh.workloads.contract import Model, Payload

FRAME_BYTES_MAX = 64 * MIB
"""A result of 10,000 vectors takes 15 MB, an input 16 MB; pages of documents are allowed up to this."""

LENGTH_BYTES = 4

WINDOW_BYTES = 16 * 1024
"""What of a stream may be under way from an engine, untaken, before more of it waits: some thousand tokens of text. One
saying more may leave while there is room for a byte."""


class BadFrame(MeshError):
    """An engine's process said something that is not a frame. It was stopped; the next job starts a new one."""

    code = "engine.bad_frame"


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Load this model; the first and only one of a process."""

    workload: str
    model: Model


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Do a job. Jobs share batches only with jobs of the same ``group``; ``first`` ones go before all others.

    ``streams``: the bytes of its result are wanted as they are made, as ``Said``.
    """

    job: int
    payload: Payload
    group: str = ""
    first: bool = False
    streams: bool = False


class Limit(msgspec.Struct, frozen=True, tag="limit"):
    """So many lanes work on jobs that are not ``first``; the rest are kept for those that are."""

    lanes: int


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Forget a job. ``Dropped`` comes once no lane works on it any more."""

    job: int


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """So many bytes more of a job's stream were taken: as many may follow."""

    job: int
    bytes: int


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The engine is ready for jobs."""

    load_s: float
    lanes: int
    isolation: Isolation


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The engine could not be loaded; the process ends."""

    reason: str


class Advanced(msgspec.Struct, frozen=True, tag="advanced"):
    """A job got further: fraction 0..1 of its pieces is done."""

    job: int
    fraction: float


class Said(msgspec.Struct, frozen=True, tag="said"):
    """The next bytes of a job's stream."""

    job: int
    content: bytes


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """A job's result. ``work_s``: seconds it would have taken alone, going by its share of the batches it was in."""

    job: int
    payload: Payload
    work_s: float


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A job failed by its own input or in the engine: what ``MeshError.wire`` says."""

    job: int
    error: dict[str, Any]


class Dropped(msgspec.Struct, frozen=True, tag="dropped"):
    """A cancelled job is out of the process's hands."""

    job: int


Command = Load | Run | Limit | Cancel | Taken
News = Loaded | Broken | Advanced | Said | Finished | Refused | Dropped

_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_news: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)


def frame(message: Command | News) -> bytes:
    """Encode one message with its length before it. Raises BadFrame if it is too long."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise BadFrame(f"A frame of {len(body)} bytes is over the limit of {FRAME_BYTES_MAX}.")
    return len(body).to_bytes(LENGTH_BYTES) + body


def length_of(head: bytes) -> int:
    """Read a frame's length. Raises BadFrame if it is over the limit: nothing is allocated for it."""
    length = int.from_bytes(head)
    if length > FRAME_BYTES_MAX:
        raise BadFrame(f"A frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}.")
    return length


def read_command(body: bytes) -> Command:
    """Decode what an agent said. Raises BadFrame."""
    try:
        return _commands.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame from error


def read_news(body: bytes) -> News:
    """Decode what an engine's process said. Raises BadFrame."""
    try:
        return _news.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame from error
