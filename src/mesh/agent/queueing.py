"""What waits and runs on this device: admission by deadline, the fair order, and how much goes to the engines at once.

Touches: nothing.
"""

from typing import Generic, NamedTuple, TypeVar

from mesh.agent.fair_queue import FairQueue, Queued
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


class TooLate(MeshError):
    """The device has too much to do to finish this in time. Other devices are tried; else try again a little later."""

    code = "worker.late"
    kind = "too_many"


class QueueFull(MeshError):
    """The device's queue is full. Other devices are tried; else try again a little later."""

    code = "worker.full"
    kind = "too_many"


class Bid(NamedTuple):
    """What a job asks of the queue. ``limit_s``: it must be finished within; ``wait_limit_s``: or rather be Busy."""

    member: MemberId
    service_s: float
    payload_bytes: int
    limit_s: float
    wait_limit_s: float | None


class Work(Generic[T]):
    """The jobs of this device, queued and running."""

    def __init__(self, owner: MemberId) -> None:
        self.queue: FairQueue[T] = FairQueue(owner)
        self.running = 0
        self._running_s = 0.0
        self._held_bytes = 0
        self._sequence = 0

    def load(self) -> Load:
        """The load as told to others; every telling has a higher sequence number."""
        self._sequence += 1
        return Load(self._sequence, len(self.queue) + self.running, self.queue.work_s + self._running_s)

    def wait_s(self, member: MemberId) -> float:
        """Seconds until a new job of this member would start."""
        return self.queue.wait_s(member) + max(0.0, self._running_s - IN_ENGINE_S)

    def admit(self, bid: Bid) -> float | None:
        """Seconds that the job will wait; None: longer than its own wait limit. Raises TooLate, QueueFull."""
        if self._held_bytes + bid.payload_bytes > HELD_BYTES_MAX:
            raise QueueFull(retry_after_s=round(self.queue.work_s, 3))
        wait = self.wait_s(bid.member)
        if bid.wait_limit_s is not None and wait > bid.wait_limit_s:
            return None
        over = WAIT_MARGIN * wait + bid.service_s - bid.limit_s
        if over > 0:
            raise TooLate(retry_after_s=round(over, 3))
        return wait

    def put(self, bid: Bid, entry: T) -> T | None:
        """Queue an admitted job; returns one that had to leave for it. Raises QueueFull."""
        pushed: Queued[T] | None = None
        if self.queue.full:
            pushed = self.queue.make_room(bid.member)
            if pushed is None:
                raise QueueFull(retry_after_s=round(self.queue.work_s, 3))
        self.queue.put(Queued(bid.member, bid.service_s, entry))
        return None if pushed is None else pushed.entry

    def hold(self, payload_bytes: int) -> None:
        """A payload is held, or (negative) let go."""
        self._held_bytes += payload_bytes

    def start(self) -> Queued[T] | None:
        """The next job for the engines, if they should have more now. ``end`` must follow."""
        if self.running and (self.running >= IN_ENGINE_MAX or self._running_s >= IN_ENGINE_S):
            return None
        job = self.queue.take()
        if job is not None:
            self.running += 1
            self._running_s += job.service_s
        return job

    def end(self, service_s: float) -> None:
        """A started job has left the engines."""
        self.running -= 1
        self._running_s = max(0.0, self._running_s - service_s) if self.running else 0.0
