"""Copies of a job on a second device: when one gains, and how many there may be. The first result wins.

A sensitive job is never copied, and neither is one whose first result has reached its caller.

Touches: nothing.
"""

LAST = 100
"""Jobs over which copies are counted."""
SHARE = 0.10
"""A tenth of them: copies at p95 were 10 % of jobs that scatter much (sigma 0.8), and up to 21 % with interference."""
AT_LEAST = 2
PAST_ESTIMATE = 0.5
"""What a job that is past its estimate will still take, in its age: old jobs tend to be older yet."""


def may_copy(copies: int, jobs: int) -> bool:
    """Whether one more copy is within the budget: ``copies`` were made for the last ``jobs`` (at most ``LAST``)."""
    return copies < max(AT_LEAST, SHARE * jobs)


def remaining_s(age_s: float, expected_s: float) -> float:
    """Seconds that a job should still take which was expected to take ``expected_s`` in all."""
    left = expected_s - age_s
    return left if left > 0 else age_s * PAST_ESTIMATE


def gains(age_s: float, expected_s: float, finish_s: float) -> bool:
    """In a bag's tail: whether an idle device would be done first, which expects to need ``finish_s``."""
    return remaining_s(age_s, expected_s) > finish_s


def overdue(age_s: float, *, waited_s: float, p95_s: float, rtt_s: float) -> bool:
    """Whether a lone job is older than 95 % of such jobs get, with the wait that was known when it was sent."""
    return age_s > waited_s + p95_s + 2 * rtt_s
