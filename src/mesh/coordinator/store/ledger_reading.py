"""All balances of a network, and what an account had at a line of the ledger.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, false, func, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.ledger_hours import HOUR_MS
from mesh.coordinator.store.ledger_pages import LOWEST, WRITTEN_MS
from mesh.coordinator.store.schema.ledger import accounts, entries, ledger_hours, postings
from mesh.coordinator.store.schema.networks import memberships
from mesh.credits.accounts import Account
from mesh.ids import NetworkId, made_ms, ulid

_ACCOUNT = Prepared(
    select(accounts.c.id)
    .where(accounts.c.network == bindparam("network"))
    .where(accounts.c.kind == bindparam("kind"))
    .where(accounts.c.member == bindparam("member"))
)


def _sum(column: Any) -> Select[Any]:
    return select(func.coalesce(func.sum(column), 0))


_ENTRIES = _sum(entries.c.amount).where(entries.c.account == bindparam("account"))
_ENTRY = (
    select(entries.c.amount)
    .where(entries.c.posting == postings.c.id)
    .where(entries.c.account == bindparam("account"))
    .correlate(postings)
    .scalar_subquery()
)
_HAD_AFTER = Prepared(
    select(
        _sum(ledger_hours.c.amount)
        .where(ledger_hours.c.account == bindparam("account"))
        .where(ledger_hours.c.hour < bindparam("hour"))
        .scalar_subquery()
        + _ENTRIES.where(entries.c.posting >= bindparam("surely"))
        .where(entries.c.posting <= bindparam("line"))
        .scalar_subquery()
        + _ENTRIES.join(postings, postings.c.id == entries.c.posting)
        .where(entries.c.posting >= bindparam("first"))
        .where(entries.c.posting < bindparam("surely"))
        .where(postings.c.posted_ms >= bindparam("from_ms"))
        .scalar_subquery()
        + _sum(_ENTRY)
        .where(postings.c.network == bindparam("network"))
        .where(postings.c.sealed_number.is_(None))
        .where(postings.c.posted_ms < bindparam("from_ms"))
        .scalar_subquery()
    )
)
"""Whole hours, as they are sealed; the entries from ``from_ms`` on, up to the line; and what is not sealed before."""

_ACCOUNTS = Prepared(
    select(
        accounts.c.kind,
        accounts.c.member,
        accounts.c.held,
        (
            accounts.c.amount
            + func.coalesce(
                select(func.sum(entries.c.amount))
                .where(and_(entries.c.account == accounts.c.id, entries.c.rolled == false()))
                .scalar_subquery(),
                0,
            )
        ).label("amount"),
    )
    .where(accounts.c.network == bindparam("network"))
    .order_by(accounts.c.member, accounts.c.kind)
)

_LEFT_BEHIND = Prepared(
    select(accounts.c.network, accounts.c.member, accounts.c.amount, accounts.c.held)
    .join(memberships, and_(memberships.c.network == accounts.c.network, memberships.c.member == accounts.c.member))
    .where(memberships.c.state == "removed")
    .where(accounts.c.kind == "balance")
    .where(accounts.c.amount > accounts.c.held)
    .where(accounts.c.amount > 0)
    .order_by(accounts.c.id)
    .limit(bindparam("most"))
)


def had_after(store: Store, network: NetworkId, account: Account, line: str) -> int:
    """What an account had after a posting of its own: from sums of hours, so that a long ledger is as quick as a short.

    What was posted before ``from_ms`` has an id below the line's.
    """
    facts: dict[str, Any] = {"network": network, "kind": account.kind, "member": account.member}
    hour = max(0, made_ms(line) - WRITTEN_MS) // HOUR_MS
    from_ms = hour * HOUR_MS
    facts |= {"account": store.value(_ACCOUNT, facts), "line": line, "hour": hour, "from_ms": from_ms}
    facts |= {"first": ulid(from_ms, LOWEST), "surely": ulid(from_ms + WRITTEN_MS, LOWEST)}
    return int(store.value(_HAD_AFTER, facts))


def all_accounts(store: Store, network: NetworkId) -> Sequence[Any]:
    """Every account of a network: (kind, member, held, amount), the amounts exact."""
    return store.rows(_ACCOUNTS, {"network": network})


def left_behind(store: Store, most: int) -> Sequence[Any]:
    """Balances above what is held, of people who are in their network no more: (network, member, amount, held)."""
    return store.rows(_LEFT_BEHIND, {"most": most})
