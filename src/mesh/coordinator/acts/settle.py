"""Reports come in: keep each verified fact once, then decide about the jobs they touch and carry that out.

Nothing depends on how often facts come or in which order: a fact that comes before its Submit waits for it, a repeat
changes nothing, and the decision always looks at all that is known of the job.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.paying import Known, carry_out
from mesh.coordinator.evidence import Keys, Testimony
from mesh.coordinator.store import evidence, ledger, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import Against, JobKey, Opening
from mesh.coordinator.store.evidence import Fact as Kept
from mesh.credits import transfers
from mesh.credits.settlement import AttemptFacts, ShareFacts, ShareState, settle_job
from mesh.credits.tariff import Rate
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId, PermitId
from mesh.protocol.receipt import Claim, Count, Fact, Failed, NoMore, Submit, Superseded, Used
from mesh.units import MICRO_LIMIT

DAY_MS = 24 * 3600 * 1000
"""A payment on the worker's word alone can be denied for a day: a requester that was away overnight still can."""

UPTIME_MS = 15 * 60 * 1000
"""Windows end only after the coordinator was up for so long: outboxes must have had the time to reach it."""

HORIZON_MS = 14 * DAY_MS
"""After this long past a permit's ``finish_by`` nothing about it is believed; records are kept longer."""

ATTEMPTS_MAX = 64
"""Attempts of one job: 3 counted failures, hedges and devices that vanish stay far below."""


class SendClose(NamedTuple):
    """Tell a worker that the requester is through with a permit (link message ``Close``)."""

    worker: DeviceId
    permit: PermitId


class JobChanged(NamedTuple):
    """Something about a job's money or state changed (for those who watch)."""

    network: NetworkId
    requester: DeviceId
    job: str


Effect = SendClose | JobChanged


class Recorded(NamedTuple):
    """What became of a batch: refused places in it with their codes, and what to do after the commit."""

    refused: tuple[tuple[int, str], ...]
    effects: tuple[Effect, ...]


def keys_of(store: Store, network: NetworkId, named: frozenset[PermitId]) -> dict[PermitId, Keys]:
    """Whose signatures count under these permits; permits that are unknown or of another network are left out."""
    found: dict[PermitId, Keys] = {}
    for permit in named:
        row = permits.by_id(store, permit)
        if row is not None and row.network == network:
            workers = {DeviceId(c.worker): DeviceKey(c.key) for c in permits.candidates_of(store, permit)}
            found[permit] = Keys(DeviceId(row.requester), DeviceKey(row.requester_key), workers)
    return found


def record_facts(
    store: Store, network: NetworkId, testimonies: Sequence[Testimony], moment: Moment, ready_ms: int
) -> Recorded:
    """Keep verified facts and settle what they allow. ``ready_ms``: since when this coordinator is up."""
    taking = _Taking(store, network, moment)
    for testimony in testimonies:
        taking.take(testimony)
    effects: list[Effect] = []
    for key in taking.touched:
        effects += settle(store, key, moment, ready_ms)
    return Recorded(tuple(taking.refused), (*taking.closes, *effects))


def settle(
    store: Store, key: JobKey, moment: Moment, ready_ms: int, *, closing: frozenset[str] = frozenset()
) -> list[Effect]:
    """Decide about a job on all that is known, with these shares closing, and carry it out."""
    shares = {row.id: row for row in evidence.job_shares(store, key)}
    if not shares:
        return []
    attempts = {row.attempt: row for row in evidence.attempts_of(store, key)}
    everything = evidence.facts_of(store, key)
    facts = _by_attempt(everything, attempts)
    ending = {share for share in closing if shares[share].state == "open"} | {
        row.id for row in shares.values() if row.state == "open" and _both_through(store, row, everything)
    }
    payer = MemberId(next(iter(shares.values())).payer)
    lowest = ledger.lowest_of(store, NetworkId(key.network), payer)
    balance, held = ledger.balance_and_held(store, NetworkId(key.network), payer)
    decisions = settle_job(
        [_attempt_facts(row, facts[number], shares, moment.now_ms, ready_ms) for number, row in attempts.items()],
        {row.id: _share_facts(row, row.id in ending) for row in shares.values()},
        free=transfers.free(balance, held, lowest),
        own_used=any("superseded" in kinds for kinds in facts.values()) and evidence.own_delivered(store, key),
    )
    if not decisions:
        return []
    reason = "window" if closing else ("no_more" if ending else "paid")
    carry_out(store, Known(key, shares, attempts, payer, lowest), decisions, moment, reason=reason)
    return [JobChanged(NetworkId(key.network), DeviceId(key.requester), key.job)]


