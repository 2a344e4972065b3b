"""How far a model is from being ready on this device. The time is an argument.

Touches: nothing.
"""

from typing import NamedTuple

PACE_AFTER_S = 1.0
"""A pace over less than a second says little of the time left."""


class Loading(NamedTuple):
    """A model on its way: stage, the fraction of it that is done (0..1), and its seconds left, None where unknown."""

    stage: str
    fraction: float
    eta_s: float | None


class Progress:
    """What was said of one model's way, stage by stage."""

    def __init__(self) -> None:
        self._stage = "waiting"
        self._done = self._total = 0
        self._since_s = 0.0
        self._first = 0

    def say(self, stage: str, done: int, total: int, now_s: float) -> None:
        """A stage is so far: bytes done, of a total (0: unknown)."""
        if stage != self._stage or total != self._total or done < self._done:
            self._since_s, self._first = now_s, done
        self._stage, self._done, self._total = stage, done, total

    def now(self, now_s: float) -> Loading:
        """How far it is."""
        if not self._total:
            return Loading(self._stage, 0.0, None)
        took_s, came = now_s - self._since_s, self._done - self._first
        eta_s = None
        if took_s >= PACE_AFTER_S and came > 0:
            eta_s = (self._total - self._done) * took_s / came
        return Loading(self._stage, self._done / self._total, eta_s)
