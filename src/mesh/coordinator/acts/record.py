"""Reports come in: keep each verified fact once, settle the jobs they touch, close the shares that are through.

A fact that comes before its Submit waits for it, and a repeat changes nothing.

Touches: database (through the store it is given).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.series import close_if_through
from mesh.coordinator.acts.settle import HORIZON_MS, Beside, Effect, SendClose, settle
from mesh.coordinator.evidence import Keys, Testimony
from mesh.coordinator.store import evidence, jobs, permits, successions
from mesh.coordinator.store.connection import Store, several_of, side_by_side
from mesh.coordinator.store.evidence import Against, JobKey, Opening
from mesh.coordinator.store.evidence import Fact as Kept
from mesh.coordinator.store.ledger import Books
from mesh.coordinator.store.outcomes import Outcomes
from mesh.ids import DeviceId, DeviceKey, NetworkId, PermitId
from mesh.protocol.receipt import Claim, Count, Fact, Failed, NoMore, Submit, Superseded, Used, in_range
from mesh.protocol.values import JobSpec


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
            since = {one: successions.keys_since(store, one, row.issued_ms) for one in (row.requester, *workers)}
            others = {one: keys for one, keys in since.items() if keys}
            found[permit] = Keys(DeviceId(row.requester), DeviceKey(row.requester_key), workers, others)
    return found


@side_by_side
def record_facts(
    store: Store, network: NetworkId, testimonies: Sequence[Testimony], moment: Moment, ready_ms: int
) -> Recorded:
    """Keep verified facts and settle what they allow. ``ready_ms``: since when this coordinator is up."""
    return _record(store, network, [testimonies], moment, ready_ms)[0]


@several_of(record_facts, group=lambda network, testimonies, moment, ready_ms: (network, ready_ms))
def record_several(
    store: Store, asked: Sequence[tuple[NetworkId, Sequence[Testimony], Moment, int]]
) -> Sequence[Recorded]:
    """``record_facts`` for several callers: each balance changes once for all of them."""
    network, _, _, ready_ms = asked[0]
    moment = max((one[2] for one in asked), key=lambda moment: moment.now_ms)
    return _record(store, network, [one[1] for one in asked], moment, ready_ms)


def _record(
    store: Store, network: NetworkId, batches: Sequence[Sequence[Testimony]], moment: Moment, ready_ms: int
) -> list[Recorded]:
    named = [testimony.fact.permit for batch in batches for testimony in batch if testimony.fact.permit is not None]
    known = {permit: _permit_of(found) for permit, found in permits.whole_of(store, dict.fromkeys(named)).items()}
    takings = [_Taking(store, network, moment, known) for _ in batches]
    taken = [(each, taking) for batch, taking in zip(batches, takings, strict=True) for each in batch]
    # In the order of their jobs, so that two transactions about the same ones do not wait for each other.
    for testimony, taking in taken if store.alone else sorted(taken, key=lambda each: _job_of(each[0])):
        taking.take(testimony)
    opening = [opened for taking in takings for opened in taking.opening()]
    fresh = evidence.add_attempts(store, opening, moment.now_ms)
    evidence.add_facts(store, [fact for taking in takings for fact in taking.facts(fresh=fresh)], moment.now_ms)
    outcomes = Outcomes(store)
    books = Books(store, network, moment.now_ms, moment.new_id)  # a payer's row is locked once, and as late as can be
    effects: list[list[Effect]] = [[] for _ in batches]
    whose = {key: at for at, taking in reversed(list(enumerate(takings))) for key in taking.touched}
    keys = list(whose) if store.alone else sorted(whose)
    rows = _apart(store, keys) if all(one is None or one.row.kind == "job" for one in known.values()) else {}
    for key in keys:
        effects[whose[key]] += settle(store, key, moment, ready_ms, beside=Beside(books, outcomes, rows))
    outcomes.flush()
    books.flush()
    shares = {share: at for at, taking in reversed(list(enumerate(takings))) for share in taking.series}
    for share in shares if store.alone else sorted(shares):
        evidence.lock_share(store, share)
        effects[shares[share]] += close_if_through(store, share, moment, ready_ms)
    return [
        Recorded(tuple(taking.refused), (*taking.closes, *mine)) for taking, mine in zip(takings, effects, strict=True)
    ]


def _apart(store: Store, keys: Sequence[JobKey]) -> dict[JobKey, evidence.Rows]:
    """What there is of jobs, without those that draw from the same share: each must see what one before it took."""
    found = evidence.all_of(store, keys)
    drawn = Counter(share.id for shares, _, _ in found.values() for share in shares)
    return {key: rows for key, rows in found.items() if all(drawn[share.id] == 1 for share in rows[0])}


def _job_of(testimony: Testimony) -> str:
    return testimony.fact.job if isinstance(testimony.fact, Fact) else ""


class _Permit(NamedTuple):
    """A permit as facts find it: its row, its candidates by worker, its shares by worker ("" for the one share)."""

    row: Any
    candidates: Mapping[str, Any]
    shares: Mapping[str, Any]

    def share(self, worker: str) -> Any:
        """The share that a worker earns from; None: the permit does not name it."""
        return self.shares.get("" if self.row.kind == "job" else worker)


def _permit_of(found: tuple[Any | None, Sequence[Any], Sequence[Any]]) -> _Permit | None:
    row, candidates, shares = found
    if row is None:
        return None
    return _Permit(row, {c.worker: c for c in candidates}, {share.worker or "": share for share in shares})


class _Taking:
    """Goes through a caller's batch, and remembers what is to be kept and which jobs and shares it is about."""

    def __init__(
        self, store: Store, network: NetworkId, moment: Moment, permits: Mapping[PermitId, _Permit | None]
    ) -> None:
        self._store, self._network, self._moment = store, network, moment
        self._permits = permits
        self.touched: dict[JobKey, None] = {}
        self.series: dict[str, None] = {}
        self.refused: list[tuple[int, str]] = []
        self.closes: list[Effect] = []
        self._opened: list[tuple[int, JobKey, Submit, Kept, Opening]] = []
        self._facts: list[tuple[JobKey, Kept]] = []

    def opening(self) -> list[tuple[JobKey, Opening]]:
        """Attempts that are to be opened."""
        return [(key, opening) for _, key, _, _, opening in self._opened]

    def facts(self, *, fresh: bool) -> list[tuple[JobKey, Kept]]:
        """What is to be kept. A Submit that came opened its attempt, unless (not ``fresh``) another one did before."""
        for place, key, submit, kept, _ in self._opened:
            if not fresh and self._is_double(key, submit):
                self.refused.append((place, "evidence.double_submit"))
            else:
                self._facts.append((key, kept))
        return self._facts

    def take(self, testimony: Testimony) -> None:
        known = self._permit(testimony.fact.permit)
        if known is None:
            self.refused.append((testimony.place, "evidence.no_permit"))
            return
        fact, permit = testimony.fact, known.row
        worker = fact.worker if isinstance(fact, Fact) or fact.side == "requester" else fact.device
        share = known.share(worker or "")
        code: str | None = "evidence.no_permit"
        if share is not None and isinstance(fact, NoMore):
            code = self._no_more(fact, known, share)
        elif share is not None and isinstance(fact, Fact):
            code = self._fact(known, testimony, share)
        if code is not None:
            self.refused.append((testimony.place, code))
            return
        if permit.job is not None:
            self.touched[JobKey(permit.network, permit.requester, permit.job)] = None
        else:
            self.series[share.id] = None

    def _permit(self, permit: PermitId | None) -> _Permit | None:
        known = None if permit is None else self._permits.get(permit)
        if known is None or known.row.network != self._network:
            return None
        pruned = known.row.state == "pruned" or self._moment.now_ms > known.row.finish_by_ms + HORIZON_MS
        return None if pruned else known

    def _fact(self, known: _Permit, testimony: Testimony, share: Any) -> str | None:
        fact, permit = testimony.fact, known.row
        assert isinstance(fact, Fact)
        candidate = known.candidates.get(fact.worker)
        if candidate is None or fact.requester != permit.requester or permit.job not in (None, fact.job):
            return "evidence.no_permit"
        kept = _kept(fact, testimony.token)
        if not in_range(fact, kept.units):
            return "evidence.out_of_range"
        key = JobKey(permit.network, permit.requester, fact.job)
        if permit.job is None:
            self._open_record(key, permit)
        if isinstance(fact, Submit):
            most = min(fact.maximum, candidate.cap)
            opening = Opening(fact.attempt, share.permit, share.id, fact.worker, candidate.owner, most)
            self._opened.append((testimony.place, key, fact, kept, opening))
            self.touched[key] = None
            return None
        self._facts.append((key, kept))
        self.touched[key] = None
        return None

    def _open_record(self, key: JobKey, permit: Any) -> None:
        """The first that is heard of a job in a series; its units come with its requester's own record."""
        if key in self.touched:
            return
        member = jobs.owner_of(self._store, self._network, DeviceId(key.requester))
        spec = JobSpec(permit.workload, permit.model, 0, permit.sensitivity)
        jobs.add(self._store, key, member=member or permit.payer, spec=spec, now_ms=self._moment.now_ms)

    def _is_double(self, key: JobKey, fact: Submit) -> bool:
        """Two Submits for one attempt at different devices, or permits, prove a cheat: the requester is marked."""
        first = next(row for row in evidence.attempts_of(self._store, key) if row.attempt == fact.attempt)
        if first.worker == fact.worker and first.permit == fact.permit:
            return False
        against = Against(key.requester, "double_submit", fact.attempt)
        evidence.add_mark(self._store, key, against, number=self._moment.new_id(), now_ms=self._moment.now_ms)
        return True

    def _no_more(self, said: NoMore, known: _Permit, share: Any) -> str | None:
        if said.side == "worker":
            permits.worker_done(self._store, said.permit, said.device, said.facts)
            return None
        of_one = None if share.worker is None else DeviceId(share.worker)
        if permits.requester_done(self._store, said.permit, of_one, said.facts) and share.state == "open":
            workers = known.candidates if of_one is None else (of_one,)
            self.closes += [SendClose(DeviceId(worker), said.permit) for worker in workers]
        return None


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
