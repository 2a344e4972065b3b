"""Acts that may be done several at once: who comes while such a group is under way goes with the next one.

So under load many callers share one transaction, one fsync and one change of a balance; and where there is no load each
is served by itself, at once.

Touches: threads (a lock).
"""

import threading
from collections import deque
from collections.abc import Hashable

from mesh.coordinator.store.waiting import Waiting

MOST = 32
"""Acts of one group: some 20 ms of work, which the last of them waits."""


class Lanes:
    """One lane per kind of act, each driven by one writer at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[Hashable, deque[Waiting]] = {}

    def enter(self, waiting: Waiting) -> bool:
        """Take an act into its lane; True where nobody drives that, so that a writer must, until it is empty."""
        with self._lock:
            lane = self._lanes.get(waiting.lane)
            if lane is not None:
                lane.append(waiting)
                return False
            self._lanes[waiting.lane] = deque([waiting])
            return True

    def next(self, lane: Hashable) -> list[Waiting]:
        """Who is next in a lane, at most MOST; none: it is gone, and whoever comes opens it anew."""
        with self._lock:
            there = self._lanes[lane]
            if not there:
                del self._lanes[lane]
            return [there.popleft() for _ in range(min(MOST, len(there)))]
