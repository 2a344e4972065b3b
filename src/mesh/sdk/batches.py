"""What a command line and its agent say to each other about batches.

A batch is named by its id, or by the name that its submitter gave it.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.ids import BatchId, DeviceId, JobId
from mesh.jobs.batches import BatchState
from mesh.protocol.values import Need, Routing, Sensitivity
from mesh.sdk.lines import Answer, Request

RESULTS_BYTES_MAX = 8 * 1024 * 1024
"""Content of one page of results: 5,000 vectors; in base64 well below what a line may have."""
RESULTS_MAX = 2000


class SubmitBatch(Request, frozen=True):
    """Take up input that lies in the home's ``batches`` as ``file``. Answered by ``Batch``.

    With a ``name`` it may be said again: the same content is the same batch, other content is refused. ``max_cost``
    in micro-credits is for all lines together.
    """

    file: str
    workload: str
    name: str | None = None
    model: str | None = None
    sensitivity: Sensitivity = "private"
    routing: Routing = Routing()
    max_cost: int | None = None
    limit_s: float = 600.0
    need: Need = Need()


class GetBatches(Request, frozen=True):
    """All batches of this device, newest first. Answered by ``Batches``."""


class GetBatch(Request, frozen=True):
    """One batch. Answered by ``Batch``; with ``watch`` by a line whenever it changes, until it has ended."""

    batch: str
    watch: bool = False


class GetResults(Request, frozen=True):
    """A page of results after ``after``, in the order of the input or as they came. Answered by ``Results``."""

    batch: str
    after: int = -1
    as_they_came: bool = False


class CancelBatch(Request, frozen=True):
    """Stop what runs and leave what is done. Answered by ``Batch``."""

    batch: str


class ResumeBatch(Request, frozen=True):
    """Go on with a batch that has ended: lines that were not done, and with ``failed`` those that failed.

    ``max_cost``: the new limit, None to leave it. Answered by ``Batch``.
    """

    batch: str
    max_cost: int | None = None
    failed: bool = False


class DeleteBatch(Request, frozen=True):
    """Erase a batch with its input and results; what runs of it is cancelled. Answered by ``Ok``."""

    batch: str


class DeviceShare(msgspec.Struct, frozen=True):
    """How many lines a device did."""

    device: DeviceId
    lines: int


class Batch(Answer, frozen=True):
    """A batch as it is now. ``code`` says why it waits or stopped, ``message`` the same in words.

    ``charge`` in micro-credits; ``bytes``: what its input and results keep on disk; ``eta_s`` None: nobody can tell.
    """

    batch: BatchId
    workload: str
    model: str
    state: BatchState
    lines: int
    ok: int = 0
    failed: int = 0
    running: int = 0
    charge: int = 0
    name: str | None = None
    max_cost: int | None = None
    code: str = ""
    message: str = ""
    lines_per_s: float = 0.0
    eta_s: float | None = None
    devices: tuple[DeviceShare, ...] = ()
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    """Code → lines that failed with it."""
    created_ms: int = 0
    changed_ms: int = 0
    bytes: int = 0
    again: bool = False
    """This very batch was submitted before: nothing new was begun."""
    last: bool = True
    """False: another line follows."""


class Batches(Answer, frozen=True):
    """The batches of this device."""

    batches: tuple[Batch, ...]


class ResultLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line came to. ``line`` counts from 1; ``manifest`` and ``blobs`` are the job's result, or ``error``."""

    line: int
    id: str | int
    job: JobId
    device: DeviceId | None = None
    charge: int = 0
    manifest: dict[str, Any] | None = None
    blobs: tuple[bytes, ...] = ()
    error: dict[str, Any] | None = None


class Results(Answer, frozen=True):
    """A page of results; ``next`` asks for the page after it, None: there is no more now."""

    results: tuple[ResultLine, ...]
    next: int | None = None


AnyBatchRequest = SubmitBatch | GetBatches | GetBatch | GetResults | CancelBatch | ResumeBatch | DeleteBatch
AnyBatchAnswer = Batch | Batches | Results
