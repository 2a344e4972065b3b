"""Money in SQL: the conditional hold, postings with their entries, balances, and the roll-up of shared accounts.

Touches: database (through the store it is given).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, false, func, select, update

from mesh.coordinator.store.connection import Later, Prepared, Store, adding, adding_once
from mesh.coordinator.store.errors import Raced
from mesh.coordinator.store.schema.ledger import accounts, entries, postings
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.credits import transfers
from mesh.credits.accounts import Account, Posting
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
    .where(accounts.c.held >= bindparam("released"))
    .values(amount=accounts.c.amount + bindparam("by"), held=accounts.c.held - bindparam("released"))
)
_POST = adding(
    postings,
    "id", "network", "kind", "business", "payer", "earner", "requester", "worker", "job", "attempt", "permit",
    "tariff_version", "units", "price_micro", "price_per", "approver", "receipt", "reason", "posted_ms",
)  # fmt: skip
_ENTER = adding(entries, "posting", "account", "amount", "rolled")
_LINE = Prepared(
    select(networks.c.credit_line, memberships.c.credit_floor)
    .select_from(networks)
    .join(memberships, and_(memberships.c.network == networks.c.id, memberships.c.member == bindparam("of_member")))
    .where(networks.c.id == bindparam("in_network"))
)
_NETWORK_LINE = Prepared(select(networks.c.credit_line).where(networks.c.id == bindparam("in_network")))
_POSTED = Prepared(
    select(postings.c.id)
    .where(postings.c.network == bindparam("in_network"))
    .where(postings.c.business == bindparam("business"))
)
_UNROLLED = Prepared(
    select(func.coalesce(func.sum(entries.c.amount), 0))
    .where(entries.c.account == bindparam("account"))
    .where(entries.c.rolled == false())
)
_TO_ROLL = Prepared(
    select(entries.c.account, func.sum(entries.c.amount).label("amount"))
    .where(entries.c.rolled == false())
    .group_by(entries.c.account)
)
_ROLLED = Prepared(update(entries).where(entries.c.rolled == false()).values(rolled=True))
_ROLL = Prepared(
    update(accounts).where(accounts.c.id == bindparam("account")).values(amount=accounts.c.amount + bindparam("by"))
)

NO_LIMIT = -(2**62)
"""Stands for "no floor" in a comparison: far below every amount, far from overflow."""


class NotInNetwork(MeshError):
    """That person has no account in this network, because they are not in it. Ask an admin for an invite."""

    code = "credits.not_in_network"
    kind = "not_found"


class About(NamedTuple):
    """What a posting is about, for people who read the ledger. ``business`` names it, once per network.

    ``receipt``: SHA-256 of the signed fact it rests on. ``reason``: what the admin said who posted it.
    """

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
    receipt: str | None = None
    reason: str | None = None


class FloorCrossed(Raced):
    """A payment would take somebody below their line; nothing was written. Try again: the balance just changed."""

    code = "credits.floor_crossed"


class Books:
    """The accounts of one network within one transaction: postings go in, and balances change once, at the end.

    Balances change in the order of their accounts' ids, so that two transactions never wait for each other.
    """

    def __init__(self, store: Store, network: NetworkId, now_ms: int, new_id: Callable[[], str]) -> None:
        self._store, self._network = store, network
        self._now_ms, self._new_id = now_ms, new_id
        self._moves: dict[str, tuple[int, int]] = {}
        self._bounds: dict[str, int] = {}
        self._postings: list[dict[str, Any]] = []
        self._entries: list[dict[str, Any]] = []

    def id_of(self, account: Account) -> str:
        """The id of an account, opened with 0 if it was never used."""
        kept, name = self._store.kept, ("account", self._network, account)
        if name not in kept:
            kept[name] = account_of(self._store, self._network, account, self._new_id).id
        return str(kept[name])

    def post(self, posting: Posting, about: About) -> None:
        """Take a posting with its entries; it is written by ``flush``, with what it does to balances.

        Other accounts are only rolled up now and then, so that no row is shared by all jobs of a network.
        """
        number = self._new_id()
        self._postings.append({
            **about._asdict(),
            "id": number,
            "network": self._network,
            "kind": posting.kind,
            "posted_ms": self._now_ms,
        })  # fmt: skip
        for entry in posting.entries:
            account, exact = self.id_of(entry.account), entry.account.kind == "balance"
            self._entries.append({"posting": number, "account": account, "amount": entry.amount, "rolled": exact})
            if exact:
                self._shift(account, by=entry.amount, released=0)

    def release(self, member: MemberId, amount: int) -> None:
        """Take an amount off what a member has set aside."""
        self._shift(self.id_of(Account("balance", member)), by=0, released=amount)

    def bound(self, member: MemberId, lowest: int | None) -> None:
        """A member may not end below ``lowest`` (None: no limit)."""
        if lowest is not None:
            self._bounds[self.id_of(Account("balance", member))] = lowest

    def moved(self, member: MemberId) -> tuple[int, int]:
        """What is to be added to a member's balance, and taken off what is held of it, by the next ``flush``."""
        return self._moves.get(self.id_of(Account("balance", member)), (0, 0)) if self._moves else (0, 0)

    def flush(self, bounded: MemberId | None = None, lowest: int | None = None) -> None:
        """Write all postings and change the balances. ``bounded`` may not end below ``lowest`` (None: no limit).

        Raises FloorCrossed.
        """
        if bounded is not None:
            self.bound(bounded, lowest)
        if self._postings:
            self._store.put(_POST, self._postings)
            self._store.put(_ENTER, self._entries)
            self._postings, self._entries = [], []
        for account in sorted(self._moves):
            by, released = self._moves[account]
            bound = self._bounds.get(account, NO_LIMIT)
            change = {"account": account, "by": by, "released": released, "lowest": bound}
            if by or released:
                self._store.expect(_MOVE, change, FloorCrossed)
        self._moves.clear()
        self._bounds.clear()

    def _shift(self, account: str, *, by: int, released: int) -> None:
        was = self._moves.get(account, (0, 0))
        self._moves[account] = (was[0] + by, was[1] + released)


