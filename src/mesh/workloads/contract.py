"""What each workload promises: how its input is checked and counted, and how its engine is run.

A *handler* (``Workload``) runs in the requester, the worker's agent and the child; it must stay cheap to import. An
*engine* runs only in the child process and may load model libraries. A job's payload is a manifest (a JSON object) and
blobs (bytes); so is its result. Input is hostile: limits are checked before anything is allocated or decoded.

An engine cuts a payload into pieces (a text, a page), and the child gathers pieces of whatever jobs are queued into
batches. So a large job never stands in front of a small one, and small ones share a batch.

A workload that *streams* also lets its result out while it is made: as one sequence of bytes (UTF-8 text, lines of
JSON) that may be cut anywhere. Whoever lets it out waits for whoever takes it: an ``Outlet`` carries the bytes one way
and the room for more the other. The whole result follows at the end and says the same.

Touches: nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from mesh.errors import MeshError
from mesh.protocol.values import Unit


class BadInput(MeshError):
    """The input cannot be worked on. Change what the message names, then send it again."""

    code = "input.invalid"
    kind = "invalid"


class Payload(msgspec.Struct, frozen=True):
    """What a job carries to its worker, or back: a JSON object and blobs. MessagePack on the wire."""

    manifest: dict[str, Any]
    blobs: tuple[bytes, ...] = ()


class Model(msgspec.Struct, frozen=True):
    """A model that is ready to load: its files (catalogue name → path), its settings, and how many lanes to open."""

    id: str
    files: dict[str, str]
    settings: dict[str, int | str | bool]
    lanes: int = 1


class Piece(msgspec.Struct, frozen=True):
    """The least part of a job that is worked on at once. ``size`` is its cost in the engine's own measure (tokens)."""

    content: Any
    size: int


class Turn(NamedTuple):
    """How a job stands among others. Jobs of different ``group`` never share a batch; ``first``: it is the owner's own,
    and goes before all that are not.
    """

    group: str = ""
    first: bool = False


ANY_TURN = Turn()
"""A job like any other."""


class Stop:
    """How an engine learns, in the middle of a batch, that nobody wants its answers any more. Any thread may ask."""

    def __init__(self) -> None:
        self.asked = False
        self._act: Callable[[], None] = lambda: None

    def ask(self) -> None:
        """The batch is to end soon, with any exception."""
        self.asked = True
        self._act()

    def then(self, act: Callable[[], None]) -> None:
        """What makes the batch end; done at once if it was asked already."""
        self._act = act
        if self.asked:
            act()


class Outlet:
    """Where the bytes of a streamed result go, and how their giver learns that there is room for more.

    ``put`` never waits; whoever gives keeps at most a window of untaken bytes under way. Whoever takes calls ``took``
    once bytes are out of its hands: until then the giver may hold back what follows.
    """

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.put = put
        self.on_taken: Callable[[int], None] = lambda count: None
        """Set by the giver: so many bytes more were taken."""

    def took(self, count: int) -> None:
        """So many bytes more are out of the taker's hands."""
        self.on_taken(count)


class Listener(NamedTuple):
    """Who hears of a job under way, each where anybody does."""

    outlet: Outlet | None = None
    """Gets the bytes of its result as they are made, where the workload streams."""
    advance: Callable[[float], None] | None = None
    """How much of it is done, 0..1."""
    ready: Callable[[str, int, int], None] | None = None
    """How far the model is from being ready, where it is not: stage, done, total bytes."""


NOBODY = Listener()


class Say(Protocol):
    """How an engine speaks in the middle of a piece, in the thread of its lane."""

    def __call__(self, content: bytes) -> None:
        """Let out bytes of a streamed result. Waits while the taker is slow, raises once nobody wants the result."""
        ...

    def advanced(self, fraction: float) -> None:
        """So much of the piece is done (0..1): what takes long before its first byte is known to live."""
        ...


