"""Carrying out what settlement decided about one job: postings, shares, attempts, marks, in one transaction.

Touches: database (through the store it is given).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import evidence
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import Against, JobKey
from mesh.coordinator.store.ledger import About, Books
from mesh.coordinator.store.outcomes import Outcomes, ShareRow, Standing
from mesh.credits import checks, tariff, transfers
from mesh.credits.settlement import Become, Decision, End, Lower, Mark, Owe, Pay
from mesh.ids import MemberId, NetworkId
from mesh.jobs import lifecycle


class Known(NamedTuple):
    """A job as it was loaded: its shares, its attempts, the facts about each by kind; who pays, on which credit line,
    and how low they may go.
    """

    key: JobKey
    shares: Mapping[str, Any]
    attempts: Mapping[int, Any]
    facts: Mapping[int, Mapping[str, Any]]
    payer: MemberId
    line: transfers.CreditLine
    lowest: int | None

    def waits(self, attempt: int) -> bool:
        """Whether pay for an attempt waits in pending for checks (or in quarantine), whoever acknowledged it."""
        row = self.attempts[attempt]
        back = checks.held_back(self.line, bool(row.trusted), quarantined=row.quarantined_ms is not None)
        return back and row.earner != self.payer


def carry_out(
    store: Store,
    known: Known,
    decisions: Sequence[Decision],
    moment: Moment,
    *,
    reason: str,
    beside: tuple[Books, Outcomes] | None = None,
) -> None:
    """Do what was decided; ``reason`` says why a share ends. Raises FloorCrossed, ShareChanged (nothing is kept).

    ``beside``: all is written when the holder of these flushes them, after further jobs of the same transaction.
    """
    books, outcomes = beside or (
        Books(store, NetworkId(known.key.network), moment.now_ms, moment.new_id),
        Outcomes(store),
    )
    work = _Work(store, known, moment, reason, books)
    for decision in decisions:
        work.do(decision)
    work.save(outcomes)
    if beside is None:
        outcomes.flush()
        books.flush()


def end_share(store: Store, row: Any, moment: Moment, *, reason: str) -> None:
    """End a share of a series and release what is left of it. Raises ShareChanged."""
    books = Books(store, NetworkId(row.network), moment.now_ms, moment.new_id)
    if row.left:
        books.release(MemberId(row.payer), row.left)
    outcomes = Outcomes(store)
    outcomes.share(row, ShareRow(0, row.paid, "ended", moment.now_ms, reason))
    outcomes.flush()
    books.flush()


class _Work:
    """Rows as they are to be, gathered while the decisions are gone through, then written once each."""

    def __init__(self, store: Store, known: Known, moment: Moment, reason: str, books: Books) -> None:
        self._store, self._known, self._moment, self._reason = store, known, moment, reason
        self._books = books
        self._shares: dict[str, ShareRow] = {}
        self._attempts: dict[int, Standing] = {}
        self._from_free = False

    def do(self, decision: Decision) -> None:
        if isinstance(decision, Pay):
            self._pay(decision)
        elif isinstance(decision, Lower):
            self._lower(decision)
        elif isinstance(decision, Owe):
            self._change(decision.attempt, owed=decision.amount, how=decision.how)
        elif isinstance(decision, End):
            self._end(decision.share)
        elif isinstance(decision, Mark):
            self._mark(decision)
        elif isinstance(decision, Become):
            self._become(decision)
        else:
            assert_never(decision)

    def save(self, outcomes: Outcomes) -> None:
        for number, standing in self._attempts.items():
            outcomes.attempt(self._known.key, number, standing, self._moment.now_ms)
        for share, after in self._shares.items():
            outcomes.share(self._known.shares[share], after)
        if self._from_free:
            self._books.bound(self._known.payer, self._known.lowest)

    # --- one kind of decision each ------------------------------------------------------------------------------------

    def _pay(self, paid: Pay) -> None:
        row = self._known.attempts[paid.attempt]
        share = self._share(row.share)
        fee = tariff.fee(paid.amount, self._known.shares[row.share].fee_ppm)
        waits = paid.how == "one_sided" or self._known.waits(paid.attempt)
        self._books.post(
            transfers.pay(
                self._known.payer,
                MemberId(row.earner),
                amount=paid.amount,
                fee=fee,
                waits=waits,
                second=paid.how == "second",
            ),
            self._about("pay", paid.attempt, paid.units),
        )
        if paid.draws:
            self._books.release(self._known.payer, paid.amount)
            share = share._replace(left=share.left - paid.amount)
        else:
            self._from_free = True
        self._shares[row.share] = share._replace(paid=share.paid + paid.amount)
        now = {"pay": paid.amount, "fee": fee, "how": paid.how, "units_paid": paid.units, "owed": 0}
        self._change(paid.attempt, **now, matured=not waits, paid_ms=self._moment.now_ms)

    def _lower(self, lowered: Lower) -> None:
        row = self._known.attempts[lowered.attempt]
        standing = self._standing(lowered.attempt)
        share = self._share(row.share)
        back = standing.pay - lowered.to
        fee = tariff.fee(lowered.to, self._known.shares[row.share].fee_ppm)
        earner = MemberId(row.earner)
        if back:
            reversal = transfers.take_back(self._known.payer, earner, amount=back, fee=standing.fee - fee)
            self._books.post(reversal, self._about("reverse", lowered.attempt, standing.units_paid))
            self._shares[row.share] = share._replace(paid=share.paid - back)
            self._change(lowered.attempt, pay=lowered.to, fee=fee, how=lowered.how)
        if lowered.how is not None:
            if self._known.waits(lowered.attempt):
                self._change(lowered.attempt, pay=lowered.to, fee=fee, how=lowered.how)
                return
            if lowered.to - fee:
                self._books.post(
                    transfers.mature(earner, lowered.to - fee),
                    self._about("mature", lowered.attempt, standing.units_paid),
                )
            self._change(lowered.attempt, pay=lowered.to, fee=fee, how=lowered.how, matured=True)

    def _end(self, share: str) -> None:
        before = self._share(share)
        if before.left:
            self._books.release(self._known.payer, before.left)
        lifecycle.advance(lifecycle.SHARE, before.state, "ended")
        self._shares[share] = before._replace(left=0, state="ended", ended_ms=self._moment.now_ms, reason=self._reason)

    def _mark(self, mark: Mark) -> None:
        row = self._known.attempts[mark.attempt] if mark.attempt else None
        key, moment = self._known.key, self._moment
        marks = [Against(key.requester, mark.kind, mark.attempt, None if row is None else row.earner)]
        if mark.kind == "denied" and row is not None:
            marks.append(Against(row.worker, mark.kind, mark.attempt, self._known.payer))
        for against in marks:
            evidence.add_mark(self._store, key, against, number=moment.new_id(), now_ms=moment.now_ms)

    def _become(self, become: Become) -> None:
        standing = self._standing(become.attempt)
        state = lifecycle.advance(lifecycle.ATTEMPT, standing.state, become.state)
        owed = standing.owed if state == "owed" else 0
        self._attempts[become.attempt] = standing._replace(state=state, owed=owed)

    # --- rows as they are to be ---------------------------------------------------------------------------------------

    def _share(self, share: str) -> ShareRow:
        row = self._known.shares[share]
        return self._shares.get(share) or ShareRow(row.left, row.paid, row.state, row.ended_ms, row.end_reason)

    def _standing(self, attempt: int) -> Standing:
        row = self._known.attempts[attempt]
        return self._attempts.get(attempt) or Standing(
            row.state, row.pay, row.fee, row.owed, row.how, row.units_paid, row.changes, bool(row.matured), row.paid_ms
        )

    def _change(self, attempt: int, **changed: Any) -> None:
        """Another event of an attempt's money: fields of its ``Standing``, and one more change."""
        was = self._standing(attempt)
        self._attempts[attempt] = was._replace(changes=was.changes + 1, **changed)

    def _about(self, what: str, attempt: int, units: int) -> About:
        key, row = self._known.key, self._known.attempts[attempt]
        share = self._known.shares[row.share]
        return About(
            business=f"{what}:{key.requester}:{key.job}:{attempt}:{self._standing(attempt).changes}",
            payer=self._known.payer,
            earner=row.earner,
            requester=key.requester,
            worker=row.worker,
            job=key.job,
            attempt=attempt,
            permit=row.permit,
            tariff_version=share.tariff_version,
            units=units,
            price_micro=share.price_micro,
            price_per=share.price_per,
            receipt=self._receipt(attempt),
        )

    def _receipt(self, attempt: int) -> str | None:
        """What a payment of an attempt rests on: the requester's answer, else the worker's claim."""
        facts = self._known.facts[attempt]
        for kind in ("used", "superseded", "failed", "claim"):
            if kind in facts:
                return hashlib.sha256(facts[kind].signed.encode()).hexdigest()
        return None
