"""The queries that prove the ledger: each finds rows that contradict one invariant, and nothing if all is well.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import Select, String, and_, bindparam, case, cast, false, func, literal, literal_column, or_, select

from mesh.coordinator.store import audit_prices, ledger_hours
from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.jobs import attempts, evidence
from mesh.coordinator.store.schema.ledger import USUAL, accounts, decision_starts, decisions, entries, postings
from mesh.coordinator.store.schema.permits import permits, shares
from mesh.ids import NetworkId
from mesh.units import MICRO_LIMIT

_network: Any = bindparam("network")


class Wrong(NamedTuple):
    """A row that contradicts an invariant: which one, in which table, the row's key, and the two numbers."""

    invariant: str
    table: str
    row: str
    found: int
    expected: int


def _key(*columns: Any) -> Any:
    joined = columns[0]
    for column in columns[1:]:
        joined = joined + literal("/") + column
    return joined


def _unbalanced() -> Select[Any]:
    total = func.coalesce(func.sum(entries.c.amount), 0)
    count = func.count(entries.c.account)
    return (
        select(postings.c.id, total, literal(0))
        .outerjoin(entries, entries.c.posting == postings.c.id)
        .where(postings.c.network == _network)
        .group_by(postings.c.id)
        .having(or_(total != 0, count < 2))
        .order_by(postings.c.id)
    )


def _foreign() -> Select[Any]:
    """Entries on an account of another network than their posting's."""
    return (
        select(entries.c.posting, entries.c.amount, literal(0))
        .join(postings, postings.c.id == entries.c.posting)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(or_(postings.c.network == _network, accounts.c.network == _network))
        .where(postings.c.network != accounts.c.network)
    )


def _wrong_balance() -> Select[Any]:
    counted = func.coalesce(func.sum(case((entries.c.rolled != false(), entries.c.amount), else_=0)), 0)
    return (
        select(accounts.c.id, accounts.c.amount, counted)
        .outerjoin(entries, entries.c.account == accounts.c.id)
        .where(accounts.c.network == _network)
        .group_by(accounts.c.id, accounts.c.amount)
        .having(accounts.c.amount != counted)
        .order_by(accounts.c.id)
    )


def _unrolled_balance() -> Select[Any]:
    """Entries of exact accounts that are not counted in them."""
    return (
        select(entries.c.posting, entries.c.amount, literal(0))
        .join(accounts, accounts.c.id == entries.c.account)
        .where(accounts.c.network == _network, accounts.c.kind == "balance", entries.c.rolled == false())
    )


def _wrong_held() -> Select[Any]:
    left = func.coalesce(func.sum(shares.c.left), 0)
    return (
        select(accounts.c.id, accounts.c.held, left)
        .outerjoin(
            shares,
            and_(
                shares.c.network == accounts.c.network,
                shares.c.payer == accounts.c.member,
                shares.c.state == "open",
            ),
        )
        .where(accounts.c.network == _network, accounts.c.kind == "balance")
        .group_by(accounts.c.id, accounts.c.held)
        .having(accounts.c.held != left)
        .order_by(accounts.c.id)
    )


def _held_by_none() -> Select[Any]:
    """Open shares of a payer who has no account to hold them on."""
    return (
        select(shares.c.id, shares.c.left, literal(0))
        .outerjoin(
            accounts,
            and_(
                accounts.c.network == shares.c.network,
                accounts.c.member == shares.c.payer,
                accounts.c.kind == "balance",
            ),
        )
        .where(shares.c.network == _network, shares.c.state == "open", accounts.c.id.is_(None))
    )


def _wrong_share() -> Select[Any]:
    """A share that holds something after its end, or more than its size allows beside what it paid."""
    return select(shares.c.id, shares.c.left, shares.c.amount - shares.c.paid).where(
        shares.c.network == _network,
        or_(
            and_(shares.c.state == "ended", shares.c.left != 0),
            and_(shares.c.state == "open", shares.c.paid + shares.c.left > shares.c.amount),
            shares.c.paid < 0,
        ),
    )


def _closed_permit_with_open_share() -> Select[Any]:
    return (
        select(permits.c.id, func.count(), literal(0))
        .join(shares, shares.c.permit == permits.c.id)
        .where(permits.c.network == _network, permits.c.state != "open", shares.c.state == "open")
        .group_by(permits.c.id)
    )


