"""Bytes that a relay forwarded for each network this month, kept over restarts, and which networks have had theirs.

Touches: files, clock.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from mesh.relay.admitted import replace


class _Kept(msgspec.Struct, frozen=True):
    """The file: the month (UTC, ``2026-11``), and bytes by network number."""

    month: str
    bytes: dict[int, int]


class Months:
    """The month's count. ``limit``: bytes of one network in one month; None: no limit."""

    def __init__(self, path: Path, limit: int | None, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._limit = limit
        self._wall = wall
        self._month = self._now()
        self._bytes: Counter[int] = Counter()
        self._counted: Counter[int] = Counter()
        self._saving = threading.Lock()

    def load(self) -> None:
        """Go on with the count of the last run, if that was this month."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept, strict=False)
        except FileNotFoundError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            structlog.get_logger().warning("relay.months_unreadable", path=str(self._path))
            return
        if kept.month == self._month:
            self._bytes = Counter(kept.bytes)

    def look(self, totals: Counter[int]) -> frozenset[int]:
        """Add what came since the last look; ``totals`` are since the start. Returns the networks over the limit."""
        fresh = totals - self._counted
        self._counted = Counter(totals)
        if self._now() != self._month:
            self._month, self._bytes = self._now(), Counter()
        self._bytes += fresh
        if self._limit is None:
            return frozenset()
        return frozenset(number for number, count in self._bytes.items() if count >= self._limit)

    def save(self) -> None:
        """Keep the count. Blocks for one fsync. A save whose waiter was cancelled still runs: the next waits for it."""
        with self._saving:
            replace(self._path, msgspec.json.encode(_Kept(self._month, dict(self._bytes))))

    def _now(self) -> str:
        return time.strftime("%Y-%m", time.gmtime(self._wall()))
