"""What each workload promises: how its input is checked and counted, and how its engine is run.

A *handler* (``Workload``) runs in the requester, the worker's agent and the child; it must stay cheap to import. An
*engine* runs only in the child process and may load model libraries. A job's payload is a manifest (a JSON object) and
blobs (bytes); so is its result. Input is hostile: limits are checked before anything is allocated or decoded.

An engine cuts a payload into pieces (a text, a page), and the child gathers pieces of whatever jobs are queued into
batches. So a large job never stands in front of a small one, and small ones share a batch.

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


class Engine(Protocol):
    """A loaded model, inside the child."""

    lanes: int
    """How many threads may work at once, each with its own lane number from 0."""

    batch_pieces_max: int
    batch_size_max: int
    """Limits of one batch: its pieces, and pieces times the largest one's size (what padding makes of it)."""

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """Cut a payload into its pieces, lazily. Raises BadInput for what only the model's own tokenizer can tell."""
        ...

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop) -> Sequence[Any]:
        """Work on a batch; one answer per piece, in order. An engine that does not heed ``stop`` within a second is
        killed with its process.
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
    """Seconds of one lane per unit, assumed until the first job was done; 0: measured with a rehearsal."""

    def check(self, payload: Payload) -> None:
        """Refuse input that breaks the workload's limits. Raises BadInput (or a subclass)."""
        ...

    def count(self, payload: Payload, result: Payload | None) -> int:
        """Units of this job: what the requester can count itself from input and result."""
        ...

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse a result that does not fit the input (shapes, sizes). Raises BadInput."""
        ...

    def rehearsal(self, pieces: int) -> Payload:
        """Made-up input of typical size with so many pieces: what a device measures its own speed with."""
        ...

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """Make the payload of one line of a batch (a JSON object, without its id). Raises BadInput."""
        ...

    def to_line(self, result: Payload) -> dict[str, Any]:
        """What a batch's results say of such a job, as fields of a JSON object."""
        ...

    def load(self, model: Model) -> Engine:
        """Load the engine; only called in the child."""
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
