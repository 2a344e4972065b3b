"""The jobs of one workload and model that a requester has to have done: those that wait, and those under way.

Touches: nothing.
"""

from bisect import insort
from collections import deque

from mesh.agent.asking.flight import Entry, Flight
from mesh.jobs import hedging
from mesh.jobs.seating import Seating


class Line:
    """The jobs of one (workload, model) that wait, and those under way."""

    def __init__(self) -> None:
        self.waiting: list[Entry] = []
        self.entries: set[Entry] = set()
        self.burst = 0
        """The most jobs that were under way at once since the line was last empty: more than one is a bag."""
        self.copied: deque[bool] = deque(maxlen=hedging.LAST)
        """Of the last jobs, whether each had a copy made."""
        self.seating = Seating()

    def put(self, entry: Entry) -> None:
        """Have a job wait, in its turn among all callers' jobs."""
        insort(self.waiting, entry, key=lambda one: one.seat)

    def flights(self) -> list[Flight]:
        """All attempts under way."""
        return [flight for entry in self.entries for flight in entry.flights]

    def may_copy(self) -> bool:
        """Whether the budget has room for a copy."""
        now = sum(entry.copied for entry in self.entries)
        return hedging.may_copy(sum(self.copied) + now, len(self.copied))
