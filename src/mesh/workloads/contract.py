"""What each workload promises: how its input is checked and counted, and how its engine is run.

A *handler* (``Workload``) runs in the requester, the worker's agent and the child; it must stay cheap to import. An
*engine* runs only in the child process and may load model libraries. A job's payload is a manifest (a JSON object) and
blobs (bytes); so is its result. Input is hostile: limits are checked before anything is allocated or decoded.

Touches: nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

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


class Engine(Protocol):
    """A loaded model, inside the child. Called from one thread at a time per instance of the child's choosing."""

    def run(self, payloads: Sequence[Payload], progress: Callable[[str, float], None]) -> list[Payload | MeshError]:
        """Work on a batch that was gathered from the queue; one answer per payload, in order.

        An error answers one payload and leaves the others alone. ``progress(stage, fraction)`` may be called often.
        """
        ...


class Workload(Protocol):
    """One kind of work: the pure part, known to requester and worker alike."""

    name: str
    unit: Unit
    streams: bool
    deterministic: bool
    default_model: str

    def check(self, payload: Payload) -> None:
        """Refuse input that breaks the workload's limits. Raises BadInput (or a subclass)."""
        ...

    def count(self, payload: Payload, result: Payload | None) -> int:
        """Units of this job: what the requester can count itself from input and result."""
        ...

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse a result that does not fit the input (shapes, sizes). Raises BadInput."""
        ...

    def load(self, model: str, files: dict[str, Path]) -> Engine:
        """Load the engine; only called in the child. ``files``: the model's files by their catalogue names."""
        ...
