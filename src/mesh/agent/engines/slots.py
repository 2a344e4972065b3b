"""What the pool of engines keeps of a model and of each process's place.

Touches: nothing.
"""

import asyncio
from collections.abc import Callable

from mesh.workloads.catalogue import ModelEntry
from mesh.workloads.contract import Payload, Workload
from mesh.workloads.process import EngineProcess
from mesh.workloads.speed import Speed

Say = Callable[[str, int, int], None]
"""Progress of getting ready: stage (``checking``, ``downloading``, ``copying``, ``loading``), done, total bytes."""


def units_of_time(workload: Workload, payload: Payload, result: Payload) -> int:
    """What the time of a job that is done grew with."""
    return workload.effort(payload, result) or workload.count(payload, result)


class Known:
    """One (workload, model), and what is known of its speed here. ``assumed``: nothing was measured yet."""

    def __init__(self, workload: Workload, entry: ModelEntry) -> None:
        self.workload = workload
        self.entry = entry
        self.speed: Speed | None = None
        self.assumed = False
        self.load_s = 0.0
        self.started = 0

    def assume(self, lanes: int) -> None:
        """Until the first job was done: what plain cores do."""
        fixed_s = self.workload.assumed_fixed_s
        self.speed, self.assumed = Speed(lanes / self.workload.assumed_s, fixed_s), True

    def learn(self, payload: Payload, result: Payload, work_s: float, lanes: int) -> None:
        """Follow the speed through a real job, which alone took ``work_s``. Where speeds are assumed, units are worked
        on one per lane, so a job of few leaves the other lanes to the next.
        """
        units = units_of_time(self.workload, payload, result)
        if self.speed is None or not units:
            return
        if self.workload.assumed_s:
            work_s *= min(lanes, units) / lanes
        if self.assumed and work_s > 0:
            self.speed, self.assumed = self.speed.scaled(units, work_s), False
        else:
            self.speed = self.speed.after(units, work_s)


class Slot:
    """The place of one process of a model. ``group``: the requester it is for, empty where all share it."""

    def __init__(self, known: Known, group: str) -> None:
        self.known = known
        self.entry = known.entry
        self.group = group
        self.name = known.entry.id if not group else f"{known.entry.id}#{known.started}"
        self.process: EngineProcess | None = None
        self.getting_ready: asyncio.Future[EngineProcess] | None = None
        self.listeners: list[Say] = []
        self.closing = asyncio.Event()
        self.lives: set[asyncio.Task[None]] = set()
        self.users = 0
        self.jobs = 0
        self.retired = False
        self.used_at = 0.0

    def say(self, stage: str, done: int, total: int) -> None:
        """Tell those who wait for it how far it is."""
        for listener in list(self.listeners):
            listener(stage, done, total)

    @property
    def warm(self) -> bool:
        """Whether a job can be given to it now."""
        return self.process is not None and self.process.alive

    def left(self, now_s: float) -> None:
        """A user has gone; the last one of a process that is not to grow older takes it along."""
        self.users -= 1
        self.used_at = now_s
        if self.retired and self.users == 0:
            self.closing.set()
