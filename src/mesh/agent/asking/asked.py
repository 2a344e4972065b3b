"""What is asked of the requester, and what comes of it: a result, its stream, or the reason why there is none.

Touches: nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.agent.asking.numbers import Numbered
from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId
from mesh.protocol import link
from mesh.protocol.values import Explanation, JobSpec, Need, PathKind, Routing, Sensitivity
from mesh.workloads.contract import Outlet, Payload, Workload

LIMIT_S = 600.0
"""A job's time limit where nobody names one."""
ATTEMPTS_A_LIFE = 16
"""Attempts of a job that goes on after crashes, in each life: 3 failures and 10 losses, and some that decline. The
coordinator knows numbers up to 64: that is four lives."""

OnProgress = Callable[[JobId, str, float], None]
"""Told how far a job is: stage and fraction (0..1)."""


class Outrun(MeshError):
    """Another device had the job's result first, so this attempt was stopped. Nothing is paid for it."""

    code = "job.outrun"


class JobFailed(MeshError):
    """The job failed. The facts name each attempt and how it ended; `mesh job why` tells more."""

    code = "job.failed"


class AllBusy(MeshError):
    """Every device that could do this is busy or declines. Try again after the time named in the facts."""

    code = "job.all_busy"
    kind = "too_many"


class JobTimedOut(MeshError):
    """The job did not finish within its time limit. Raise the limit, split the job, or add a device."""

    code = "job.timed_out"
    kind = "timed_out"


class WrongResult(MeshError):
    """The worker's result does not match its own receipt. It was not accepted; nothing is paid for it."""

    code = "job.wrong_result"


class StreamBroken(MeshError):
    """The stream ended in the middle: what came is good, but not all. The facts say how far it got; try again."""

    code = "stream.broken"


class Begun(NamedTuple):
    """The first bytes of a streamed result are here: of which job, from where; it costs ``estimate`` at the most."""

    job: JobId
    attempt: int
    device: DeviceId
    path: PathKind
    estimate: int
    model: str


class Join(msgspec.Struct, frozen=True):
    """Where a streamed text goes on in another job, after the one that made it so far had broken.

    ``at``: characters before it. ``after``: the job that broke there, by what ``cause``, and what is paid for it.
    """

    at: int
    job: JobId
    device: DeviceId
    path: PathKind
    after: JobId
    cause: str
    charge: int


class Reader(Outlet):
    """Where a job's result goes as it is made. Once anything went there, the job is not tried anywhere else."""

    def __init__(self, put: Callable[[bytes], None], begin: Callable[[Begun], None]) -> None:
        """``begin`` is called before the first bytes are put."""
        super().__init__(put)
        self.begin = begin
        self.begun: int | None = None
        """The attempt whose bytes go there, once there are any."""
        self.joined: Callable[[Join], None] = lambda join: None
        """Called before the first bytes of another job that goes on with the text."""


class Again(NamedTuple):
    """A job whose id its caller keeps, over crashes too: asked again it goes on as the same job, paid once at most.

    ``attempts``: numbers up to this may have been used by an earlier life, and are never given again.
    """

    numbered: Numbered
    attempts: int


class Ask(NamedTuple):
    """What a caller wants: the work, its input, and within which bounds."""

    workload: Workload
    payload: Payload
    model: str | None = None
    sensitivity: Sensitivity = "private"
    routing: Routing = Routing()
    max_cost: int | None = None
    limit_s: float = LIMIT_S
    again: "Again | None" = None
    reader: Reader | None = None
    """Gets the result as it is made, where the workload streams."""
    need: Need = Need()
    resume: bool = False
    """What came of a stream that breaks is used and paid: its reader goes on with it."""
    avoid: tuple[DeviceId, ...] = ()
    """Devices that are out of question."""
    on_progress: OnProgress | None = None
    caller: str = ""
    """Who hands it in at this device: callers take turns in its line. Nobody else learns of it."""

    def spec(self, units: int) -> JobSpec:
        """What the coordinator learns of it."""
        return JobSpec(
            workload=self.workload.name,
            model=self.model or self.workload.default_model,
            units=units,
            sensitivity=self.sensitivity,
            routing=self.routing,
            need=self.need,
            max_cost=self.max_cost,
            limit_s=self.limit_s,
            effort=self.workload.effort(self.payload, None),
        )


class Result(NamedTuple):
    """A job that is done. ``charge`` in micro-credits; ``units`` as counted here."""

    job: JobId
    device: DeviceId
    path: PathKind
    charge: int
    units: int
    model: str
    payload: Payload
    attempts: tuple[link.AttemptReport, ...]
    explanation: Explanation
    joins: tuple[Join, ...] = ()
    """Where it went on in another job: ``job`` and what belongs to it are the last one's then, ``charge`` is of all."""
