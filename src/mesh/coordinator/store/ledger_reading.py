"""The ledger as people read it: a member's lines, newest first, and all balances of a network.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, false, func, or_, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.ledger import accounts, entries, postings
from mesh.coordinator.store.schema.networks import memberships
from mesh.ids import MemberId, NetworkId

_LINES = Prepared(
    select(
        postings.c.id,
        postings.c.posted_ms,
        postings.c.kind,
        accounts.c.kind.label("account"),
        accounts.c.member,
        entries.c.amount,
        postings.c.payer,
        postings.c.earner,
        postings.c.requester,
        postings.c.worker,
        postings.c.job,
        postings.c.attempt,
        postings.c.tariff_version,
        postings.c.units,
        postings.c.price_micro,
        postings.c.price_per,
        postings.c.approver,
        postings.c.permit,
        postings.c.receipt,
        postings.c.reason,
        postings.c.sealed_number,
    )
    .join(entries, entries.c.posting == postings.c.id)
    .join(accounts, accounts.c.id == entries.c.account)
    .where(postings.c.network == bindparam("network"))
    .where(postings.c.id < bindparam("before"))
    .where(or_(bindparam("member") == "", accounts.c.member == bindparam("member")))
    .order_by(postings.c.id.desc(), entries.c.account.desc())
    .limit(bindparam("most"))
)
_NEWER = Prepared(
    select(func.coalesce(func.sum(entries.c.amount), 0))
    .join(accounts, accounts.c.id == entries.c.account)
    .where(accounts.c.network == bindparam("network"))
    .where(accounts.c.kind == bindparam("kind"))
    .where(accounts.c.member == bindparam("member"))
    .where(entries.c.posting >= bindparam("since"))
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

NEWEST = "~"
"""Sorts after every id: the cursor of the first page."""


def lines(store: Store, network: NetworkId, *, member: MemberId | None, before: str, most: int) -> Sequence[Any]:
    """Entries of a network newest first, of one member's accounts or of all (None), from before a posting's id."""
    return store.rows(_LINES, {"network": network, "member": member or "", "before": before, "most": most})


def sum_since(store: Store, network: NetworkId, kind: str, member: str, since: str) -> int:
    """What an account's entries from a posting's id on sum to."""
    return int(store.value(_NEWER, {"network": network, "kind": kind, "member": member, "since": since}))


def all_accounts(store: Store, network: NetworkId) -> Sequence[Any]:
    """Every account of a network: (kind, member, held, amount), the amounts exact."""
    return store.rows(_ACCOUNTS, {"network": network})


def left_behind(store: Store, most: int) -> Sequence[Any]:
    """Balances above what is held, of people who are in their network no more: (network, member, amount, held)."""
    return store.rows(_LEFT_BEHIND, {"most": most})
