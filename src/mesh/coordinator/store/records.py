"""Forgetting job records that are old enough and settled for good, a part at a time. The ledger is not touched.

A job is settled for good once nothing that comes later can change it: its permits are pruned (no report about them is
believed any more), its pay has matured, and nothing is owed for it.

Touches: database (through the store it is given).
"""

from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, or_, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.jobs import LISTED, attempts, checks, evidence, explanations, jobs
from mesh.coordinator.store.schema.permits import candidates, permits, shares
from mesh.ids import MemberId, NetworkId

_PARTS: tuple[Any, ...] = (explanations, checks, evidence, attempts)
"""What hangs on a job, in the order in which it goes."""


def _same_job(table: Any) -> Any:
    return and_(table.c.network == jobs.c.network, table.c.requester == jobs.c.requester, table.c.job == jobs.c.job)


_live = permits.c.state != "pruned"
_settled = and_(
    ~exists().where(_same_job(permits), _live),
    ~exists().where(_same_job(attempts), permits.c.id == attempts.c.permit, _live),
    ~exists().where(_same_job(evidence), permits.c.id == evidence.c.permit, _live),
    ~exists().where(_same_job(attempts), or_(attempts.c.owed > 0, and_(attempts.c.pay > 0, ~attempts.c.matured))),
    ~exists().where(_same_job(checks), checks.c.state == "asked"),
)
_OLD = Prepared(
    select(jobs.c.requester, jobs.c.job)
    .where(jobs.c.network == bindparam("network"))
    .where(LISTED)
    .where(jobs.c.created_ms < bindparam("before"))
    .where(or_(bindparam("member") == "", jobs.c.member == bindparam("member")))
    .where(_settled)
    .order_by(jobs.c.created_ms)
    .limit(bindparam("most"))
)
_DROP = tuple(
    Prepared(
        delete(table)
        .where(table.c.network == bindparam("of_network"))
        .where(table.c.requester == bindparam("of_requester"))
        .where(table.c.job == bindparam("of_job"))
    )
    for table in (*_PARTS, jobs)
)
_empty = and_(
    permits.c.network == bindparam("network"),
    permits.c.state == "pruned",
    permits.c.finish_by_ms < bindparam("before"),
    or_(bindparam("member") == "", permits.c.payer == bindparam("member")),
    ~exists().where(attempts.c.permit == permits.c.id),
    ~exists().where(evidence.c.permit == permits.c.id),
)
_EMPTY = Prepared(select(permits.c.id).where(_empty).order_by(permits.c.finish_by_ms).limit(bindparam("most")))
_DROP_PERMIT = tuple(
    Prepared(delete(table).where(column == bindparam("which")))
    for table, column in ((candidates, candidates.c.permit), (shares, shares.c.permit), (permits, permits.c.id))
)


def forget(store: Store, network: NetworkId, *, before_ms: int, most: int, member: MemberId | None = None) -> int:
    """Forget settled jobs that began before a moment, with all that hangs on them, and permits that are left empty.

    ``member``: only what that person asked for. Returns how many went, at most ``most`` of each: that many means that
    there may be more.
    """
    whose = {"network": network, "before": before_ms, "member": member or "", "most": most}
    old = [{"of_network": network, "of_requester": row.requester, "of_job": row.job} for row in store.rows(_OLD, whose)]
    if old:
        for statement in _DROP:
            store.run(statement, old)
    empty = [{"which": row.id} for row in store.rows(_EMPTY, whose)]
    if empty:
        for statement in _DROP_PERMIT:
            store.run(statement, empty)
    return max(len(old), len(empty))
