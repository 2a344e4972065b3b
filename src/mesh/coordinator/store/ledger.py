"""Money in SQL: the conditional hold, postings with their entries, balances, and the roll-up of shared accounts.

Touches: nothing (statements go to the store it is given).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, func, select, update

from mesh.coordinator.store.connection import Prepared, Store, adding, adding_once
from mesh.coordinator.store.schema.ledger import accounts, entries, postings
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.credits import transfers
from mesh.credits.accounts import SYSTEM, Account, Posting
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId

_THIS = and_(
    accounts.c.network == bindparam("in_network"),
    accounts.c.kind == bindparam("of_kind"),
    accounts.c.member == bindparam("of_member"),
)
_FIND = Prepared(select(accounts.c.id, accounts.c.amount, accounts.c.held).where(_THIS))
_OPEN = adding_once(accounts, "id", "network", "kind", "member")
_HOLD = Prepared(
    update(accounts)
    .where(accounts.c.id == bindparam("account"))
    .where(accounts.c.amount - accounts.c.held - bindparam("held") >= bindparam("lowest"))
    .values(held=accounts.c.held + bindparam("held"))
)
_MOVE = Prepared(
    update(accounts)
    .where(accounts.c.id == bindparam("account"))
    .where(accounts.c.amount + bindparam("by") - accounts.c.held + bindparam("released") >= bindparam("lowest"))
    .values(amount=accounts.c.amount + bindparam("by"), held=accounts.c.held - bindparam("released"))
)
_POST = adding(
    postings,
    "id", "network", "kind", "business", "payer", "earner", "requester", "worker", "job", "attempt", "permit",
    "tariff_version", "units", "price_micro", "price_per", "approver", "posted_ms",
)  # fmt: skip
_ENTER = adding(entries, "posting", "account", "amount", "rolled")
_LINE = Prepared(
    select(networks.c.credit_line, memberships.c.credit_floor)
    .select_from(networks)
    .join(memberships, and_(memberships.c.network == networks.c.id, memberships.c.member == bindparam("of_member")))
    .where(networks.c.id == bindparam("in_network"))
)
_UNROLLED = Prepared(
    select(func.coalesce(func.sum(entries.c.amount), 0))
    .where(entries.c.account == bindparam("account"))
    .where(entries.c.rolled.is_(False))
)
_TO_ROLL = Prepared(
    select(entries.c.account, func.sum(entries.c.amount).label("amount"))
    .where(entries.c.rolled.is_(False))
    .group_by(entries.c.account)
)
_ROLLED = Prepared(update(entries).where(entries.c.rolled.is_(False)).values(rolled=True))
_ROLL = Prepared(
    update(accounts).where(accounts.c.id == bindparam("account")).values(amount=accounts.c.amount + bindparam("by"))
)

NO_LIMIT = -(2**62)
"""Stands for "no floor" in a comparison: far below every amount, far from overflow."""


class NotInNetwork(MeshError):
    """That person has no account in this network, because they are not in it. Ask an admin for an invite."""

    code = "credits.not_in_network"
    kind = "not_found"


class Money(NamedTuple):
    """A member's money: what is theirs, what is still deniable, what is set aside, and how low they may go."""

    account: str
    balance: int
    held: int
    lowest: int | None

    @property
    def free(self) -> int | None:
        """What may be set aside or paid now; None: no limit."""
        return transfers.free(self.balance, self.held, self.lowest)


class About(NamedTuple):
    """What a posting is about, for people who read the ledger. ``business`` names it, once per network."""

    business: str
    payer: MemberId | None = None
    earner: MemberId | None = None
    requester: str | None = None
    worker: str | None = None
    job: str | None = None
    attempt: int | None = None
    permit: str | None = None
    tariff_version: int | None = None
    units: int | None = None
    price_micro: int | None = None
    price_per: int | None = None
    approver: MemberId | None = None


