"""The coordinator's clock as this machine knows it: one authenticated sample, carried on by the time since boot.

Wall clocks of laptops are minutes off and jump; the monotonic clock stops in sleep. So expiry is judged by the
coordinator's time plus what passed since, on a clock that also counts sleep. After a sleep the sample no longer counts
as fresh until the link brings a new one.

Touches: the clock.
"""

import time
from collections.abc import Callable

SLEEP_NOTICED_S = 2.0
"""A difference between time since boot and time awake above this is a sleep, not rounding."""


def since_boot_s() -> float:
    """Seconds since boot, sleep included where the system can tell (Linux); elsewhere the monotonic clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class CoordinatorClock:
    """Milliseconds since 1970 by the coordinator's clock. Before the first sample: this machine's wall clock."""

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        boot_s: Callable[[], float] = since_boot_s,
        awake_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """The three clocks are arguments, so that tests can set, jump and suspend them."""
        self._wall_s = wall_s
        self._boot_s = boot_s
        self._awake_s = awake_s
        self._offset_s: float | None = None
        self._slept_s = 0.0

    def boot_s(self) -> float:
        """Seconds since boot: for stamps that ``sample`` later compares."""
        return self._boot_s()

    def sample(self, time_ms: int, asked_at_s: float) -> None:
        """Take the coordinator's answer to a question that left at ``asked_at_s`` (by ``boot_s``)."""
        now = self._boot_s()
        self._offset_s = time_ms / 1000 - (asked_at_s + now) / 2
        self._slept_s = now - self._awake_s()

    def now_ms(self) -> int:
        """The time by the coordinator's clock, as well as it is known."""
        if self._offset_s is None:
            return int(self._wall_s() * 1000)
        return int((self._boot_s() + self._offset_s) * 1000)

    @property
    def fresh(self) -> bool:
        """Whether a sample was taken and this machine has not slept since: only then is expiry of permits judged."""
        if self._offset_s is None:
            return False
        return abs(self._boot_s() - self._awake_s() - self._slept_s) <= SLEEP_NOTICED_S
