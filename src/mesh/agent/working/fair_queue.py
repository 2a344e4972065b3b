"""The worker's queue: the owner's jobs first, then members in turn by the work they ask for, not by how many jobs.

Start-time fair queuing: a member's next job starts, in virtual time, where their last one ends; the least start goes
first, and a newcomer starts at the current virtual time. What a job will wait is known before it is admitted.

Touches: nothing.
"""

import math
from collections import deque
from typing import Generic, NamedTuple, TypeVar

from mesh.ids import MemberId

T = TypeVar("T")

QUEUE_MAX = 256
"""Only a bound on memory: admission by deadline refuses long before."""


class Queued(NamedTuple, Generic[T]):
    """A job that waits: whose it is, how many seconds it should take, and until when (by the queue's owner's clock) it
    must have started to be finished in time.
    """

    member: MemberId
    service_s: float
    entry: T
    start_by_s: float = math.inf


class FairQueue(Generic[T]):
    """Jobs by member. Not thread-safe."""

    def __init__(self, owner: MemberId) -> None:
        """``owner``: whose jobs go before all others."""
        self._owner = owner
        self._lines: dict[MemberId, deque[Queued[T]]] = {}
        self._starts: dict[MemberId, float] = {}
        self._virtual_s = 0.0
        self._count = 0
        self.work_s = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def owner_waits(self) -> bool:
        """Whether a job of the owner waits."""
        return self._owner in self._lines

    @property
    def full(self) -> bool:
        """Whether the memory bound is reached."""
        return self._count >= QUEUE_MAX

    def wait_s(self, member: MemberId) -> float:
        """Seconds of work that go before a new job of this member."""
        mine = self._lines.get(member, deque())
        own = sum(job.service_s for job in mine)
        if member == self._owner:
            return own
        turns = len(mine) + 1
        others = 0.0
        for other, line in self._lines.items():
            if other == member:
                continue
            taken = len(line) if other == self._owner else min(len(line), turns)
            others += sum(line[place].service_s for place in range(taken))
        return own + others

    def make_room(self, member: MemberId) -> Queued[T] | None:
        """In a full queue: push out the newest job of the longest line, if that is longer than this member's would be.

        Returns the job that must be declined, or None when nobody holds more than their share.
        """
        mine = len(self._lines.get(member, ())) + 1
        others = [who for who in self._lines if who != self._owner]
        if not others:
            return None
        longest = max(others, key=lambda who: len(self._lines[who]))
        if member != self._owner and len(self._lines[longest]) <= mine:
            return None
        return self._without(longest, self._lines[longest][-1])

    def put(self, job: Queued[T]) -> None:
        """Add a job at the end of its member's line."""
        if job.member not in self._lines:
            self._lines[job.member] = deque()
            self._starts[job.member] = max(self._starts.get(job.member, 0.0), self._virtual_s)
        self._lines[job.member].append(job)
        self._count += 1
        self.work_s += job.service_s

    def take(self) -> Queued[T] | None:
        """The next job, or None."""
        if not self._lines:
            return None
        member = self._owner
        if member not in self._lines:
            member = min(self._lines, key=lambda who: self._starts[who])
            self._virtual_s = self._starts[member]
        job = self._lines[member].popleft()
        self._starts[member] += job.service_s
        self._leave(member, job)
        return job

    def remove(self, entry: T) -> bool:
        """Take a job out before its turn; False if it is not here."""
        for member, line in self._lines.items():
            for job in line:
                if job.entry is entry:
                    self._without(member, job)
                    return True
        return False

    def others(self) -> list[T]:
        """What waits of everybody but the owner."""
        return [job.entry for member, line in self._lines.items() if member != self._owner for job in line]

    def _without(self, member: MemberId, job: Queued[T]) -> Queued[T]:
        self._lines[member].remove(job)
        self._leave(member, job)
        return job

    def _leave(self, member: MemberId, job: Queued[T]) -> None:
        self._count -= 1
        self.work_s = max(0.0, self.work_s - job.service_s) if self._count else 0.0
        if not self._lines[member]:
            del self._lines[member]
            if self._starts[member] <= self._virtual_s:
                del self._starts[member]  # a newcomer again; who is ahead of the others stays remembered
        if not self._lines:
            self._starts.clear()
            self._virtual_s = 0.0