def _paid_twice() -> Select[Any]:
    """Jobs with more standing payments than Used facts allow (one without any)."""
    used = (
        select(func.count())
        .where(
            evidence.c.network == attempts.c.network,
            evidence.c.requester == attempts.c.requester,
            evidence.c.job == attempts.c.job,
            evidence.c.kind == "used",
        )
        .correlate(attempts)
        .scalar_subquery()
    )
    job = (attempts.c.network, attempts.c.requester, attempts.c.job)
    allowed = case((used > 1, used), else_=1)
    return (
        select(_key(attempts.c.requester, attempts.c.job), func.count(), allowed)
        .where(attempts.c.network == _network, attempts.c.pay > 0)
        .group_by(*job)
        .having(func.count() > allowed)
    )


def _wrong_pay() -> Select[Any]:
    """Attempts whose standing payment is not what the ledger's postings about them sum to."""
    about = (postings.c.requester, postings.c.job, postings.c.attempt)
    posted = (
        select(*about, func.sum(-entries.c.amount).label("paid"))
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(
            postings.c.network == _network,
            or_(*(postings.c.kind == kind for kind in ("settle", "second", "reverse"))),
            accounts.c.kind == "balance",
            accounts.c.member == postings.c.payer,
        )
        .group_by(*about)
        .subquery()
    )
    paid = func.coalesce(posted.c.paid, 0)
    this = and_(
        posted.c.requester == attempts.c.requester,
        posted.c.job == attempts.c.job,
        posted.c.attempt == attempts.c.attempt,
    )
    return (
        select(_key(attempts.c.requester, attempts.c.job), attempts.c.pay, paid)
        .join(permits, permits.c.id == attempts.c.permit)
        .outerjoin(posted, this)
        # Whoever pays and earns at once (a guest's job on the inviter's device) has both in one entry.
        .where(attempts.c.network == _network, attempts.c.earner != permits.c.payer, attempts.c.pay != paid)
    )


def _over_maximum() -> Select[Any]:
    """Payments above what the requester's Submit allows."""
    return select(_key(attempts.c.requester, attempts.c.job), attempts.c.pay, attempts.c.maximum).where(
        attempts.c.network == _network, attempts.c.pay > attempts.c.maximum
    )


def _no_submit() -> Select[Any]:
    """Paid attempts without a signed Submit at their worker."""
    submit = (
        select(evidence.c.job)
        .where(
            evidence.c.network == attempts.c.network,
            evidence.c.requester == attempts.c.requester,
            evidence.c.job == attempts.c.job,
            evidence.c.attempt == attempts.c.attempt,
            evidence.c.worker == attempts.c.worker,
            evidence.c.kind == "submit",
        )
        .correlate(attempts)
        .exists()
    )
    return select(_key(attempts.c.requester, attempts.c.job), attempts.c.pay, literal(0)).where(
        attempts.c.network == _network, attempts.c.pay > 0, ~submit
    )


def _unapproved() -> Select[Any]:
    """Credits issued without somebody who approved it."""
    return (
        select(postings.c.id, entries.c.amount, literal(0))
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(postings.c.network == _network, accounts.c.kind == "issue")
        .where(or_(postings.c.approver.is_(None), and_(postings.c.kind != "welcome", postings.c.kind != "admin")))
    )


def _wrong_aside() -> Select[Any]:
    """Changes of the credit line that no admin decided, or that move more than one member's balance to and from what is
    set aside of it; and whatever else touches what is set aside.

    A decision is named by its number, so that there is one such posting for it and a member; it may be forgotten since.
    """
    change, aside = postings.c.kind == "line", accounts.c.kind == "aside"
    named = literal("line:") + accounts.c.member + literal(":")
    decided = (
        select(decisions.c.number)
        .where(decisions.c.network == _network, decisions.c.kind == "network.credit_line")
        .where(decisions.c.by == postings.c.approver, decisions.c.at_ms == postings.c.posted_ms)
        .where(postings.c.business == named + cast(decisions.c.number, String))
        .exists()
    )
    oldest = select(func.min(decisions.c.at_ms)).where(decisions.c.network == _network).scalar_subquery()
    forgotten = and_(
        select(decision_starts.c.number).where(decision_starts.c.network == _network).exists(),
        postings.c.posted_ms < oldest,
    )
    return (
        select(postings.c.id, entries.c.amount, literal(0))
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .where(postings.c.network == _network, postings.c.kind != literal_column(f"'{USUAL}'"))
        .where(
            or_(
                and_(aside, ~change),
                and_(change, ~or_(aside, accounts.c.kind == "balance")),
                and_(change, postings.c.business.notlike(named + literal("%"))),
                and_(change, ~decided, ~forgotten),
            )
        )
        .order_by(postings.c.id)
    )