def day_over(paid_ms: int, now_ms: int, ready_ms: int) -> bool:
    """Whether a one-sided payment can no longer be denied."""
    return now_ms >= paid_ms + DAY_MS and now_ms >= ready_ms + UPTIME_MS


class _Taking:
    """Goes through a batch, keeping facts, and remembers which jobs they are about."""

    def __init__(self, store: Store, network: NetworkId, moment: Moment) -> None:
        self._store, self._network, self._moment = store, network, moment
        self._permits: dict[str, tuple[Any, Mapping[str, Any], Any]] = {}
        self.touched: dict[JobKey, None] = {}
        self.refused: list[tuple[int, str]] = []
        self.closes: list[Effect] = []

    def take(self, testimony: Testimony) -> None:
        known = self._permit(testimony.fact.permit)
        if known is None:
            self.refused.append((testimony.place, "evidence.no_permit"))
            return
        permit, candidates, share = known
        key = JobKey(permit.network, permit.requester, permit.job)
        if isinstance(testimony.fact, NoMore):
            self._no_more(testimony.fact, candidates, share)
        else:
            code = self._fact(key, testimony, candidates.get(testimony.fact.worker), share)
            if code is not None:
                self.refused.append((testimony.place, code))
                return
        self.touched[key] = None

    def _permit(self, permit: PermitId | None) -> tuple[Any, Mapping[str, Any], Any] | None:
        if permit is None:
            return None
        if permit not in self._permits:
            row = permits.by_id(self._store, permit)
            if row is None or row.network != self._network or row.kind != "job":
                return None
            candidates = {c.worker: c for c in permits.candidates_of(self._store, permit)}
            self._permits[permit] = (row, candidates, permits.shares_of(self._store, permit)[0])
        known = self._permits[permit]
        pruned = known[0].state == "pruned" or self._moment.now_ms > known[0].finish_by_ms + HORIZON_MS
        return None if pruned else known

    def _fact(self, key: JobKey, testimony: Testimony, candidate: Any, share: Any) -> str | None:
        fact = testimony.fact
        assert isinstance(fact, Fact)
        kept = _kept(fact, testimony.token)
        if candidate is None or fact.requester != key.requester or fact.job != key.job:
            return "evidence.no_permit"
        if not 1 <= fact.attempt <= ATTEMPTS_MAX or not 0 <= kept.units <= MICRO_LIMIT:
            return "evidence.out_of_range"
        if isinstance(fact, Submit):
            most = min(fact.maximum, candidate.cap)
            opening = Opening(fact.attempt, share.permit, share.id, fact.worker, candidate.owner, most)
            if not evidence.add_attempt(self._store, key, opening, self._moment.now_ms) and self._is_double(key, fact):
                return "evidence.double_submit"
        evidence.add_fact(self._store, key, kept, self._moment.now_ms)
        return None

    def _is_double(self, key: JobKey, fact: Submit) -> bool:
        """Two Submits for one attempt at different devices, or permits, prove a cheat: the requester is marked."""
        first = next(row for row in evidence.attempts_of(self._store, key) if row.attempt == fact.attempt)
        if first.worker == fact.worker and first.permit == fact.permit:
            return False
        against = Against(key.requester, "double_submit", fact.attempt)
        evidence.add_mark(self._store, key, against, number=self._moment.new_id(), now_ms=self._moment.now_ms)
        return True

    def _no_more(self, said: NoMore, candidates: Mapping[str, Any], share: Any) -> None:
        if said.side == "worker":
            permits.worker_done(self._store, said.permit, said.device, said.facts)
        elif permits.requester_done(self._store, said.permit, said.facts) and share.state == "open":
            self.closes += [SendClose(DeviceId(c.worker), said.permit) for c in candidates.values()]


def _kept(fact: Fact, token: str) -> Kept:
    """The form in which a fact is kept."""
    units = 0
    code: str | None = None
    if isinstance(fact, Submit):
        kind, units = "submit", fact.maximum
    elif isinstance(fact, Claim):
        kind, units, code = "claim", fact.units, fact.outcome
    elif isinstance(fact, Count):
        kind, units = "count", fact.units
    elif isinstance(fact, Used):
        kind, units = "used", fact.units
    elif isinstance(fact, Failed):
        kind, code = "failed", fact.reason[:64]
    else:
        assert isinstance(fact, Superseded)
        kind = "superseded"
    return Kept(fact.attempt, fact.worker, kind, fact.permit or "", units, code, token)


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
