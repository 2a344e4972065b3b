"""Benched: a device that gets no new work, why, and what ends it.

The silent are pinged, and an answer ends it: no job is ever the probe. The slow answer pings, with an engine that does
nothing; they get a *copy* of a job that runs elsewhere, a canary, and its first result in time ends it.

Touches: nothing.
"""

from typing import Literal, NamedTuple

Cause = Literal["silent", "slow"]

MISSES_MAX = 2
"""Deadlines missed in a row until a device is benched as slow: of one miss 0.6 % were false, of two none."""
PING_S = 1.0
"""A thawed device is used again 1.1 to 1.5 s later; doubling up to 30 s made that 2 to 12 s."""
PING_OLD_S = 60.0
PING_RARE_S = 5.0
"""After a minute it is more likely off than frozen."""
CANARY_S = 1.0
CANARY_MAX_S = 30.0


class Bench(NamedTuple):
    """Since when a device is benched and for what; ``next_s``: when to look again; ``looks`` that were in vain."""

    cause: Cause
    since_s: float
    next_s: float
    looks: int = 0


def bench(cause: Cause, now_s: float, before: Bench | None = None) -> Bench:
    """Bench a device. One that is silent stays so however slow it also was; the same cause begins anew."""
    if before is not None and (before.cause == cause or before.cause == "silent"):
        return before
    return Bench(cause, now_s, now_s + (PING_S if cause == "silent" else CANARY_S))


def looked_in_vain(seat: Bench, now_s: float) -> Bench:
    """The ping was not answered, or the canary's result did not come in time."""
    looks = seat.looks + 1
    if seat.cause == "silent":
        after_s = PING_S if now_s - seat.since_s < PING_OLD_S else PING_RARE_S
    else:
        after_s = min(CANARY_S * 2 ** min(looks, 10), CANARY_MAX_S)
    return seat._replace(next_s=now_s + after_s, looks=looks)


def missed(misses: int, *, beat_missing: bool) -> bool:
    """Whether a device that has missed so many deadlines in a row is to be benched as slow."""
    return misses >= MISSES_MAX or (misses > 0 and beat_missing)
