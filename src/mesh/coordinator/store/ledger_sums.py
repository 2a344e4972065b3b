"""What was earned and spent in each step of a stretch of time, by member or by device: for charts.

Whoever a posting names as its earner earned what it moved to them, and whoever it names as its payer spent what it took
from them; what takes a payment back takes it off again, and what only moves between one's own accounts is nothing.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from sqlalchemy import bindparam, case, func, or_, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.ledger_pages import Wanted, id_bounds
from mesh.coordinator.store.schema.ledger import accounts, entries, postings

By = Literal["member", "device"]


class Sum(NamedTuple):
    """Micro-credits that one member or device earned and spent in the step of that number."""

    who: str
    step: int
    earned: int
    spent: int


def sums(store: Store, wanted: Wanted, by: By, step_ms: int) -> Sequence[Sum]:
    """Sums of every step in which anything was earned or spent; steps count from ``wanted.since_ms``."""
    before, from_id = id_bounds(wanted)
    facts = {**wanted._asdict(), "before": before, "from_id": from_id, "step_ms": step_ms}
    found: dict[tuple[str, int], list[int]] = {}
    for row in store.rows(_statement(by, bool(wanted.member), bool(wanted.device), wanted.kind), facts):
        for side, (who, amount) in enumerate(((row.worked, row.earned), (row.asked, -row.spent))):
            if amount and who is not None:
                found.setdefault((who, row.step), [0, 0])[side] += int(amount)
    return [Sum(who, step, earned, spent) for (who, step), (earned, spent) in found.items()]


@cache
def _statement(by: By, of_member: bool, of_device: bool, kind: str) -> Prepared:
    """Sums by who worked, who asked, and step: read once for both sides."""
    worked, asked = (
        (postings.c.worker, postings.c.requester) if by == "device" else (accounts.c.member, accounts.c.member)
    )
    step = ((postings.c.posted_ms - bindparam("since_ms")) // bindparam("step_ms")).label("step")
    earns, pays = accounts.c.member == postings.c.earner, accounts.c.member == postings.c.payer
    query = (
        select(
            worked.label("worked"),
            asked.label("asked"),
            step,
            func.sum(case((earns, entries.c.amount), else_=0)).label("earned"),
            func.sum(case((pays, entries.c.amount), else_=0)).label("spent"),
        )
        .select_from(postings)
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(postings.c.network == bindparam("network"))
        .where(postings.c.id >= bindparam("from_id"))
        .where(postings.c.id < bindparam("before"))
        .where(postings.c.posted_ms >= bindparam("since_ms"))
        .where(postings.c.posted_ms < bindparam("until_ms"))
        .where(or_(earns, pays))
        .group_by(worked, asked, step)
    )
    if of_member:
        query = query.where(accounts.c.network == bindparam("network")).where(accounts.c.member == bindparam("member"))
    if of_device:
        query = query.where(
            or_(*(column == bindparam("device") for column in (postings.c.requester, postings.c.worker)))
        )
    return Prepared(query.where(postings.c.kind == bindparam("kind")) if kind else query)
