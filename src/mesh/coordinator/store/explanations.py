"""Why the newest jobs went where they went: recorded placements, for replaying them.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.jobs import LISTED, attempts, explanations, jobs
from mesh.coordinator.store.schema.permits import permits
from mesh.ids import NetworkId

_newest = (
    select(jobs.c.network, jobs.c.requester, jobs.c.job, jobs.c.member, jobs.c.workload, jobs.c.created_ms)
    .where(jobs.c.network == bindparam("network"))
    .where(LISTED)
    .order_by(jobs.c.created_ms.desc())
    .limit(bindparam("most"))
    .subquery()
)
_of_its_series = (
    select(permits.c.explanation)
    .join(attempts, attempts.c.permit == permits.c.id)
    .where(attempts.c.network == _newest.c.network)
    .where(attempts.c.requester == _newest.c.requester)
    .where(attempts.c.job == _newest.c.job)
    .where(permits.c.explanation.is_not(None))
    .order_by(attempts.c.attempt.desc())
    .limit(1)
    .correlate(_newest)
    .scalar_subquery()
)
_NEWEST = Prepared(
    select(
        _newest.c.requester,
        _newest.c.job,
        _newest.c.member,
        _newest.c.workload,
        _newest.c.created_ms,
        explanations.c.body,
        case((explanations.c.body.is_(None), _of_its_series)).label("of_series"),
    )
    .select_from(
        _newest.outerjoin(
            explanations,
            and_(
                explanations.c.network == _newest.c.network,
                explanations.c.requester == _newest.c.requester,
                explanations.c.job == _newest.c.job,
            ),
        )
    )
    .order_by(_newest.c.created_ms.desc(), _newest.c.job.desc())
)


def newest(store: Store, network: NetworkId, most: int) -> Sequence[Any]:
    """The newest jobs, each with its explanation ``body`` as JSON text, or that ``of_series`` which its jobs share."""
    return store.rows(_NEWEST, {"network": network, "most": most})
