"""When a job is tried again: which ends of an attempt count, how long to wait, and when to give up.

A device that is busy or declines costs nothing, and neither does one that was lost before it began. A device that is
lost in the middle costs one of ten. A failure of the job itself counts: three, and it is given up, so that a poisoned
job does not walk through a network.

A device may say that the input is what is wrong (a code ``input.…``). Whoever asks has checked the input before it was
sent, so the word of one device of somebody else is that device's failure, until another says the same or none is left.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import Literal

from mesh.errors import MeshError

End = Literal["busy", "declined", "unreached", "unstarted", "lost", "failed", "outrun"]
"""How an attempt ended without a result.

``busy``, ``declined``: the worker took nothing. ``unreached``: no connection. ``unstarted``: the connection, the worker
or its answer was lost before the work began. ``lost``: the connection or the worker went away in the middle.
``failed``: the job or its engine failed, or the result was wrong. ``outrun``: another device was faster.
"""

FREE: frozenset[End] = frozenset({"busy", "declined", "unstarted", "outrun"})
"""Ends that count for nothing."""
FAILURES_MAX = 3
LOSSES_MAX = 10
"""With 8 s jobs and a device killed every 10 s, 3 lost up to 6.5 % of jobs, 10 lost under 0.1 %."""
NUMBERS_MAX = 60
"""Attempts of a job in all: the coordinator knows numbers up to 64, and copies need some."""
INPUT = "input."
"""How the codes begin that put a failure down to the input."""
WAITS_S = (0.25, 0.75, 2.0)
"""Waits before the second, third and later tries, halved at most by chance."""


class Cancelled(MeshError):
    """The job was cancelled."""

    code = "job.cancelled"


def wait_before_next(ends: Sequence[End], *, others_open: bool, draw: float) -> float | None:
    """Seconds until the next try, or None to give up. ``draw``: 0..1.

    ``others_open``: another device may still take the job. A full round of refusals ends it: more tries only add load.
    """
    failures = ends.count("failed")
    losses = ends.count("lost") + ends.count("unreached")
    if failures >= FAILURES_MAX or losses >= LOSSES_MAX or len(ends) >= NUMBERS_MAX:
        return None
    last = ends[-1]
    if last == "failed":
        return _jittered(failures, draw)
    if others_open:
        return 0.0
    if all(end in ("busy", "declined", "outrun") for end in ends):
        return None
    return _jittered(failures + losses + ends.count("unstarted"), draw)


def blames_input(code: str) -> bool:
    """Whether a failure was put down to the input: another try elsewhere need not wait for anything."""
    return code.startswith(INPUT)


def believed(code: str, others: Sequence[str], *, own: bool) -> bool:
    """Whether a device's word that the input is wrong ends the job at once.

    ``others``: with which codes the job failed on other devices; ``own``: the device belongs to whoever asks.
    """
    return blames_input(code) and (own or code in others)


def agreed(failures: Sequence[str]) -> bool:
    """Where no device is left to ask: whether all on which the job failed (by these codes) put it down to the same."""
    return len(set(failures)) == 1 and blames_input(failures[0])


def _jittered(tries: int, draw: float) -> float:
    return WAITS_S[min(max(tries, 1), len(WAITS_S)) - 1] * (0.5 + 0.5 * draw)
