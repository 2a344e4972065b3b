"""Shares of series in SQL: what is known under one, and which of its jobs still wait for a decision.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, or_, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.jobs import attempts, evidence
from mesh.coordinator.store.schema.permits import candidates, permits, shares

_SHARE = Prepared(
    select(shares, permits.c.requester, permits.c.kind, candidates.c.no_more.label("worker_no_more"))
    .join(permits, permits.c.id == shares.c.permit)
    .join(candidates, and_(candidates.c.permit == shares.c.permit, candidates.c.worker == shares.c.worker))
    .where(shares.c.id == bindparam("share"))
)
_ANSWERS = or_(evidence.c.kind == "used", evidence.c.kind == "failed", evidence.c.kind == "superseded")
_CLAIM = evidence.c.kind == "claim"
_WORTH = and_(_CLAIM, func.coalesce(evidence.c.code, "") != "failed", evidence.c.units > 0)
_EACH = (
    select(
        func.max(case((_ANSWERS, 1), else_=0)).label("answered"),
        func.max(case((_CLAIM, 1), else_=0)).label("claimed"),
        func.max(case((_WORTH, 1), else_=0)).label("worth"),
    )
    .where(evidence.c.permit == bindparam("permit"))
    .where(evidence.c.worker == bindparam("worker"))
    .group_by(evidence.c.job, evidence.c.attempt)
    .subquery()
)
_COUNTS = Prepared(
    select(
        func.coalesce(func.sum(_EACH.c.answered), 0).label("answered"),
        func.coalesce(func.sum(_EACH.c.claimed), 0).label("claimed"),
        func.coalesce(func.sum(case((and_(_EACH.c.worth == 1, _EACH.c.answered == 0), 1), else_=0)), 0).label("open"),
    )
)
_USED = (
    select(evidence.c.job)
    .where(evidence.c.network == attempts.c.network)
    .where(evidence.c.requester == attempts.c.requester)
    .where(evidence.c.job == attempts.c.job)
    .where(evidence.c.kind == "used")
    .correlate(attempts)
    .exists()
)
_COUNTED = (
    select(evidence.c.job)
    .where(evidence.c.network == attempts.c.network)
    .where(evidence.c.requester == attempts.c.requester)
    .where(evidence.c.job == attempts.c.job)
    .where(evidence.c.kind == "count")
    .correlate(attempts)
    .exists()
)
_WAITING = Prepared(
    select(attempts.c.job)
    .where(attempts.c.share == bindparam("share"))
    .where(or_(attempts.c.state == "submitted", attempts.c.state == "claimed"))
    .order_by(case((_USED, 0), (_COUNTED, 1), else_=2), attempts.c.job)
    .limit(bindparam("most"))
)
_SUPERSEDED = Prepared(
    select(attempts.c.job).where(attempts.c.share == bindparam("share")).where(attempts.c.state == "superseded")
)


class Counts(NamedTuple):
    """Facts under one share: attempts answered, attempts claimed, and claims above 0 that no answer has met."""

    answered: int
    claimed: int
    unanswered: int


def share(store: Store, share: str) -> Any:
    """A share's row with its permit's requester and kind, and how many claims its worker said it sent."""
    return store.row(_SHARE, {"share": share})


def counts(store: Store, permit: str, worker: str) -> Counts:
    """What is known under a worker's share."""
    row = store.row(_COUNTS, {"permit": permit, "worker": worker})
    assert row is not None
    return Counts(int(row[0]), int(row[1]), int(row[2]))


def waiting(store: Store, share: str, most: int) -> tuple[str, ...]:
    """Jobs with an undecided attempt on a share, in the order in which they are paid: used, counted, silent."""
    return tuple(row.job for row in store.rows(_WAITING, {"share": share, "most": most}))


def superseded(store: Store, share: str) -> tuple[str, ...]:
    """Jobs with an attempt on a share that the requester says another attempt replaced."""
    return tuple(row.job for row in store.rows(_SUPERSEDED, {"share": share}))
