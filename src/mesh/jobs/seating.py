"""Whose job is next in a requester's own line: callers in turn, by the work that they ask for.

A caller is whoever hands jobs in at this device: a program's key at the gateway, a batch, a document, the command line.
Start-time fair queuing, as at the worker: a caller's next job starts, in virtual time, where their last one ends; the
least start is next, and a newcomer starts at the current virtual time. So of ten thousand jobs of a batch one is done,
and then the job that somebody waits for. A seat is kept for as long as its job goes on, also over retries.

Touches: nothing.
"""

from typing import NamedTuple

CALLERS_MAX = 256
"""Callers whose ends are kept; beyond that, those who are not ahead of the others are forgotten: newcomers again."""


class Seat(NamedTuple):
    """A place in the line: the least goes first. ``number``: of those with the same start, who came first."""

    start: float
    number: int


class Seating:
    """Gives out the seats of one line."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._now = 0.0
        self._given = 0

    def seat(self, caller: str, work: int) -> Seat:
        """The seat of a caller's next job, which takes so much ``work`` (in any unit that is the line's own)."""
        start = max(self._ends.get(caller, 0.0), self._now)
        if caller not in self._ends and len(self._ends) >= CALLERS_MAX:
            self._ends = {one: end for one, end in self._ends.items() if end > self._now}
        self._ends[caller] = start + max(work, 1)
        self._given += 1
        return Seat(start, self._given)

    def began(self, seat: Seat) -> None:
        """The job of that seat is on its way: virtual time is its start."""
        self._now = max(self._now, seat.start)

    def all_left(self) -> None:
        """Nobody sits any more: nobody owes anything for what they had. A seat from before still goes first."""
        self._now = max(self._now, *self._ends.values(), 0.0)
        self._ends.clear()
