"""All balances of a network, and what an account had at a line of the ledger.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, false, func, select

from mesh.coordinator.store import ledger
from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.ledger import accounts, entries
from mesh.coordinator.store.schema.networks import memberships
from mesh.credits.accounts import Account
from mesh.ids import NetworkId, made_ms

_MINE = (
    select(accounts.c.id)
    .where(accounts.c.network == bindparam("network"))
    .where(accounts.c.kind == bindparam("kind"))
    .where(accounts.c.member == bindparam("member"))
    .scalar_subquery()
)
_SUM = select(func.coalesce(func.sum(entries.c.amount), 0)).where(entries.c.account == _MINE)
_NEWER = Prepared(_SUM.where(entries.c.posting > bindparam("line")))
_UP_TO = Prepared(_SUM.where(entries.c.posting <= bindparam("line")))
_LINES = select(entries.c.posting).where(entries.c.account == _MINE)
_FIRST = Prepared(_LINES.order_by(entries.c.posting).limit(1))
_LAST = Prepared(_LINES.order_by(entries.c.posting.desc()).limit(1))
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
    """What an account had after a posting of its own: summed from the end that is nearer in time."""
    facts = {"network": network, "kind": account.kind, "member": account.member, "line": line}
    first, last = store.value(_FIRST, facts), store.value(_LAST, facts)
    if made_ms(line) - made_ms(first) < made_ms(last) - made_ms(line):
        return int(store.value(_UP_TO, facts))
    return ledger.amount_of(store, network, account) - int(store.value(_NEWER, facts))


def all_accounts(store: Store, network: NetworkId) -> Sequence[Any]:
    """Every account of a network: (kind, member, held, amount), the amounts exact."""
    return store.rows(_ACCOUNTS, {"network": network})


def left_behind(store: Store, most: int) -> Sequence[Any]:
    """Balances above what is held, of people who are in their network no more: (network, member, amount, held)."""
    return store.rows(_LEFT_BEHIND, {"most": most})
