"""All balances of a network, and what an account had at a line of the ledger.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, false, func, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.ledger import accounts, entries
from mesh.coordinator.store.schema.networks import memberships
from mesh.ids import NetworkId

_NEWER = Prepared(
    select(func.coalesce(func.sum(entries.c.amount), 0))
    .join(accounts, accounts.c.id == entries.c.account)
    .where(accounts.c.network == bindparam("network"))
    .where(accounts.c.kind == bindparam("kind"))
    .where(accounts.c.member == bindparam("member"))
    .where(entries.c.posting > bindparam("line"))
)
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


def sum_after(store: Store, network: NetworkId, kind: str, member: str, line: str) -> int:
    """What an account's entries after a posting's sum to."""
    return int(store.value(_NEWER, {"network": network, "kind": kind, "member": member, "line": line}))


def all_accounts(store: Store, network: NetworkId) -> Sequence[Any]:
    """Every account of a network: (kind, member, held, amount), the amounts exact."""
    return store.rows(_ACCOUNTS, {"network": network})


def left_behind(store: Store, most: int) -> Sequence[Any]:
    """Balances above what is held, of people who are in their network no more: (network, member, amount, held)."""
    return store.rows(_LEFT_BEHIND, {"most": most})
