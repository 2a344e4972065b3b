"""Reports come in: keep each verified fact once, settle the jobs they touch, close the shares that are through.

A fact that comes before its Submit waits for it, and a repeat changes nothing.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.series import close_if_through
from mesh.coordinator.acts.settle import HORIZON_MS, Effect, SendClose, settle
from mesh.coordinator.evidence import Keys, Testimony
from mesh.coordinator.store import evidence, jobs, permits, successions
from mesh.coordinator.store.connection import Later, Store, side_by_side
from mesh.coordinator.store.evidence import Against, JobKey, Opening
from mesh.coordinator.store.evidence import Fact as Kept
from mesh.coordinator.store.ledger import Books
from mesh.ids import DeviceId, DeviceKey, NetworkId, PermitId, is_ulid
from mesh.protocol.receipt import Claim, Count, Fact, Failed, NoMore, Submit, Superseded, Used
from mesh.protocol.values import JobSpec
from mesh.units import MICRO_LIMIT

ATTEMPTS_MAX = 64
"""Attempts of one job: 3 counted failures, hedges and devices that vanish stay far below."""


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
    taking = _Taking(store, network, moment)
    # In the order of their jobs, so that two batches about the same ones do not wait for each other.
    for testimony in testimonies if store.alone else sorted(testimonies, key=_job_of):
        taking.take(testimony)
    taking.open_attempts()
    effects: list[Effect] = []
    books = Books(store, network, moment.now_ms, moment.new_id)  # a payer's row is locked once, and as late as can be
    for key in taking.touched if store.alone else sorted(taking.touched):
        effects += settle(store, key, moment, ready_ms, books=books)
    books.flush()
    for share in taking.series if store.alone else sorted(taking.series):
        evidence.lock_share(store, share)
        effects += close_if_through(store, share, moment, ready_ms)
    return Recorded(tuple(taking.refused), (*taking.closes, *effects))


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


class _Taking:
    """Goes through a batch, keeping facts, and remembers which jobs and shares they are about."""

    def __init__(self, store: Store, network: NetworkId, moment: Moment) -> None:
        self._store, self._network, self._moment = store, network, moment
        self._permits: dict[str, _Permit] = {}
        self.touched: dict[JobKey, None] = {}
        self.series: dict[str, None] = {}
        self.refused: list[tuple[int, str]] = []
        self.closes: list[Effect] = []
        self._opened: list[tuple[int, JobKey, Submit, Kept, Later]] = []

    def open_attempts(self) -> None:
        """Submits that came: each opens its attempt, unless another one did before."""
        for place, key, submit, kept, opened in self._opened:
            if not opened.touched and self._is_double(key, submit):
                self.refused.append((place, "evidence.double_submit"))
            else:
                evidence.add_fact(self._store, key, kept, self._moment.now_ms)

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
        if permit is None:
            return None
        if permit not in self._permits:
            row, candidates, shares = permits.whole(self._store, permit)
            if row is None or row.network != self._network:
                return None
            by_worker = {share.worker or "": share for share in shares}
            self._permits[permit] = _Permit(row, {c.worker: c for c in candidates}, by_worker)
        known = self._permits[permit]
        pruned = known.row.state == "pruned" or self._moment.now_ms > known.row.finish_by_ms + HORIZON_MS
        return None if pruned else known

    def _fact(self, known: _Permit, testimony: Testimony, share: Any) -> str | None:
        fact, permit = testimony.fact, known.row
        assert isinstance(fact, Fact)
        candidate = known.candidates.get(fact.worker)
        if candidate is None or fact.requester != permit.requester or permit.job not in (None, fact.job):
            return "evidence.no_permit"
        kept = _kept(fact, testimony.token)
        if not 1 <= fact.attempt <= ATTEMPTS_MAX or not 0 <= kept.units <= MICRO_LIMIT or not is_ulid(fact.job):
            return "evidence.out_of_range"
        key = JobKey(permit.network, permit.requester, fact.job)
        if permit.job is None:
            self._open_record(key, permit)
        if isinstance(fact, Submit):
            most = min(fact.maximum, candidate.cap)
            opening = Opening(fact.attempt, share.permit, share.id, fact.worker, candidate.owner, most)
            opened = evidence.add_attempt(self._store, key, opening, self._moment.now_ms)
            self._opened.append((testimony.place, key, fact, kept, opened))
            self.touched[key] = None
            return None
        evidence.add_fact(self._store, key, kept, self._moment.now_ms)
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
