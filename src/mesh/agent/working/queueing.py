"""What waits and runs on this device: admission by deadline, the fair order, and how much goes to the engines at once.

The owner's own jobs wait for nobody else's: they go to the engines at once, where they come before all other work
(``workloads.batching``). What others may have in the engines can be limited further by the owner.

Touches: nothing (the clock is an argument).
"""

from collections import Counter
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from mesh.agent.working.fair_queue import FairQueue, Queued
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.protocol.values import Load
from mesh.units import MIB

T = TypeVar("T")

WAIT_MARGIN = 1.25
"""A wait is estimated; at 10 times the load a margin of 1.25 keeps all work useful (scheduling 4.5)."""
IN_ENGINE_MAX = 32
"""Jobs given to the engines at once: enough for a full batch."""
IN_ENGINE_S = 0.2
"""Work given to the engines at once, beyond the first job: what a member's turn may come late by."""
HELD_BYTES_MAX = 512 * MIB
"""Payloads held by all jobs that wait or run."""
MEMBER_JOBS_MAX = 128
"""Jobs of one member that wait or run here: half of the queue, so that nobody alone can fill it."""
SOON_S = 0.1
"""The least time after which asking again makes sense: a few jobs have ended."""


class TooLate(MeshError):
    """The device has too much to do to finish this in time. Other devices are tried; else try again a little later."""

    code = "worker.late"
    kind = "too_many"


class QueueFull(MeshError):
    """The device's queue is full. Other devices are tried; else try again a little later."""

    code = "worker.full"
    kind = "too_many"


class TooManyJobs(MeshError):
    """You have as many jobs on this device as one person may have there. Other devices are tried; else try later."""

    code = "worker.too_many_jobs"
    kind = "too_many"


class Bid(NamedTuple):
    """What a job asks of the queue. ``limit_s``: it must be finished within, counted from ``at_s``; ``wait_limit_s``:
    or rather be Busy; ``jobs_max``: how many jobs its member may have here at once.
    """

    member: MemberId
    service_s: float
    payload_bytes: int
    limit_s: float
    wait_limit_s: float | None
    at_s: float = 0.0
    jobs_max: int = MEMBER_JOBS_MAX


class Next(NamedTuple, Generic[T]):
    """The next job for the engines (None: not now), and those that had waited too long to be finished in time."""

    job: Queued[T] | None
    late: list[T]


class _Running:
    """What a class of jobs has in the engines; the work of it drains by one second a second."""

    def __init__(self) -> None:
        self.count = 0
        self._full_s = 0.0
        self._left_s = 0.0
        self._at_s = 0.0

    def left_s(self, now_s: float) -> float:
        return max(0.0, self._left_s - (now_s - self._at_s))

    def add(self, service_s: float, now_s: float) -> None:
        self.count += 1
        self._full_s += service_s
        self._left_s, self._at_s = self.left_s(now_s) + service_s, now_s

    def drop(self, service_s: float, now_s: float) -> None:
        """One has ended: what the others have left is at most all of their work."""
        self.count -= 1
        self._full_s = max(0.0, self._full_s - service_s) if self.count else 0.0
        self._left_s, self._at_s = min(self.left_s(now_s), self._full_s), now_s

    def takes_more(self, now_s: float) -> bool:
        return self.count == 0 or (self.count < IN_ENGINE_MAX and self.left_s(now_s) < IN_ENGINE_S)


