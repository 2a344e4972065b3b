"""A permit for a series of jobs: how large it is, what each candidate may earn under it, and when to renew it.

A fast candidate gets a larger cap than a slow one, and together they may do more than is expected, so that one device
that turns slow does not end the series. Money is in micro-credits throughout.

Touches: nothing.
"""

import math
from collections.abc import Sequence

CANDIDATES_SERIES = 4
"""Devices of a series (scheduling, section 3: k; at 90 % load 2 wait 3.3 service times, 4 wait 3.1, 8 wait 4.0)."""
CAP_OVER = 1.5
"""The caps' sum, in budgets. With 1.5 the best candidate's cap shuts at 1.1 to 1.2 budgets (scheduling, 4.4)."""
CAP_OVER_SHORT = 1.0
"""The same where the payer's free credits do not cover more."""
SERIES_S = 120.0
"""A series covers so many seconds of expected use: 1,000 jobs a second are 10 permits a second."""
SERIES_JOBS_MIN = 100
"""And at least so many jobs, so that a burst after a pause does not ask again at once."""
SERIES_JOBS_MAX = 100_000
"""And at most so many: two minutes of 800 jobs a second. Who is faster asks more often."""
RENEW_USED = 0.5
"""The next permit is asked for when this part of the budget is used ..."""
RENEW_BEST_USED = 0.8
"""... or this part of the best candidate's cap: whichever comes first, one permit ahead."""
_FASTEST_S = 1e-6
"""Service times below a microsecond count as one: no device is infinitely fast."""


def series_jobs(jobs_per_s: float) -> int:
    """How many jobs the next permit should cover, by the rate at which they came lately."""
    return max(SERIES_JOBS_MIN, math.ceil(SERIES_S * max(0.0, jobs_per_s)))


def caps(budget: int, service_s: Sequence[float], *, job: int, over: float = CAP_OVER) -> tuple[int, ...]:
    """What each candidate may earn: by its speed, at most the whole ``budget``, at least one ``job``'s cost."""
    speeds = [1 / max(seconds, _FASTEST_S) for seconds in service_s]
    together = sum(speeds)
    return tuple(max(job, min(budget, math.floor(over * budget * speed / together))) for speed in speeds)


def share_of_series(budget: int, service_s: Sequence[float], *, job: int, free: int | None = None) -> tuple[int, ...]:
    """The caps of the candidates (best first) that the payer's ``free`` credits cover; their sum is the hold.

    ``free`` None: no limit. Where it is short the caps first lose what lies over the budget, then the budget shrinks,
    then the last candidates go. Empty: not even one job at one device is covered.
    """
    offered = caps(budget, service_s, job=job)
    if free is None or sum(offered) <= free:
        return offered
    for count in range(len(service_s), 0, -1):
        offered = caps(min(budget, free), service_s[:count], job=job, over=CAP_OVER_SHORT)
        if sum(offered) <= free:
            return offered
    return ()


def promised_s(jobs: int, service_s: Sequence[float]) -> float:
    """Seconds of work that a series of ``jobs`` promises to each of its candidates: they share it by speed."""
    together = sum(1 / max(seconds, _FASTEST_S) for seconds in service_s)
    return jobs / together if together else 0.0


def renew_now(*, used: int, budget: int, best_used: int, best_cap: int) -> bool:
    """Whether it is time to ask for the next permit, while this one still lasts."""
    return used >= RENEW_USED * budget or best_used >= RENEW_BEST_USED * best_cap
