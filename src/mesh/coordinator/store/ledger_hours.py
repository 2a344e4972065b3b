"""Sums of what is sealed, by account and hour: how they are made, and what contradicts them.

Touches: database (through the store it is given).
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.ledger import accounts, entries, ledger_hours, postings
from mesh.ids import NetworkId

HOUR_MS = 3_600_000
_KEY = ("account", "hour", "kind", "requester", "worker")
_SUMS = ("amount", "earned", "spent")


def _derived(which: ColumnElement[bool]) -> Select[Any]:
    """The sums of some postings, from their entries."""

    def told(column: Any) -> ColumnElement[Any]:
        return func.coalesce(column, literal_column("''"))

    def of(column: Any) -> ColumnElement[Any]:
        return func.sum(case((accounts.c.member == column, entries.c.amount), else_=0))

    hour = postings.c.posted_ms // literal_column(str(HOUR_MS), Integer)
    key = (entries.c.account, hour, postings.c.kind, told(postings.c.requester), told(postings.c.worker))
    sums = (func.sum(entries.c.amount), of(postings.c.earner), of(postings.c.payer))
    return (
        select(*(column.label(name) for name, column in zip((*_KEY, *_SUMS), (*key, *sums), strict=True)))
        .select_from(postings)
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(postings.c.network == bindparam("network"))
        .where(which)
        .group_by(*key)
    )


def _adding(insert: Any) -> Any:
    sealed = postings.c.sealed_number
    some = _derived((sealed >= bindparam("first")) & (sealed <= bindparam("last")))
    added = insert(ledger_hours).from_select([*_KEY, *_SUMS], some)
    changed = {name: ledger_hours.c[name] + added.excluded[name] for name in _SUMS}
    return added.on_conflict_do_update(index_elements=list(_KEY), set_=changed)


_ADD = Prepared(_adding(sqlite.insert), others={"postgresql": _adding(postgresql.insert)})


def add(store: Store, network: NetworkId, first: int, last: int) -> None:
    """Count the postings with these numbers in, which were sealed in this transaction."""
    store.put(_ADD, {"network": network, "first": first, "last": last})


def wrong() -> Select[Any]:
    """Sums that are not what their entries sum to: the key, the number that is there, and the one that should be."""
    kept = (
        select(*(ledger_hours.c[name] for name in (*_KEY, *_SUMS)))
        .join(accounts, accounts.c.id == ledger_hours.c.account)
        .where(accounts.c.network == bindparam("network"))
    )
    due = _derived(postings.c.sealed_number.is_not(None)).subquery()
    kept_rows = kept.subquery()
    none = [literal(0).label(f"{name}_due") for name in _SUMS]
    both = union_all(
        select(kept_rows, *none),
        select(
            *(due.c[name] for name in _KEY),
            *(literal(0).label(name) for name in _SUMS),
            *(due.c[name].label(f"{name}_due") for name in _SUMS),
        ),
    ).subquery()
    differs = [func.sum(both.c[name]) != func.sum(both.c[f"{name}_due"]) for name in _SUMS]
    found, expected = (
        case(*((one, func.sum(both.c[f"{name}{which}"])) for name, one in zip(_SUMS, differs, strict=True)))
        for which in ("", "_due")
    )
    row = both.c.account + literal("/") + cast(both.c.hour, Text)
    key = [both.c[name] for name in _KEY]
    return select(row, found, expected).group_by(*key).having(or_(*differs)).order_by(*key)