class Engine(Protocol):
    """A loaded model, inside the child."""

    lanes: int
    """How many threads may work at once, each with its own lane number from 0."""

    others_lanes: int
    """How many of them work for others than the owner, at most."""

    batch_pieces_max: int
    batch_size_max: int
    """Limits of one batch: its pieces, and pieces times the largest one's size (what padding makes of it)."""

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """Cut a payload into its pieces, lazily. Raises BadInput for what only the model's own tokenizer can tell."""
        ...

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop, say: Say) -> Sequence[Any]:
        """Work on a batch; one answer per piece, in order. An engine that does not heed ``stop`` within a second is
        killed with its process. One that streams takes one piece at a time (``batch_pieces_max`` 1) and says its
        bytes; those of several pieces of a job leave in the order of the pieces, whichever is ready first.
        """
        ...

    def join(self, payload: Payload, pieces: Sequence[Piece], answers: Sequence[Any]) -> Payload:
        """Make a job's result from the answers to its pieces, both in the order they were cut."""
        ...


class Workload(Protocol):
    """One kind of work: the pure part, known to requester and worker alike."""

    name: str
    unit: Unit
    streams: bool
    deterministic: bool
    default_model: str
    apart: bool
    """Its engine parses what strangers were sent: requesters never share a process, and none grows old."""
    assumed_s: float
    """Seconds of one lane per unit, assumed until a rehearsal or the first job was done; 0: it is always rehearsed."""
    assumed_fixed_s: float
    """Seconds of every job beside them, assumed likewise."""

    def check(self, payload: Payload) -> None:
        """Refuse input that breaks the workload's limits. Raises BadInput (or a subclass)."""
        ...

    def count(self, payload: Payload, result: Payload | None) -> int:
        """Units of this job: what the requester can count itself from input and result.

        Without a result: the most that it can come to, which is what is set aside and shown before it runs.
        """
        ...

    def effort(self, payload: Payload, result: Payload | None) -> int:
        """What the job's time grows with, in units: of one that is done, or to be expected of one without a result.
        0: what ``count`` says is that already.
        """
        ...

    def count_streamed(self, payload: Payload, streamed: bytes) -> int:
        """Units of the output in these bytes of a stream; input is not in it. Those of a whole are the sum of its
        parts', and with ``count_input`` what ``count`` says of the result.
        """
        ...

    def count_input(self, payload: Payload) -> int:
        """Units of the input alone: due as soon as anything of the output has come."""
        ...

    def as_streamed(self, result: Payload) -> bytes:
        """All bytes that a stream of this result must have had; ``b""`` if the workload does not stream."""
        ...

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse a result that does not fit the input (shapes, sizes). Raises BadInput."""
        ...

    def rehearsal(self, pieces: int) -> Payload | None:
        """Made-up input of typical size with so many pieces, more than one being a large job: what a device measures
        its own speed with. None: there is no such input.
        """
        ...

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """Make the payload of one line of a batch (a JSON object, without its id). Raises BadInput."""
        ...

    def to_line(self, result: Payload) -> dict[str, Any]:
        """What a batch's results say of such a job, as fields of a JSON object."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """A workload whose large jobs may be cut into several, for several devices."""

    def divide(self, payload: Payload, parts: int) -> list[Payload]:
        """Cut a checked payload into up to ``parts``, in order; a small one stays whole."""
        ...

    def unite(self, results: Sequence[Payload]) -> Payload:
        """The result of the whole, from those of its parts in order."""
        ...


@runtime_checkable
class Continuable(Protocol):
    """A workload whose streamed text can go on elsewhere where it broke off."""

    def go_on(self, payload: Payload, said: str) -> Payload | None:
        """The input of which the rest is made, after so much was said; None where that cannot be."""
        ...

    def put_together(self, said: str, rest: Payload) -> Payload:
        """The whole result, of what was said before and the result of the rest."""
        ...


class Unstreamed:
    """What a workload that does not stream says of streams, and of work whose units are known beforehand."""

    streams = False
    assumed_fixed_s = 0.0

    def effort(self, payload: Payload, result: Payload | None) -> int:
        """Its units tell."""
        return 0

    def count_streamed(self, payload: Payload, streamed: bytes) -> int:
        """Nothing is streamed."""
        return 0

    def count_input(self, payload: Payload) -> int:
        """Nothing is due before the result."""
        return 0

    def as_streamed(self, result: Payload) -> bytes:
        """Nothing is streamed."""
        return b""