class Work(Generic[T]):
    """The jobs of this device, queued and running."""

    def __init__(self, owner: MemberId, clock: Callable[[], float]) -> None:
        """``clock``: seconds that never jump (sleep counted, where the system can)."""
        self.queue: FairQueue[T] = FairQueue(owner)
        self.others_max: int | None = None
        """Jobs of other people in the engines at once, at most (None: no limit of the owner's)."""
        self._owner = owner
        self._clock = clock
        self._mine, self._others = _Running(), _Running()
        self._held_bytes = 0
        self._held: Counter[MemberId] = Counter()
        self._sequence = 0

    @property
    def running(self) -> int:
        """Jobs in the engines."""
        return self._mine.count + self._others.count

    @property
    def running_others(self) -> int:
        """Jobs of other people in the engines."""
        return self._others.count

    def load(self, coming: Bid | None = None) -> Load:
        """The load as told to others; every telling has a higher sequence number. ``coming``: a job that is taken, and
        not in the queue yet.
        """
        self._sequence += 1
        depth, work_s = len(self.queue) + self.running, self.work_s()
        if coming is not None:
            depth, work_s = depth + 1, work_s + coming.service_s
        return Load(self._sequence, depth, work_s)

    def work_s(self) -> float:
        """Seconds of work that wait or run."""
        now_s = self._clock()
        return self.queue.work_s + self._mine.left_s(now_s) + self._others.left_s(now_s)

    def wait_s(self, member: MemberId) -> float:
        """Seconds until a new job of this member would start."""
        now_s = self._clock()
        running_s = self._mine.left_s(now_s)
        if member != self._owner:
            running_s += self._others.left_s(now_s)
        return self.queue.wait_s(member) + max(0.0, running_s - IN_ENGINE_S)

    def admit(self, bid: Bid) -> float | None:
        """Seconds that the job will wait; None: longer than its own wait limit. Raises TooLate, QueueFull, TooManyJobs.

        Every refusal says when it is worth to ask again (``retry_after_s``).
        """
        if self._held_bytes + bid.payload_bytes > HELD_BYTES_MAX:
            raise QueueFull(retry_after_s=self._hint(self.work_s()))
        if bid.member != self._owner and self._held[bid.member] >= bid.jobs_max:
            raise TooManyJobs(limit=bid.jobs_max, retry_after_s=self._hint(self.work_s() / self._held[bid.member]))
        wait = self.wait_s(bid.member)
        if bid.wait_limit_s is not None and wait > bid.wait_limit_s:
            return None
        over = WAIT_MARGIN * wait + bid.service_s - bid.limit_s
        if over > 0:
            # the wait alone, and what of it must drain until the margin lets the job in
            raise TooLate(retry_after_s=self._hint(max(wait + bid.service_s - bid.limit_s, over / WAIT_MARGIN)))
        return wait

    def put(self, bid: Bid, entry: T) -> T | None:
        """Queue an admitted job; returns one that had to leave for it. Raises QueueFull."""
        pushed: Queued[T] | None = None
        if self.queue.full:
            pushed = self.queue.make_room(bid.member)
            if pushed is None:
                raise QueueFull(retry_after_s=self._hint(self.work_s()))
        start_by_s = bid.at_s + bid.limit_s - bid.service_s
        self.queue.put(Queued(bid.member, bid.service_s, entry, start_by_s))
        return None if pushed is None else pushed.entry

    def pushed_out(self) -> QueueFull:
        """What a job is told that had to leave for another member's."""
        return QueueFull(retry_after_s=self._hint(self.work_s()))

    def expired(self) -> TooLate:
        """What a job is told that waited until it could not be finished in time any more."""
        return TooLate(retry_after_s=self._hint(self.work_s()))

    def hold(self, bid: Bid) -> None:
        """A job and its payload are held from now on; ``release`` must follow."""
        self._held_bytes += bid.payload_bytes
        self._held[bid.member] += 1

    def release(self, bid: Bid) -> None:
        """A job is let go of."""
        self._held_bytes -= bid.payload_bytes
        self._held[bid.member] -= 1
        if not self._held[bid.member]:
            del self._held[bid.member]

    def next(self) -> Next[T]:
        """The next job for the engines, if they should have more now: ``end`` must follow. The late ones are gone."""
        now_s, late = self._clock(), []
        while self._open(now_s):
            job = self.queue.take()
            if job is None:
                break
            if now_s > job.start_by_s:
                late.append(job.entry)
                continue
            self._of(job).add(job.service_s, now_s)
            return Next(job, late)
        return Next(None, late)

    def end(self, job: Queued[T]) -> None:
        """A started job has left the engines."""
        self._of(job).drop(job.service_s, self._clock())

    def _open(self, now_s: float) -> bool:
        """Whether the job whose turn it is may go to the engines."""
        if self.queue.owner_waits:
            return self._mine.takes_more(now_s)
        if self.others_max is not None and self._others.count >= self.others_max:
            return False
        if self._mine.count and not self._mine.takes_more(now_s):
            return False
        return self._others.takes_more(now_s)

    def _of(self, job: Queued[T]) -> _Running:
        return self._mine if job.member == self._owner else self._others

    @staticmethod
    def _hint(seconds: float) -> float:
        return round(max(SOON_S, seconds), 3)