def account_of(store: Store, network: NetworkId, account: Account, new_id: Callable[[], str]) -> Any:
    """The row (id, amount, held) of an account; opened with 0 if it was never used."""
    key = {"in_network": network, "of_kind": account.kind, "of_member": account.member}
    row = store.row(_FIND, key)
    if row is None:
        store.run(_OPEN, {"id": new_id(), "network": network, "kind": account.kind, "member": account.member})
        row = store.row(_FIND, key)
    return row


def asking_account(network: NetworkId, account: Account) -> tuple[Prepared, dict[str, Any]]:
    """The query of an account's row (id, amount, held)."""
    return _FIND, {"in_network": network, "of_kind": account.kind, "of_member": account.member}


def open_books(
    store: Store, network: NetworkId, payer: MemberId, earners: Iterable[str], *, again: bool = True
) -> tuple[int, int]:
    """The payer's balance and what is held of it; the accounts of a payment are known afterwards, in one turn.

    ``again``: look at the balance also if it was looked at in this transaction, which may have changed it since.
    """
    accounts = [Account("balance", payer), Account("verification"), *(Account("balance", MemberId(e)) for e in earners)]
    kept = store.kept
    if again:
        kept.pop(("money", network, payer), None)
    wanted = [
        one
        for one in dict.fromkeys(accounts)
        if ("account", network, one) not in kept or (one.member == payer and ("money", network, payer) not in kept)
    ]
    found = store.together(*(asking_account(network, one) for one in wanted)) if wanted else []
    for account, rows in zip(wanted, found, strict=True):
        if rows:
            kept[("account", network, account)] = rows[0].id
        if account.member == payer:
            kept[("money", network, payer)] = (rows[0].amount, rows[0].held) if rows else (0, 0)
    balance, held = kept[("money", network, payer)]
    return balance, held


def balance_and_held(store: Store, network: NetworkId, member: MemberId) -> tuple[int, int]:
    """A member's balance and what is set aside of it; zeros where the account was never used."""
    row = store.row(_FIND, {"in_network": network, "of_kind": "balance", "of_member": member})
    return (0, 0) if row is None else (row.amount, row.held)


def terms_of(store: Store, network: NetworkId, member: MemberId) -> tuple[transfers.CreditLine, int | None]:
    """A network's credit line and the floor of a member (None: no limit). Raises NotInNetwork."""
    asked = ("terms", network, member)
    if asked not in store.kept:
        store.kept[asked] = store.row(_LINE, {"in_network": network, "of_member": member})
    line = store.kept[asked]
    if line is None:
        raise NotInNetwork
    return line.credit_line, transfers.floor(line.credit_line, line.credit_floor)


def lowest_of(store: Store, network: NetworkId, member: MemberId) -> int | None:
    """The floor of a member: their own, else their network's; None: no limit. Raises NotInNetwork."""
    return terms_of(store, network, member)[1]


def line_of(store: Store, network: NetworkId) -> transfers.CreditLine | None:
    """A network's credit line; None for a network that does not exist."""
    line: transfers.CreditLine | None = store.value(_NETWORK_LINE, {"in_network": network})
    return line


def was_posted(store: Store, network: NetworkId, business: str) -> bool:
    """Whether something was posted before."""
    return store.row(_POSTED, {"in_network": network, "business": business}) is not None


def hold_later(store: Store, account: str, amount: int, lowest: int | None) -> Later:
    """``hold``, for several in one turn: 0 ``touched`` if it would cross the floor."""
    bound = NO_LIMIT if lowest is None else lowest
    return store.later(_HOLD, {"account": account, "held": amount, "lowest": bound})


def hold(store: Store, account: str, amount: int, lowest: int | None) -> bool:
    """Set an amount aside in one conditional update; False if it would cross the floor."""
    bound = NO_LIMIT if lowest is None else lowest
    return store.run(_HOLD, {"account": account, "held": amount, "lowest": bound}) == 1


def amount_of(store: Store, network: NetworkId, account: Account) -> int:
    """The amount on any account, with what is not rolled up yet."""
    key = {"in_network": network, "of_kind": account.kind, "of_member": account.member}
    row = store.row(_FIND, key)
    if row is None:
        return 0
    return int(row.amount) + int(store.value(_UNROLLED, {"account": row.id}))


def roll_up(store: Store) -> int:
    """Count entries of shared accounts into their rows; returns how many accounts changed."""
    sums = store.rows(_TO_ROLL)
    if sums:
        store.run(_ROLLED)
    for row in sums:
        store.run(_ROLL, {"account": row.account, "by": row.amount})
    return len(sums)