def account_of(store: Store, network: NetworkId, account: Account, new_id: Callable[[], str]) -> Any:
    """The row (id, amount, held) of an account; opened with 0 if it was never used."""
    key = {"in_network": network, "of_kind": account.kind, "of_member": account.member}
    row = store.row(_FIND, key)
    if row is None:
        store.run(_OPEN, {"id": new_id(), "network": network, "kind": account.kind, "member": account.member})
        row = store.row(_FIND, key)
    return row


def money_of(store: Store, network: NetworkId, member: MemberId, new_id: Callable[[], str]) -> Money:
    """A member's money, with the floor that applies to them now. Raises NotInNetwork."""
    row = account_of(store, network, Account("balance", member), new_id)
    return Money(row.id, row.amount, row.held, lowest_of(store, network, member))


def lowest_of(store: Store, network: NetworkId, member: MemberId) -> int | None:
    """The floor of a member: their own, else their network's; None: no limit. Raises NotInNetwork."""
    line = store.row(_LINE, {"in_network": network, "of_member": member})
    if line is None:
        raise NotInNetwork
    return transfers.floor(line.credit_line, line.credit_floor)


def hold(store: Store, account: str, amount: int, lowest: int | None) -> bool:
    """Set an amount aside in one conditional update; False if it would cross the floor."""
    bound = NO_LIMIT if lowest is None else lowest
    return store.run(_HOLD, {"account": account, "held": amount, "lowest": bound}) == 1


def move(store: Store, account: str, *, by: int, released: int, lowest: int | None) -> bool:
    """Change a balance and what it has set aside, in one update; False if that would cross ``lowest``."""
    bound = NO_LIMIT if lowest is None else lowest
    return store.run(_MOVE, {"account": account, "by": by, "released": released, "lowest": bound}) == 1


def post(
    store: Store,
    network: NetworkId,
    posting: Posting,
    about: About,
    *,
    now_ms: int,
    new_id: Callable[[], str],
) -> None:
    """Write a posting and its entries. Balances of ``balance`` accounts change by ``move``, which the caller does.

    Rows of other accounts are only rolled up now and then, so that no row is shared by all jobs of a network.
    """
    number = new_id()
    store.run(_POST, {**about._asdict(), "id": number, "network": network, "kind": posting.kind, "posted_ms": now_ms})
    lines = [
        {
            "posting": number,
            "account": account_of(store, network, entry.account, new_id).id,
            "amount": entry.amount,
            "rolled": entry.account.kind == "balance",
        }
        for entry in posting.entries
    ]
    store.run(_ENTER, lines)


def post_and_move(
    store: Store,
    network: NetworkId,
    posting: Posting,
    about: About,
    *,
    now_ms: int,
    new_id: Callable[[], str],
) -> None:
    """``post``, and change every balance it names, in the order of their accounts' ids. For postings without a hold."""
    post(store, network, posting, about, now_ms=now_ms, new_id=new_id)
    changes = [
        (str(account_of(store, network, entry.account, new_id).id), entry.amount)
        for entry in posting.entries
        if entry.account.kind == "balance"
    ]
    for account, amount in sorted(changes):
        assert move(store, account, by=amount, released=0, lowest=None)


def amount_of(store: Store, network: NetworkId, account: Account) -> int:
    """The amount on any account, with what is not rolled up yet."""
    key = {"in_network": network, "of_kind": account.kind, "of_member": account.member}
    row = store.row(_FIND, key)
    if row is None:
        return 0
    return int(row.amount) + int(store.value(_UNROLLED, {"account": row.id}))


def system_account(kind: Any) -> Account:
    """One of the accounts that belong to nobody."""
    return Account(kind, SYSTEM)


def roll_up(store: Store) -> int:
    """Count entries of shared accounts into their rows; returns how many accounts changed."""
    sums = store.rows(_TO_ROLL)
    store.run(_ROLLED)
    for row in sums:
        store.run(_ROLL, {"account": row.account, "by": row.amount})
    return len(sums)
