"""Deciding about one job on all that is known of it, and carrying that out in the same transaction.

Nothing depends on how often facts come or in which order: the decision always looks at everything.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts.drawing import AskCheck, draw
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.paying import Known, carry_out
from mesh.coordinator.store import evidence, ledger, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.ledger import Books
from mesh.coordinator.store.outcomes import Outcomes
from mesh.credits import transfers
from mesh.credits.settlement import AttemptFacts, ShareFacts, ShareState, settle_job
from mesh.credits.tariff import Rate
from mesh.ids import DeviceId, MemberId, NetworkId, PermitId

DAY_MS = 24 * 3600 * 1000
"""A payment on the worker's word alone can be denied for a day: a requester that was away overnight still can."""

UPTIME_MS = 15 * 60 * 1000
"""Windows end only after the coordinator was up for so long: outboxes must have had the time to reach it."""

HORIZON_MS = 14 * DAY_MS
"""After this long past a permit's ``finish_by`` nothing about it is believed; records are kept longer."""


class SendClose(NamedTuple):
    """Tell a worker that the requester is through with a permit (link message ``Close``)."""

    worker: DeviceId
    permit: PermitId


class JobChanged(NamedTuple):
    """Something about a job's money or state changed (for those who watch)."""

    network: NetworkId
    requester: DeviceId
    job: str


class Beside(NamedTuple):
    """What jobs of one transaction have in common: books, what became of them so far, and what there is of those that
    share nothing else.
    """

    books: Books
    outcomes: Outcomes
    rows: Mapping[JobKey, evidence.Rows]


Effect = SendClose | JobChanged | AskCheck


def settle(
    store: Store,
    key: JobKey,
    moment: Moment,
    ready_ms: int,
    *,
    closing: frozenset[str] = frozenset(),
    beside: Beside | None = None,
) -> list[Effect]:
    """Decide about a job on all that is known, with these shares closing, and carry it out.

    ``beside``: it is one of several in this transaction, and what comes of them is written when their holder says so.
    """
    books = beside.books if beside else None
    rows = beside.rows.get(key) if beside else None
    if beside and not rows:
        beside.outcomes.flush()
    shares, attempts, everything = _by_id(rows or evidence.all_of(store, [key])[key])
    if not shares:
        return []
    facts = _by_attempt(everything, attempts)
    ending = {share for share in closing if shares[share].state == "open"} | {
        row.id
        for row in shares.values()
        if row.state == "open" and row.kind == "job" and _both_through(store, row, everything)
    }
    payer = MemberId(next(iter(shares.values())).payer)
    line, lowest = ledger.terms_of(store, NetworkId(key.network), payer)
    earners = {row.earner for row in attempts.values()}
    balance, held = ledger.open_books(store, NetworkId(key.network), payer, earners, again=books is None)
    by, released = (0, 0) if books is None else books.moved(payer)
    decisions = settle_job(
        [_attempt_facts(row, facts[number], shares, moment.now_ms, ready_ms) for number, row in attempts.items()],
        {row.id: _share_facts(row, row.id in ending) for row in shares.values()},
        free=transfers.free(balance + by, held - released, lowest),
        own_used=any("superseded" in kinds for kinds in facts.values()) and evidence.own_delivered(store, key),
    )
    if not decisions:
        return []
    reason = "window" if closing else ("no_more" if ending else "paid")
    known = Known(key, shares, attempts, facts, payer, line, lowest)
    carry_out(
        store, known, decisions, moment, reason=reason, beside=(beside.books, beside.outcomes) if beside else None
    )
    asked = draw(store, known, decisions, moment)
    return [JobChanged(NetworkId(key.network), DeviceId(key.requester), key.job), *asked]


def known_of(store: Store, key: JobKey) -> Known | None:
    """A job as settlement knows it; None for one that no permit is for."""
    shares, attempts, everything = _by_id(evidence.all_of(store, [key])[key])
    if not shares:
        return None
    facts = _by_attempt(everything, attempts)
    payer = MemberId(next(iter(shares.values())).payer)
    line, lowest = ledger.terms_of(store, NetworkId(key.network), payer)
    return Known(key, shares, attempts, facts, payer, line, lowest)


def _by_id(rows: evidence.Rows) -> tuple[dict[str, Any], dict[int, Any], Sequence[Any]]:
    shares, attempts, everything = rows
    return {row.id: row for row in shares}, {row.attempt: row for row in attempts}, everything


def day_over(paid_ms: int, now_ms: int, ready_ms: int) -> bool:
    """Whether a one-sided payment can no longer be denied."""
    return now_ms >= paid_ms + DAY_MS and now_ms >= ready_ms + UPTIME_MS


def _by_attempt(facts: Sequence[Any], attempts: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
    """Facts by attempt and kind; those of another worker than the attempt's Submit names do not count."""
    known: dict[int, dict[str, Any]] = {number: {} for number in attempts}
    for fact in facts:
        if fact.attempt in attempts and fact.worker == attempts[fact.attempt].worker:
            known[fact.attempt][fact.kind] = fact
    return known


def _share_facts(row: Any, ending: bool) -> ShareFacts:
    state: ShareState = "closing" if ending else row.state
    rate = Rate(row.tariff_version, row.price_micro, row.price_per)
    return ShareFacts(row.id, state, row.left, row.kind == "job", rate)


def _attempt_facts(
    row: Any, facts: Mapping[str, Any], shares: Mapping[str, Any], now_ms: int, ready_ms: int
) -> AttemptFacts:
    share, claim, count, used = shares[row.share], facts.get("claim"), facts.get("count"), facts.get("used")
    one_sided = row.how == "one_sided" and row.pay > 0 and not row.matured
    return AttemptFacts(
        attempt=row.attempt,
        share=row.share,
        maximum=row.maximum,
        claimed=None if claim is None else claim.units,
        outcome=None if claim is None else claim.code,
        timely=claim is None or share.ended_ms is None or claim.received_ms <= share.ended_ms + DAY_MS,
        counted=0 if count is None else count.units,
        used=None if used is None else used.units,
        failed="failed" in facts,
        superseded="superseded" in facts,
        state=row.state,
        pay=row.pay,
        how=row.how,
        deniable=one_sided and not day_over(row.paid_ms, now_ms, ready_ms),
        owed=row.owed,
    )


def _both_through(store: Store, share: Any, facts: Sequence[Any]) -> bool:
    """Both sides said that they have nothing more, all they said they sent is in, and every claim is answered.

    An answer counts here also if its Submit is not known: a worker that was killed may never bring it.
    """
    if share.requester_no_more is None:
        return False
    candidates = permits.candidates_of(store, share.permit)
    if any(candidate.no_more is None for candidate in candidates):
        return False
    mine = [fact for fact in facts if fact.permit == share.permit]
    answered = {(fact.attempt, fact.worker) for fact in mine if fact.kind in ("used", "failed", "superseded")}
    claims = [fact for fact in mine if fact.kind == "claim"]
    if len(answered) < share.requester_no_more or len(claims) < sum(c.no_more for c in candidates):
        return False
    open_claims = (fact for fact in claims if fact.code != "failed" and fact.units)
    return all((fact.attempt, fact.worker) in answered for fact in open_claims)
