"""By when a device must have given a sign of life, and what a job's silence means until then.

The bound is twice the p95 of what the device has shown (scheduling, 4.2: no false alarm among healthy jobs, 95 % of
interfered ones caught); until eight jobs have shown anything, five times what was said of it.

Touches: nothing.
"""

from typing import Literal, NamedTuple

from mesh.jobs.learning import Shown

FLOOR_S = 0.250
"""No false miss at jobs of 20 ms after their first."""
CAP_S = 120.0
"""Nothing is waited for in silence longer than this, or the job's own limit."""
FACTOR = 2.0
COLD = 5.0
COLD_SAMPLES = 8
ACCEPT_HEDGE_S = 0.050
"""Jobs of 20 ms one by one lose 10 % to a frozen device with 50 ms, 48 % with 250 ms."""
ACCEPT_BENCH_S = 0.250
"""A loop was seen to lag by 40 ms: only a multiple of that is silence."""
QUEUED_FACTOR = 1.5
LOADING_S = 3.0
"""Who makes a model ready says so every second; three of them in silence are as bad as three beats."""

Silence = Literal["unaccepted", "silent", "late"]
"""``unaccepted``: no answer to the Submit for a while. ``silent``: for so long that nobody is there. ``late``: taken,
and past its deadline.
"""


def p95_s(shown: Shown, units: int) -> float:
    """Seconds from Started within which 95 % of such jobs gave their first result."""
    high = shown.scatter.high() * shown.answers.predict(units)
    if shown.scatter.samples < COLD_SAMPLES:
        return max(high, COLD / 2 * shown.said_s(units))
    return high


def deadline_s(shown: Shown, units: int, *, limit_s: float) -> float:
    """Seconds from Started, or from the last sign of life after it, to the next one."""
    return min(max(FACTOR * p95_s(shown, units), FLOOR_S), CAP_S, limit_s)


def queued_s(wait_s: float, deadline: float) -> float:
    """Seconds from an Accept that promised to start within ``wait_s`` to Started."""
    return QUEUED_FACTOR * max(0.0, wait_s) + deadline


class Signs(NamedTuple):
    """What was heard of an attempt, in seconds of the listener's clock; None: not yet.

    ``sent_s``: how long its Submit takes to get there beyond half a round trip (long inputs, slow lines). ``life_s``:
    the last sign of life. ``wait_s``: what the Accept promised. ``loading``: the last sign was that its model is being
    made ready; its time counts from there.
    """

    submitted_s: float
    rtt_s: float
    sent_s: float = 0.0
    accepted_s: float | None = None
    started_s: float | None = None
    life_s: float = 0.0
    wait_s: float = 0.0
    loading: bool = False


def silence(signs: Signs, deadline: float, now_s: float) -> Silence | None:
    """What an attempt's silence means now; None: nothing yet."""
    if signs.accepted_s is None:
        age = now_s - signs.submitted_s - 2 * signs.rtt_s - signs.sent_s
        if age > ACCEPT_BENCH_S:
            return "silent"
        return "unaccepted" if age > ACCEPT_HEDGE_S else None
    allowed = deadline if signs.started_s is not None else queued_s(signs.wait_s, deadline)
    if signs.loading:
        allowed = max(allowed, LOADING_S)
    return "late" if now_s - signs.life_s > allowed + 2 * signs.rtt_s else None
