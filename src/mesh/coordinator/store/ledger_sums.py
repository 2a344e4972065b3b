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
from mesh.coordinator.store.ledger_hours import HOUR_MS
from mesh.coordinator.store.ledger_pages import Wanted, id_bounds
from mesh.coordinator.store.schema.ledger import accounts, entries, ledger_hours, postings

By = Literal["member", "device"]


class Sum(NamedTuple):
    """Micro-credits that one member or device earned and spent in the step of that number."""

    who: str
    step: int
    earned: int
    spent: int


class Grid(NamedTuple):
    """Steps of ``step_ms`` from ``origin_ms`` on, both whole hours; nothing was posted later than ``now_ms``."""

    origin_ms: int
    step_ms: int
    now_ms: int


def sums(store: Store, wanted: Wanted, by: By, grid: Grid) -> Sequence[Sum]:
    """Sums of every step in which anything was earned or spent.

    Whole hours are read from their sums, as far as they are sealed; the entries themselves for what is left: parts of
    hours at both ends, and what is not sealed yet. ``wanted.since_ms`` is not before the grid's origin.
    """
    first, last = -(-wanted.since_ms // HOUR_MS), wanted.until_ms // HOUR_MS
    if wanted.until_ms > grid.now_ms:
        last = grid.now_ms // HOUR_MS + 1
    first_ms, last_ms = first * HOUR_MS, max(first, last) * HOUR_MS
    narrowed = (bool(wanted.member), bool(wanted.device), wanted.kind)
    whole = {"first": first, "last": last, "origin": grid.origin_ms // HOUR_MS, "step": grid.step_ms // HOUR_MS}
    rows = list(store.rows(_hours(by, *narrowed), {**wanted._asdict(), **whole})) if first < last else []
    spans = [(wanted.since_ms, min(first_ms, wanted.until_ms), False), (first_ms, last_ms, True)]
    for since_ms, until_ms, unsealed in [*spans, (last_ms, wanted.until_ms, False)]:
        if since_ms < until_ms:
            part = wanted._replace(since_ms=since_ms, until_ms=until_ms)
            before, from_id = id_bounds(part)
            facts = {**part._asdict(), "before": before, "from_id": from_id}
            facts |= {"origin_ms": grid.origin_ms, "step_ms": grid.step_ms}
            rows += store.rows(_statement(by, unsealed, *narrowed), facts)
    found: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        for side, (who, amount) in enumerate(((row.worked, row.earned), (row.asked, -row.spent))):
            if amount and who:
                found.setdefault((who, row.step), [0, 0])[side] += int(amount)
    return [Sum(who, step, earned, spent) for (who, step), (earned, spent) in found.items()]


@cache
def _hours(by: By, of_member: bool, of_device: bool, kind: str) -> Prepared:
    """Sums of whole hours, by who worked, who asked, and step."""
    devices = (ledger_hours.c.worker, ledger_hours.c.requester)
    worked, asked = devices if by == "device" else (accounts.c.member, accounts.c.member)
    step = ((ledger_hours.c.hour - bindparam("origin")) // bindparam("step")).label("step")
    earned, spent = func.sum(ledger_hours.c.earned).label("earned"), func.sum(ledger_hours.c.spent).label("spent")
    query = (
        select(worked.label("worked"), asked.label("asked"), step, earned, spent)
        .join(accounts, accounts.c.id == ledger_hours.c.account)
        .where(accounts.c.network == bindparam("network"))
        .where(ledger_hours.c.hour >= bindparam("first"))
        .where(ledger_hours.c.hour < bindparam("last"))
        .group_by(worked, asked, step)
    )
    if of_member:
        query = query.where(accounts.c.member == bindparam("member"))
    if of_device:
        query = query.where(or_(*(column == bindparam("device") for column in devices)))
    return Prepared(query.where(ledger_hours.c.kind == bindparam("kind")) if kind else query)


@cache
def _statement(by: By, unsealed: bool, of_member: bool, of_device: bool, kind: str) -> Prepared:
    """The same from entries: of all, or of those that are not sealed yet."""
    worked, asked = (
        (postings.c.worker, postings.c.requester) if by == "device" else (accounts.c.member, accounts.c.member)
    )
    step = ((postings.c.posted_ms - bindparam("origin_ms")) // bindparam("step_ms")).label("step")
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
    if unsealed:
        query = query.where(postings.c.sealed_number.is_(None))
    if of_member:
        query = query.where(accounts.c.network == bindparam("network")).where(accounts.c.member == bindparam("member"))
    if of_device:
        query = query.where(
            or_(*(column == bindparam("device") for column in (postings.c.requester, postings.c.worker)))
        )
    return Prepared(query.where(postings.c.kind == bindparam("kind")) if kind else query)
