"""One attempt under way, with all that was heard of it: the job's line, the device and its model, the signs of life.

Times are seconds of the requester's own attentive clock: while its loop did not run, nobody was silent.

Touches: nothing.
"""

import asyncio
from collections.abc import Callable

from mesh.agent.asking.job import Job, Tried, Won
from mesh.agent.asking.plan import Plan, Target
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.jobs.benching import Bench
from mesh.jobs.deadlines import Signs, deadline_s
from mesh.jobs.facts import RATE_NEAR_BYTES_S, RATE_UNKNOWN_BYTES_S
from mesh.jobs.learning import Shown
from mesh.jobs.seating import Seat
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame
from mesh.protocol.session import Key
from mesh.protocol.values import Choice, Load, PathKind
from mesh.transport.interface import Address

LOAD_OLD_S = 5.0
"""Words that overtake each other are milliseconds apart."""
FAST_RTT_S = 0.005
"""A round trip below this is within a building, where networks are fast too."""

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


class DeviceSeen:
    """A device's load, and whether it is there.

    ``rtt_s`` None: not measured yet. It then counts as near, or a device that was never used never would be.
    """

    def __init__(self, device: DeviceId) -> None:
        self.device = device
        self.silent: Bench | None = None
        self.rtt_s: float | None = None
        self.heard_s = 0.0
        self.wanted_s = 0.0
        """When a job last could have gone there."""
        self.address: Address | None = None
        self.flights: set[Flight] = set()
        self._load = Load()
        self._load_s = 0.0
        self._unseen: dict[Key, float] = {}

    def see(self, load: Load, now_s: float) -> None:
        """The device says how much it has to do; only the newest such word counts.

        A device that has started anew counts from the beginning again: what it said long before does not stand.
        """
        self.heard_s = now_s
        if load.sequence > self._load.sequence or now_s - self._load_s > LOAD_OLD_S:
            self._load, self._load_s = load, now_s

    def sent(self, key: Key, service_s: float) -> None:
        """A job goes there that its load does not count yet."""
        self._unseen[key] = service_s

    def counted(self, key: Key) -> None:
        """From now on its load counts that job, or never will."""
        self._unseen.pop(key, None)

    def forget(self) -> None:
        """It was lost: when it comes back it begins anew, with nothing of ours."""
        self._load, self._unseen = Load(), {}

    def wait_s(self, now_s: float) -> float:
        """Seconds of work that wait there, as far as is known here."""
        told = max(0.0, self._load.work_s - (now_s - self._load_s))
        return told + sum(self._unseen.values())

    def carry_s(self, size: int) -> float:
        """Seconds in which an input of this size should get there."""
        if self.rtt_s == 0.0:
            return 0.0
        near = self.rtt_s is None or self.rtt_s < FAST_RTT_S
        return size / (RATE_NEAR_BYTES_S if near else RATE_UNKNOWN_BYTES_S)


class ModelSeen:
    """A device with one model: what its jobs have shown, which of ours are there, whether its engine does anything."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.flights: set[Flight] = set()
        self.misses = 0
        self.slow: Bench | None = None
        self.canary: Flight | None = None
        self.done_s = 0.0


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
