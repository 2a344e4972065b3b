"""One attempt under way, with all that was heard of it: the job's line, the device, the signs of life.

Touches: nothing.
"""

import asyncio
from collections.abc import Callable

from mesh.agent.asking.job import Job, Plan, Target, Tried, Won
from mesh.agent.asking.knowledge import DeviceSeen, ModelSeen
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.jobs.deadlines import Signs, deadline_s
from mesh.jobs.seating import Seat
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame
from mesh.protocol.session import Key
from mesh.protocol.values import Choice, Load, PathKind

Outcome = Won | float
"""A result; or seconds to wait before a job is planned anew, since its plan has nothing left to try."""


class Entry:
    """A job with a plan: where it may still go, its attempts under way, and who waits for its end."""

    def __init__(self, job: Job, plan: Plan, over: "asyncio.Future[Outcome]") -> None:
        self.job = job
        self.plan = plan
        self.over = over
        self.left: list[Target] = list(plan.targets)
        self.flights: list[Flight] = []
        self.not_before_s = 0.0
        self.busy_answers = 0
        self.copied = False
        self.waited = False
        self.last: MeshError | None = None
        self.seat = Seat(0.0, 0)
        """Its place in the line, the same one with another plan."""

    @property
    def flown(self) -> set[DeviceId]:
        """Devices that have it now."""
        return {flight.target.device for flight in self.flights}


class Flight:
    """An attempt under way. ``told`` is called after every word of the worker about it."""

    def __init__(
        self, entry: Entry, tried: Tried, choice: Choice, seen: tuple[DeviceSeen, ModelSeen],
        told: "Callable[[Flight, AnyFrame | None], None]",
    ) -> None:  # fmt: skip
        self.entry = entry
        self.job = entry.job
        self.tried = tried
        self.target = tried.target
        self.choice = choice
        self.device, self.model = seen
        self.signs: Signs | None = None
        self.began_s = 0.0
        self.task: asyncio.Task[None]
        self.begun = False
        self.dropped = False
        self.taken_back: MeshError | None = None
        self.late = False
        self.moving = False
        """It says how far its work is: what goes on is not overdue, however long it takes in all."""
        self._told = told

    @property
    def key(self) -> Key:
        """What names the attempt."""
        return (self.job.id, self.tried.number)

    @property
    def started(self) -> bool:
        """Whether the work has begun."""
        return self.signs is not None and self.signs.started_s is not None

    @property
    def canary(self) -> bool:
        """Whether it only finds out whether a device works again."""
        return self.choice.reason == "canary"

    def give_up(self) -> None:
        """End it. A task that is cancelled before its first step would never clean up: that one finds out there."""
        self.dropped = True
        if self.begun:
            self.task.cancel()

    def deadline_s(self) -> float:
        """Seconds in which the next sign must come once it has started."""
        return deadline_s(self.model.shown, self.job.spec.work, limit_s=self.job.spec.limit_s)

    # --- told by the exchange -----------------------------------------------------------------------------------------

    def connected(self, path: PathKind, rtt_s: float | None) -> None:
        """There is a connection: the Submit leaves now."""
        self.tried.path = path
        if path == "local":
            self.device.rtt_s = 0.0
        elif rtt_s is not None:
            self.device.rtt_s = rtt_s
        self._told(self, None)

    def heard(self, frame: AnyFrame) -> None:
        """The worker says something about it."""
        self._told(self, frame)


_TELLS = (frames.Accept, frames.Busy, frames.Decline, frames.Started, frames.Done, frames.Fault)


def load_of(frame: AnyFrame) -> Load | None:
    """The load that a frame tells of, if any."""
    return frame.load if isinstance(frame, _TELLS) else None
