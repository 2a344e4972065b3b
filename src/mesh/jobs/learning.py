"""What a device has shown of one model: how its seconds grow with a job's size, and how far they scatter around that.

Two things are learned apart. ``Sizes`` predicts seconds from units: of work (what a job adds to those before it, also
where several run at once), or of an answer (from Started to the first result). ``Scatter`` keeps how answers differed
from their prediction, so that a deadline fits long and short jobs alike: with sizes ignored 0.96 % of healthy jobs
missed theirs, with sizes 0.00 % (scheduling, 4.2).

Touches: nothing.
"""

import math

SIZES_DECAY = 0.98
"""Weight of an observation when the next one comes: about the last 50 count."""
SCATTER_DECAY = 0.99
"""The same for the scatter: a p95 needs about 100."""
BUCKETS_PER_DOUBLING = 8
"""Steps of 9 %."""
BUCKET_LIMIT = 10 * BUCKETS_PER_DOUBLING
"""Ratios from a thousandth to a thousand."""
QUANTILE = 0.95
SECONDS_MIN = 1e-4
"""No job is predicted to take less: clocks and loops are no finer."""
FLAT = 1e-3
"""Where sizes vary by less than about 3 % nothing can be said about what a unit costs."""


class Sizes:
    """Seconds as ``a + b * units``, both at least 0, by decayed least squares."""

    def __init__(self, units: int, seconds: float) -> None:
        """Begins with what is said of the device, as if it had been seen once."""
        self._n = self._u = self._uu = self._s = self._us = 0.0
        self._most = 0
        self._line: tuple[float, float] | None = None
        self.note(units, seconds)

    def note(self, units: int, seconds: float) -> None:
        """A job of ``units`` took so long."""
        keep = SIZES_DECAY
        self._n = self._n * keep + 1
        self._u = self._u * keep + units
        self._uu = self._uu * keep + units * units
        self._s = self._s * keep + seconds
        self._us = self._us * keep + units * seconds
        self._most = max(self._most, units)
        self._line = None

    def predict(self, units: int) -> float:
        """Seconds to expect. Beyond the largest size seen they grow in proportion, which is never too short."""
        if self._line is None:
            self._line = self._fit()
        fixed, each = self._line
        known = min(units, self._most)
        seconds = fixed + each * known
        if units > known > 0:
            seconds *= units / known
        return max(SECONDS_MIN, seconds)

    def _fit(self) -> tuple[float, float]:
        mean_u, mean_s = self._u / self._n, self._s / self._n
        spread = self._uu / self._n - mean_u * mean_u
        if spread <= FLAT * mean_u * mean_u:
            return mean_s, 0.0
        each = (self._us / self._n - mean_u * mean_s) / spread
        if each <= 0:
            return mean_s, 0.0
        fixed = mean_s - each * mean_u
        return (fixed, each) if fixed >= 0 else (0.0, self._us / self._uu)


class Scatter:
    """A decaying histogram of ratios on a logarithmic scale."""

    def __init__(self) -> None:
        self.samples = 0
        self._buckets = [0.0] * (2 * BUCKET_LIMIT + 1)
        self._weight = 1.0
        self._high: float | None = None

    def note(self, ratio: float) -> None:
        """An answer took ``ratio`` times what was predicted."""
        place = round(BUCKETS_PER_DOUBLING * math.log2(max(ratio, 1e-9)))
        self._buckets[min(max(place, -BUCKET_LIMIT), BUCKET_LIMIT) + BUCKET_LIMIT] += self._weight
        self._weight /= SCATTER_DECAY  # growing what is new equals shrinking what is old
        self.samples += 1
        self._high = None
        if self._weight > 1e12:
            self._buckets = [count / self._weight for count in self._buckets]
            self._weight = 1.0

    def high(self) -> float:
        """The ratio that 95 % stay below: the upper edge of its bucket. 1 while nothing was seen."""
        if self._high is None:
            self._high = self._quantile() if self.samples else 1.0
        return self._high

    def _quantile(self) -> float:
        left = sum(self._buckets) * QUANTILE
        for place, count in enumerate(self._buckets):
            left -= count
            if left <= 0:
                return float(2 ** ((place - BUCKET_LIMIT + 0.5) / BUCKETS_PER_DOUBLING))
        return float(2 ** (BUCKET_LIMIT / BUCKETS_PER_DOUBLING))


class Shown:
    """One device with one model, as its jobs have shown it. ``service_s`` for ``units``: what was said beforehand."""

    def __init__(self, units: int, service_s: float) -> None:
        self.work = Sizes(units, service_s)
        self.answers = Sizes(units, service_s)
        self.scatter = Scatter()
        self._said = Sizes(units, service_s)

    def said_s(self, units: int) -> float:
        """What was said beforehand, for a job of this size."""
        return self._said.predict(units)

    def service_s(self, units: int) -> float:
        """Seconds of work that a job adds there."""
        return self.work.predict(units)

    def worked(self, units: int, seconds: float) -> None:
        """A job took so much of the device's time."""
        self.work.note(units, seconds)

    def answered(self, units: int, seconds: float) -> None:
        """The first result came so long after the start. ``seconds`` at most the deadline that was in force:
        otherwise one freeze spoils the mean.
        """
        self.scatter.note(seconds / self.answers.predict(units))
        self.answers.note(units, seconds)
