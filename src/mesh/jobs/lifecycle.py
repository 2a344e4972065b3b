"""The one table of states: permit, share, attempt; and the state of a job, which is derived and never stored.

Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mesh.credits.settlement import AttemptState, How
from mesh.errors import MeshError

PermitState = Literal["open", "closed", "pruned"]
JobState = Literal["running", "done", "done_one_sided", "broken", "disputed", "owed", "failed", "cancelled"]

PERMIT: Mapping[str, frozenset[str]] = {
    "open": frozenset({"closed"}),
    "closed": frozenset({"pruned"}),
    "pruned": frozenset(),
}
SHARE: Mapping[str, frozenset[str]] = {"open": frozenset({"ended"}), "ended": frozenset()}

_ANSWERED = frozenset({"paid", "paid_second", "owed", "superseded", "failed", "reversed"})
ATTEMPT: Mapping[str, frozenset[str]] = {
    "submitted": _ANSWERED | {"claimed", "one_sided", "unknown"},
    "claimed": _ANSWERED | {"one_sided", "unknown"},
    "one_sided": frozenset({"paid", "reversed", "superseded", "final", "disproved"}),
    "paid": frozenset({"disproved"}),
    "paid_second": frozenset({"disproved"}),
    "final": frozenset({"disproved"}),
    "disproved": frozenset(),
    # Without a payment that stands, a later fact may still bring one: a Used counts up to the permit's horizon.
    "owed": frozenset({"paid", "paid_second", "superseded", "failed", "reversed"}),
    "reversed": frozenset({"paid", "paid_second", "owed", "superseded"}),
    # Another answer to the same attempt may follow, and weighs more: Used, then Failed.
    "superseded": (_ANSWERED - {"superseded"}) | {"submitted", "claimed", "one_sided", "unknown"},
    "failed": frozenset({"paid", "paid_second", "owed", "one_sided", "superseded", "unknown"}),
    "unknown": _ANSWERED | {"one_sided"},
}
"""State → the states it may become. ``settlement.settle_job`` decides; whoever stores a state checks it here."""


class ImpossibleChange(MeshError):
    """Something was to change in a way it never can. Nothing was written; please report this."""

    code = "jobs.impossible_change"
    kind = "failed"


GIVEN_UP = frozenset({"job.cancelled", "job.outrun", "job.no_sign"})
"""With these a requester answers an attempt that it gave up before it heard the end. The worker's claim may have been
on its way then, or be made while neither could reach the other: that contradicts nobody, and nothing was received."""


class AttemptView(NamedTuple):
    """What a job's state needs of an attempt.

    ``contradicted``: the worker claims it, and the requester denies it, for another reason than those of ``GIVEN_UP``.
    """

    state: AttemptState
    how: How | None
    stands: bool
    contradicted: bool


def advance(table: Mapping[str, frozenset[str]], before: str, after: str) -> str:
    """``after``, if the table lets ``before`` become it (or they are the same). Raises ImpossibleChange."""
    if before != after and after not in table[before]:
        raise ImpossibleChange(before=before, after=after)
    return after


def job_state(
    attempts: Sequence[AttemptView],
    *,
    open_shares: int,
    own_code: str | None = None,
    cancelled: bool = False,
) -> JobState:
    """The state of a job, from its attempts and how many shares that could pay it are still open.

    ``own_code`` is the requester's report of a job on its owner's own device (price 0): None where there is none,
    empty when it went well.
    """
    if own_code is not None:
        return "done" if not own_code else ("cancelled" if cancelled else "failed")
    standing = [attempt for attempt in attempts if attempt.stands or attempt.state in ("paid", "paid_second")]
    if any(attempt.how in ("used", "second") for attempt in standing):
        return "done"
    if open_shares:
        return "running"
    if any(attempt.how == "one_sided" for attempt in standing):
        return "done_one_sided"
    if standing:
        return "broken"
    if any(attempt.state == "owed" for attempt in attempts):
        return "owed"
    if any(attempt.contradicted or attempt.state == "disproved" for attempt in attempts):
        return "disputed"
    return "cancelled" if cancelled else "failed"