def _negative_pending() -> Select[Any]:
    total = func.sum(entries.c.amount)
    return (
        select(accounts.c.id, total, literal(0))
        .join(entries, entries.c.account == accounts.c.id)
        .where(accounts.c.network == _network, accounts.c.kind == "pending")
        .group_by(accounts.c.id)
        .having(total < 0)
    )


def _out_of_range() -> Select[Any]:
    return select(accounts.c.id, accounts.c.amount, literal(MICRO_LIMIT)).where(
        accounts.c.network == _network,
        or_(func.abs(accounts.c.amount) > MICRO_LIMIT, accounts.c.held > MICRO_LIMIT),
    )


_CHECKS = (
    ("every posting sums to zero", "postings", _unbalanced()),
    ("entries stay in their network", "entries", _foreign()),
    ("a balance is the sum of its entries", "accounts", _wrong_balance()),
    ("every entry of a balance is counted", "entries", _unrolled_balance()),
    ("what is held is what open shares have left", "accounts", _wrong_held()),
    ("every open share is held on an account", "shares", _held_by_none()),
    ("a share pays no more than its size, and holds nothing once ended", "shares", _wrong_share()),
    ("a closed permit has no open share", "permits", _closed_permit_with_open_share()),
    ("a job has one standing payment", "attempts", _paid_twice()),
    ("an attempt's payment is what was posted", "attempts", _wrong_pay()),
    ("nothing is paid above the Submit's maximum", "attempts", _over_maximum()),
    ("nothing is paid above its price", "attempts", audit_prices.above_price()),
    ("a line has the price of its permit", "postings", audit_prices.line_and_permit()),
    ("nothing is paid without a Submit", "attempts", _no_submit()),
    ("credits are issued by a named act", "postings", _unapproved()),
    ("what is set aside is moved by changes of the credit line", "postings", _wrong_aside()),
    ("pending pay is never negative", "accounts", _negative_pending()),
    ("an hour's sums are those of its entries", "ledger_hours", ledger_hours.wrong()),
    ("amounts are exact in every reader", "accounts", _out_of_range()),
)
_FIRST = [(name, table, Prepared(query.limit(1))) for name, table, query in _CHECKS]
CHAINED = "what is sealed is as it was when it was sealed"
PRICED = "a price is one of the tariff version that it names"
INVARIANTS = (CHAINED, *(name for name, _, _ in _CHECKS), PRICED)
_TOTAL = Prepared(
    select(func.coalesce(func.sum(entries.c.amount), 0), func.count())
    .select_from(entries)
    .join(postings, postings.c.id == entries.c.posting)
    .where(postings.c.network == _network)
)
_POSTINGS = Prepared(select(func.count()).select_from(postings).where(postings.c.network == _network))


def first_wrong(store: Store, network: NetworkId) -> Wrong | None:
    """The first row that contradicts an invariant, or None. The chain is ``sealing``'s."""
    for invariant, table, query in _FIRST:
        row = store.row(query, {"network": network})
        if row is not None:
            return Wrong(invariant, table, str(row[0]), int(row[1]), int(row[2]))
    price = audit_prices.wrong_price(store, network)
    return None if price is None else Wrong(PRICED, *price)


def totals(store: Store, network: NetworkId) -> tuple[int, int, int]:
    """(sum of all entries, how many entries, how many postings) of a network."""
    row = store.row(_TOTAL, {"network": network})
    assert row is not None
    return int(row[0]), int(row[1]), int(store.value(_POSTINGS, {"network": network}))
