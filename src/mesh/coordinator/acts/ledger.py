"""The ledger for people: lines, balances, the proof that all of it adds up, and the allowance of a new member.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from mesh.coordinator.acts.limits import BadAmount
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import audit, decisions, ledger, ledger_pages, ledger_reading, networks, sealing
from mesh.coordinator.store.audit import Wrong
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger import About, Books
from mesh.coordinator.store.ledger_pages import Wanted
from mesh.coordinator.store.sealing import Head
from mesh.credits import transfers
from mesh.credits.accounts import Account
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.names import visible
from mesh.units import CREDIT

PAGE_MAX = 500
"""Lines in one answer: about 200 KiB of JSON."""
GIFT_MAX = 10**9 * CREDIT
"""What an admin moves in one act stays far from where amounts stop being exact."""
REASON_MAX = 200


class NoReason(MeshError):
    """An admin's posting says why, in 1 to 200 characters: it is in everybody's ledger for good."""

    code = "credits.no_reason"
    kind = "invalid"


class Gift(NamedTuple):
    """Credits for a member out of nothing (negative: back to nothing), in micro-credits, and why."""

    member: MemberId
    amount: int
    reason: str


class Line(NamedTuple):
    """One entry as its account's owner reads it. Amounts in micro-credits; ``price_micro`` for every ``price_per``.

    ``balance``: the account's after it, in a person's own lines; None where others stand between.
    """

    posting: str
    time_ms: int
    kind: str
    account: str
    member: MemberId | None
    amount: int
    balance: int | None
    counterparty: MemberId | None
    job: str | None
    attempt: int | None
    requester: str | None
    worker: str | None
    tariff_version: int | None
    units: int | None
    price_micro: int | None
    price_per: int | None
    permit: str | None
    receipt: str | None
    approver: MemberId | None
    reason: str | None
    sealed_number: int | None


class Page(NamedTuple):
    """Lines newest first; ``cursor`` asks for the next page (None: this is the last)."""

    lines: tuple[Line, ...]
    cursor: str | None


class Balance(NamedTuple):
    """A member's money in micro-credits. ``free`` None: the network sets no limit."""

    balance: int
    pending: int
    held: int
    lowest: int | None
    free: int | None


class AccountLine(NamedTuple):
    """An account with its amount; ``member`` None for the system's own."""

    kind: str
    member: MemberId | None
    amount: int
    held: int


class Verified(NamedTuple):
    """The proof of a network's ledger. ``sealed``: up to which posting it is chained; ``unsealed``: what came since.

    ``head`` is signed by the network; ``at``: the hash that is there now under the number that was asked for.
    """

    ok: bool
    total: int
    postings: int
    entries: int
    invariants: tuple[str, ...]
    wrong: Wrong | None
    sealed: int = 0
    unsealed: int = 0
    head: Head | None = None
    at: str | None = None


def show(store: Store, wanted: Wanted, *, cursor: str | None, limit: int) -> Page:
    """Lines newest first. ``limit`` is cut to PAGE_MAX; a posting is never split, so a page may be a little longer."""
    most = max(1, min(limit, PAGE_MAX))
    rows = list(ledger_pages.lines(store, wanted, before=cursor or ledger_pages.NEWEST, most=most + 1))
    last = None
    if len(rows) > most:
        keep = rows[most - 1].id
        cut = next((at for at in range(most, len(rows)) if rows[at].id != keep), len(rows))
        last = keep if cut < len(rows) else None
        rows = rows[:cut]
    running = _Running(store, wanted)
    return Page(tuple(_line(row, running.after(row)) for row in rows), last)


