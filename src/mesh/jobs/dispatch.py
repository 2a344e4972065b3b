"""Which device gets the next job of a queue, and when it is better to wait: late binding by expected finish.

A requester keeps its jobs and hands each device little at a time, so that one that is slow or gone holds little. Where
jobs wait, none goes to a device that would finish it after all of them could be done (T).

Touches: nothing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from mesh.ids import DeviceId
from mesh.protocol.values import Choice

NEAR_TIE = 0.10
"""Finishes within a tenth of the best are drawn among: equal devices are used equally often."""
NEAR_S = 0.001
"""And those within a millisecond: differences of that kind are the event loop's."""
GUARD = 1.05
"""A device takes a job of a bag if it would finish it by 1.05 T: without, unequal ones took 12 to 25 times as long."""
RTT_SMALL = 0.3
"""A round trip that is a small part of the work needs no second job on its way."""
AHEAD_S = 0.2
"""Seconds of short jobs that may be at a device at once: as much as a worker gives its engine, which batches them."""
WINDOW_MAX = 64
"""Two full batches of an engine."""
WAIT_SLACK = 1.25
WAIT_GROWTH = 1.3
"""A job that was told Busy waits longer at the next device: 100 requesters on two devices took 8.1 times the ideal
without a wait limit, 4.0 with a fixed number of tries, 1.16 so."""
BUSY_MAX = 5
"""After so many it takes whatever wait there is: a job has 64 attempts in all."""
WAIT_MARGIN = 1.25
"""A wait is an estimate: at ten times the load this margin keeps all work useful, as at the worker."""
SOON_S = 0.1
"""The least time after which asking again makes sense."""
_ROUNDS = 24


class Candidate(NamedTuple):
    """What is known of a device for one job.

    ``wait_s``: other work before it; ``extra_s``: moving the input, loading the model; ``service_s``: its own work.
    ``in_flight``: this requester's jobs of that kind there. ``open``: not benched, and its cap not used up.
    """

    device: DeviceId
    wait_s: float
    extra_s: float
    service_s: float
    rtt_s: float
    in_flight: int = 0
    open: bool = True

    @property
    def busy_s(self) -> float:
        """Seconds until the work itself begins."""
        return self.wait_s + self.extra_s

    @property
    def finish_s(self) -> float:
        """Seconds until the result is here."""
        return self.busy_s + self.service_s + self.rtt_s

    @property
    def ready(self) -> bool:
        """Whether one more may be sent there now."""
        return self.open and self.in_flight < window(self.rtt_s, self.service_s)


def window(rtt_s: float, service_s: float) -> int:
    """Jobs of one requester that may be at a device or on their way."""
    least = 1 if rtt_s <= RTT_SMALL * service_s else 1 + math.ceil(rtt_s / service_s)
    return min(least + int(AHEAD_S / service_s), WINDOW_MAX)


def bag_finish(candidates: Sequence[Candidate], remaining: int) -> float:
    """T: the least time by which these devices together could have done ``remaining`` jobs like this one."""
    soonest = min(one.busy_s + one.service_s for one in candidates)
    if remaining <= 1:
        return soonest
    latest = min(one.busy_s + one.service_s * remaining for one in candidates)
    for _ in range(_ROUNDS):
        if latest - soonest <= 0.01 * latest:
            break
        middle = (soonest + latest) / 2
        done = sum(max(0, int((middle - one.busy_s) / one.service_s)) for one in candidates)
        if done >= remaining:
            latest = middle
        else:
            soonest = middle
    return latest


def choose(candidates: Sequence[Candidate], *, remaining: int, draw: float, in_order: bool = False) -> Candidate | None:
    """The device for the next of ``remaining`` jobs, or None: waiting is better. ``draw``: 0..1.

    ``in_order``: a permit for this one job names them best first, and its first takes it unless it is known here to be
    busier than the next by more than the job itself: the coordinator knows more of others' work.
    """
    able = [one for one in candidates if one.open]
    if not able:
        return None
    if in_order and able[0].ready and (len(able) == 1 or able[0].busy_s - able[1].busy_s <= able[0].service_s):
        return able[0]
    if len(able) == 1:
        return able[0] if able[0].ready else None
    until_s = GUARD * bag_finish(able, remaining)
    fit = [one for one in able if one.ready and one.finish_s <= until_s + one.rtt_s]
    if not fit:
        return None
    best_s = min(one.finish_s for one in fit)
    near = [one for one in fit if one.finish_s <= best_s * (1 + NEAR_TIE) + NEAR_S]
    return near[min(int(draw * len(near)), len(near) - 1)]


def next_best(candidates: Sequence[Candidate], chosen: Candidate) -> Candidate | None:
    """Who would have had the job done soonest of those that were not chosen."""
    others = [one for one in candidates if one.open and one.device != chosen.device]
    return min(others, key=lambda one: one.finish_s, default=None)


def turned(device: str, choice: Choice) -> str | None:
    """What would have changed a requester's choice of ``device``, in words; None where nobody else could have it."""
    if not choice.other:
        return None
    attempt = f"attempt {choice.attempt}"
    if choice.other_s <= choice.expected_s * (1 + NEAR_TIE) + NEAR_S:
        why = "its permit names that one first" if choice.reason == "first" else "a draw decided"
        return f"{attempt}: {choice.other} was expected to be as quick as {device}, {why}"
    return (
        f"{attempt}: {choice.other} would have got it if it had been expected to take less than "
        f"{choice.expected_s:.3f} s instead of {choice.other_s:.3f} s"
    )


def late_by(candidates: Sequence[Candidate], place: int, left_s: float) -> float | None:
    """Whether a job that is ``place``-th in its line would be done too late, with ``left_s`` seconds left for it.

    None: it can be done in time, or nothing is known. Otherwise the seconds after which it is worth to ask again.
    """
    able = [one for one in candidates if one.open]
    if not able or place <= 1:
        return None
    until_s, service_s = bag_finish(able, place), min(one.service_s for one in able)
    wait_s = max(0.0, until_s - service_s)
    over_s = WAIT_MARGIN * wait_s + service_s - left_s
    if over_s <= 0:
        return None
    return max(SOON_S, wait_s + service_s - left_s, over_s / WAIT_MARGIN)


def wait_limit_s(chosen: Candidate, candidates: Sequence[Candidate], busy_answers: int) -> float | None:
    """What a Submit says of how long it would wait there; None: as long as it takes, since there is nobody else."""
    others = [one.finish_s for one in candidates if one.open and one.device != chosen.device]
    if not others or busy_answers >= BUSY_MAX:
        return None
    least = max(WAIT_SLACK * min(others) - chosen.service_s, chosen.wait_s + chosen.service_s)
    return least * WAIT_GROWTH**busy_answers
