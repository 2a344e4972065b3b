"""A batch: one parent and many ordinary jobs. Its states, what becomes of a line, how many may run, the time it takes.

A line either has an outcome for good (a result, or an error of its own) or is still to be done. What is wrong with the
network or with the moment is never a line's error: the batch waits, and the line stays to be done.

Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mesh.jobs.lifecycle import advance

BatchState = Literal["running", "waiting", "stopped", "cancelled", "done"]
"""``waiting``: it goes on by itself, once what its code names is over. ``stopped``: when a person says so."""
Fate = Literal["failed", "again", "wait"]

BATCH: Mapping[str, frozenset[str]] = {
    "running": frozenset({"waiting", "stopped", "cancelled", "done"}),
    "waiting": frozenset({"running", "stopped", "cancelled", "done"}),
    "stopped": frozenset({"running", "cancelled"}),
    "cancelled": frozenset({"running"}),
    "done": frozenset({"running"}),
}
"""State → the states it may become. An ended batch runs again only when a person has it resumed."""
ENDED: frozenset[str] = frozenset({"stopped", "cancelled", "done"})

LINES_MAX = 1_000_000
"""Lines of one batch: an hour's work for ten laptops; their index fits in memory (1 MB) and in the agent's records."""
KEEP_S = 7 * 24 * 3600.0
"""Inputs and results are erased so long after the batch ended."""
RUNS_MAX = 3
"""A line whose every device was lost may have been unlucky twice; then it is taken to be what breaks them."""
WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits of a batch that cannot go on: short at first (a coordinator restarts in seconds), then one question in 10 s."""
PER_DEVICE = 2
"""One line at work and one on its way to each device: more would only stand in front of other work there."""
DEVICES_MAX = 16
"""Devices that a batch counts on. The window bounds what a crash may leave unanswered."""
PACE_S = 30.0
"""The estimate looks so far back: over bursts, yet soon aware of a device that came or went."""

_WAIT_KINDS = frozenset(
    {"nowhere", "unreachable", "unavailable", "too_many", "unauthenticated", "forbidden", "conflict"}
)
_LOST = ("transport.", "link.", "agent.")
"""Areas of codes that tell of devices and paths, never of the job."""


def same_job(code: str) -> bool:
    """Whether a line that waits goes on under the same job id: by the error's code its job had not begun."""
    return not code.startswith("job.")


def fate(code: str, kind: str, attempts: Sequence[str], *, runs: int) -> Fate:
    """What becomes of a line whose job failed with an error of this code and kind.

    ``attempts``: the code of each attempt that was made; ``runs``: jobs that this line has had, with this one.
    """
    if code.startswith(("input.", "result.")):
        return "failed"
    if kind in _WAIT_KINDS:
        return "wait"
    if code == "job.failed" and attempts and all(one.startswith(_LOST) for one in attempts):
        return "again" if runs < RUNS_MAX else "failed"
    return "failed"


def wait_s(turn: int, retry_after_s: float | None) -> float:
    """Seconds until a batch that waits looks again; ``turn`` counts from 0 since the last line that went well."""
    usual = WAITS_S[min(turn, len(WAITS_S) - 1)]
    return usual if retry_after_s is None else min(max(usual, retry_after_s), WAITS_S[-1])


def window(devices: int, *, batches: int, others: int) -> int:
    """How many lines of one batch may be under way.

    ``batches`` that run now share the room; while ``others`` (jobs that somebody waits for) are under way, a batch goes
    on with a single line, so that it is never what they wait for.
    """
    if others > 0:
        return 1
    return max(1, PER_DEVICE * min(max(devices, 1), DEVICES_MAX) // max(batches, 1))


def allowance(cost: int, *, charged: int, promised: int, max_cost: int | None) -> int | None:
    """What a line of usual price ``cost`` may cost at most, beside what was charged and what is promised to others.

    It may be less than the price, down to 0: on own devices even that is enough. None: no limit.
    """
    return None if max_cost is None else max(0, min(cost, max_cost - charged - promised))


def become(before: BatchState, after: BatchState) -> BatchState:
    """The next state. Raises ImpossibleChange."""
    advance(BATCH, before, after)
    return after


class Mark(NamedTuple):
    """How many lines had an outcome at a time (seconds of any steady clock)."""

    at_s: float
    lines: int


def noted(marks: Sequence[Mark], mark: Mark) -> list[Mark]:
    """The marks that the pace is measured from, with a new one: those of the last ``PACE_S``, and one before."""
    kept = [one for one in marks if one.at_s > mark.at_s - PACE_S]
    before = [one for one in marks if one.at_s <= mark.at_s - PACE_S]
    return [*before[-1:], *kept, mark]


def pace(marks: Sequence[Mark]) -> float:
    """Lines per second over the marks; 0 while that is not known."""
    if len(marks) < 2 or marks[-1].at_s <= marks[0].at_s:
        return 0.0
    return max(0, marks[-1].lines - marks[0].lines) / (marks[-1].at_s - marks[0].at_s)


def eta_s(remaining: int, lines_per_s: float) -> float | None:
    """Seconds until the last line, or None while nobody can tell."""
    if remaining <= 0:
        return 0.0
    return None if lines_per_s <= 0 else remaining / lines_per_s