class _Running:
    """What a member's account had after each of their lines; None where lines between those shown are left out."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self._store, self._wanted = store, wanted
        self._known = bool(wanted.member) and not wanted.device and not wanted.kind
        self._after: dict[str, int] = {}

    def after(self, row: Any) -> int | None:
        """The balance after a line; lines are asked for newest first."""
        if not self._known:
            return None
        if row.account not in self._after:
            account = Account(row.account, MemberId(row.member))
            self._after[row.account] = ledger_reading.had_after(self._store, self._wanted.network, account, row.id)
        found = self._after[row.account]
        self._after[row.account] -= row.amount
        return found


def balance(store: Store, network: NetworkId, member: MemberId) -> Balance:
    """What a member has. Raises NotInNetwork."""
    lowest = ledger.lowest_of(store, network, member)
    amount, held = ledger.balance_and_held(store, network, member)
    pending = ledger.amount_of(store, network, Account("pending", member))
    return Balance(amount, pending, held, lowest, transfers.free(amount, held, lowest))


def accounts(store: Store, network: NetworkId) -> tuple[AccountLine, ...]:
    """Every account of a network; their amounts sum to zero."""
    return tuple(
        AccountLine(row.kind, MemberId(row.member) if row.member else None, int(row.amount), row.held)
        for row in ledger_reading.all_accounts(store, network)
    )


def verify(store: Store, network: NetworkId, *, number: int | None = None) -> Verified:
    """Derive every hash and every balance again and check each invariant; names the first row that is wrong.

    ``number``: of a head that the asker kept, whose hash is to be in the answer.
    """
    broken = sealing.first_broken(store, network)
    total, count, posted = audit.totals(store, network)
    if broken is not None:
        wrong: Wrong | None = Wrong(
            audit.CHAINED, "postings", broken.posting or broken.why, broken.number, broken.number
        )
    else:
        wrong = audit.first_wrong(store, network)
    if wrong is None and total != 0:
        wrong = Wrong("all entries sum to zero", "entries", "", total, 0)
    head, at = sealing.head(store, network), None
    if number is not None:
        at = sealing.hash_at(store, network, number)
    sealed = 0 if head is None else head.number
    return Verified(
        wrong is None, total, posted, count, audit.INVARIANTS, wrong, sealed, sealing.unsealed(store, network), head, at
    )


def welcome(store: Store, network: NetworkId, member: MemberId, approver: MemberId, moment: Moment) -> int:
    """Give a newly approved person the allowance, once per person and only under *strict*; returns what was given."""
    if ledger.line_of(store, network) != "strict" or ledger.was_posted(store, network, f"welcome:{member}"):
        return 0
    books = Books(store, network, moment.now_ms, moment.new_id)
    about = About(business=f"welcome:{member}", earner=member, approver=approver)
    books.post(transfers.welcome(member), about)
    books.flush()
    return transfers.WELCOME


def give(store: Store, network: NetworkId, gift: Gift, by: MemberId, moment: Moment) -> None:
    """A named act of an admin: credits issued to a member, or (negative) taken back to where they came from.

    Raises BadAmount, NoReason, NotInNetwork.
    """
    if not gift.amount or abs(gift.amount) > GIFT_MAX:
        raise BadAmount("An admin gives or takes up to a billion credits at a time, and not 0.")
    if not gift.reason.strip() or len(gift.reason) > REASON_MAX:
        raise NoReason
    ledger.lowest_of(store, network, gift.member)
    if networks.state(store, network, gift.member) == "pending":
        raise ledger.NotInNetwork
    books = Books(store, network, moment.now_ms, moment.new_id)
    reason = visible(gift.reason)
    about = About(business=f"admin:{moment.new_id()}", earner=gift.member, approver=by, reason=reason)
    books.post(transfers.give(gift.member, gift.amount), about)
    books.flush()
    facts = {"amount": gift.amount, "reason": reason}
    decisions.add(store, network, by, ("credit.give", gift.member), facts, moment.now_ms)


def _line(row: Any, balance: int | None) -> Line:
    other = row.earner if row.member == row.payer else row.payer
    return Line(
        posting=row.id,
        time_ms=row.posted_ms,
        kind=row.kind,
        account=row.account,
        member=MemberId(row.member) if row.member else None,
        amount=row.amount,
        balance=balance,
        counterparty=MemberId(other) if other and other != row.member else None,
        job=row.job,
        attempt=row.attempt,
        requester=row.requester,
        worker=row.worker,
        tariff_version=row.tariff_version,
        units=row.units,
        price_micro=row.price_micro,
        price_per=row.price_per,
        permit=row.permit,
        receipt=row.receipt,
        approver=row.approver,
        reason=row.reason,
        sealed_number=row.sealed_number,
    )
