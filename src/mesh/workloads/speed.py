"""How fast this device does a workload: measured once, then followed through its real jobs.

A job takes ``overhead_s + units / units_per_s``. The self-measurement gives both; real jobs tell how much slower or
faster the device is at the moment (its owner may be compiling).

Touches: nothing.
"""

from typing import NamedTuple

FOLLOW = 0.2
"""Weight of the newest job: five jobs move the figure by two thirds, one odd job by a fifth."""

SLOWER_MAX = 20.0
"""One job counts as at most so many times slower (or faster) than expected."""

FIRST_MAX = 1000.0
"""A device is at most so many times faster or slower than a plain core is assumed to be."""

RATE_MAX = 1e9
"""Units a second beyond which a measurement is noise."""


class Speed(NamedTuple):
    """What is known. ``slower``: how many times longer than measured jobs take now."""

    units_per_s: float
    overhead_s: float
    slower: float = 1.0

    @property
    def units_per_s_now(self) -> float:
        """The rate as it is now."""
        return self.units_per_s / self.slower

    @property
    def overhead_s_now(self) -> float:
        """The fixed part of a job as it is now."""
        return self.overhead_s * self.slower

    def expected_s(self, units: int) -> float:
        """Seconds that a job of ``units`` should take now, alone."""
        return self.overhead_s_now + units / self.units_per_s_now

    def scaled(self, units: int, work_s: float) -> "Speed":
        """What was assumed, as a first job of ``units`` shows it: as many times slower or faster as that one, whole.

        A small job says nothing of the rate by itself: nearly all of its time is the fixed part.
        """
        ratio = min(FIRST_MAX, max(1 / FIRST_MAX, work_s / (self.overhead_s + units / self.units_per_s)))
        return Speed(self.units_per_s / ratio, self.overhead_s * ratio)

    def after(self, units: int, work_s: float) -> "Speed":
        """Learn from a job of ``units`` that took ``work_s`` seconds of work."""
        alone = self.overhead_s + units / self.units_per_s
        ratio = min(SLOWER_MAX, max(1 / SLOWER_MAX, work_s / alone))
        return self._replace(slower=self.slower + FOLLOW * (ratio - self.slower))


class Sample(NamedTuple):
    """One measurement: so many units took so many seconds."""

    units: int
    seconds: float


def speed_from(small: Sample, large: Sample) -> Speed:
    """The line through a small and a large job; where the large one ended early, what it alone says."""
    assert small.units > 0 and large.units > 0
    if large.units <= small.units:
        return Speed(min(large.units / large.seconds, RATE_MAX), 0.0)
    slope_s = (large.seconds - small.seconds) / (large.units - small.units)
    # noise can make the large one look as quick as the small: then it has no fixed part
    slope_s = max(slope_s, large.seconds / large.units / 10, 1 / RATE_MAX)
    return Speed(1 / slope_s, max(0.0, small.seconds - small.units * slope_s))
