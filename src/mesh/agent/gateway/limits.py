"""What a key has used, and whether it may have more now. The time is an argument.

Touches: nothing.
"""

from collections import deque

from mesh.errors import MeshError
from mesh.sdk.keys import Limits

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
ONE_ENDS_S = 1.0
"""When a request of this key will end is not known; clients come back after a second."""


class TooManyRequests(MeshError):
    """This key has made all the requests of this minute. Try again after the time named, or raise the key's limit."""

    code = "gateway.requests_per_minute"
    kind = "too_many"


class TooManyAtOnce(MeshError):
    """This key has as many requests under way as it may. Wait for one of them, or raise the key's limit."""

    code = "gateway.concurrent"
    kind = "too_many"


class DayIsSpent(MeshError):
    """This key has spent its credits of today. Try again after midnight (UTC), or raise the key's limit."""

    code = "gateway.credits_per_day"
    kind = "too_many"


class Meter:
    """One key's use."""

    def __init__(self, limits: Limits, *, day: int = 0, spent: int = 0, used_ms: int = 0) -> None:
        """``day``, ``spent``: what was kept of an earlier life, in days since 1970 and micro-credits."""
        self.limits = limits
        self.running = 0
        self.used_ms = used_ms
        self._day, self._spent = day, spent
        self._recent: deque[int] = deque()

    def admit(self, now_ms: int) -> int | None:
        """Count a request in; returns the most it may cost (micro-credits), None without a limit.

        Raises TooManyRequests, TooManyAtOnce, DayIsSpent, each with ``retry_after_s``. Several under way may together
        cost more than is left: each alone may not.
        """
        limits, recent = self.limits, self._recent
        if limits.requests_per_minute is not None:
            while recent and recent[0] <= now_ms - MINUTE_MS:
                recent.popleft()
            if len(recent) >= limits.requests_per_minute:
                wait_ms = recent[0] + MINUTE_MS - now_ms if recent else MINUTE_MS
                raise TooManyRequests(limit=limits.requests_per_minute, retry_after_s=wait_ms / 1000)
        if limits.concurrent is not None and self.running >= limits.concurrent:
            raise TooManyAtOnce(limit=limits.concurrent, retry_after_s=ONE_ENDS_S)
        left = None
        if limits.credits_per_day is not None:
            left = limits.credits_per_day - self.spent(now_ms)
            if left <= 0:
                raise DayIsSpent(limit=limits.credits_per_day, retry_after_s=(DAY_MS - now_ms % DAY_MS) / 1000)
        if limits.requests_per_minute is not None:
            recent.append(now_ms)
        self.running += 1
        self.used_ms = now_ms
        return left

    def done(self) -> None:
        """A request that was counted in has ended."""
        self.running -= 1

    def charged(self, amount: int, now_ms: int) -> None:
        """Work was paid for."""
        self._spent = self.spent(now_ms) + amount
        self._day = now_ms // DAY_MS

    def spent(self, now_ms: int) -> int:
        """Micro-credits of today."""
        return self._spent if self._day == now_ms // DAY_MS else 0
