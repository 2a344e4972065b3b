"""Permits, shares and candidates in SQL.

Touches: database (through the store it is given).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, literal_column, or_, select, update

from mesh.coordinator.store.connection import Later, Prepared, Store, adding, adding_once
from mesh.coordinator.store.schema.jobs import explanations, jobs, marks
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.coordinator.store.schema.permits import candidates, permits, shares
from mesh.ids import DeviceId, JobId, MemberId, NetworkId, PermitId, RequestId
from mesh.protocol.permit import Permit, Price
from mesh.protocol.values import Candidate, JobSpec

NewId = Callable[[], str]
Asking = tuple[Prepared, Mapping[str, Any]]
"""A query and what it is asked with: for ``Store.row``, or ``Store.together`` with others."""

_OPEN: Any = literal_column("'open'")
"""As part of the text: SQLite uses an index over open shares only for a query that says so in its text."""

_ADD = adding(
    permits,
    "id", "network", "requester", "request", "kind", "job", "payer", "requester_key", "role", "workload", "model",
    "sensitivity", "tariff_version", "price_micro", "price_per", "fee_ppm", "hold", "epoch", "state", "explanation",
    "issued_ms", "start_by_ms", "finish_by_ms",
)  # fmt: skip
_ADD_SHARE = adding(shares, "id", "permit", "network", "payer", "worker", "amount", "left", "paid", "state", "due_ms")
_ADD_CANDIDATE = adding(candidates, "permit", "worker", "rank", "key", "owner", "cap")
_ADD_JOB = adding_once(
    jobs, "network", "requester", "job", "member", "workload", "model", "sensitivity", "units", "max_cost", "created_ms"
)
_OPEN_OF = Prepared(
    select(func.count(shares.c.permit.distinct()))
    .select_from(shares.join(permits, permits.c.id == shares.c.permit))
    .where(shares.c.state == _OPEN)
    .where(shares.c.network == bindparam("network"))
    .where(shares.c.payer == bindparam("payer"))
    .where(permits.c.request != bindparam("other_than"))
)
_JOB_MEMBER = Prepared(
    select(jobs.c.member)
    .where(jobs.c.network == bindparam("network"))
    .where(jobs.c.requester == bindparam("requester"))
    .where(jobs.c.job == bindparam("job"))
)
_EXPLAIN = adding_once(explanations, "network", "requester", "job", "body", "created_ms")
_EXPLAIN_AGAIN = Prepared(
    update(explanations)
    .where(explanations.c.network == bindparam("in_network"))
    .where(explanations.c.requester == bindparam("of_requester"))
    .where(explanations.c.job == bindparam("of_job"))
    .values(body=bindparam("body"))
)
_BY_REQUEST = Prepared(
    select(permits)
    .where(permits.c.network == bindparam("network"))
    .where(permits.c.requester == bindparam("requester"))
    .where(permits.c.request == bindparam("request"))
)
_KNOWN = Prepared(
    select(
        or_(
            exists()
            .where(permits.c.network == bindparam("network"))
            .where(permits.c.requester == bindparam("requester"))
            .where(permits.c.request == bindparam("request")),
            exists()
            .where(jobs.c.network == bindparam("network"))
            .where(jobs.c.requester == bindparam("requester"))
            .where(jobs.c.job == bindparam("job")),
        )
    )
)
_BY_ID = Prepared(select(permits).where(permits.c.id == bindparam("permit")))
_CANDIDATES = Prepared(select(candidates).where(candidates.c.permit == bindparam("permit")).order_by(candidates.c.rank))
_SHARES = Prepared(select(shares).where(shares.c.permit == bindparam("permit")).order_by(shares.c.id))
_ENDED = Prepared(select(func.count()).where(shares.c.permit == bindparam("permit")).where(shares.c.state == "ended"))
_RULES = Prepared(
    select(
        networks.c.epoch,
        networks.c.fee_ppm,
        networks.c.credit_line,
        memberships.c.credit_floor,
        memberships.c.state,
        exists()
        .where(marks.c.network == networks.c.id)
        .where(marks.c.device == bindparam("requester"))
        .where(or_(*(marks.c.kind == kind for kind in ("double_use", "double_submit", "unanswered"))))
        .where(marks.c.cleared_ms.is_(None))
        .label("stopped"),
        exists()
        .where(marks.c.network == networks.c.id)
        .where(marks.c.device == bindparam("requester"))
        .where(marks.c.kind == "denied")
        .where(marks.c.cleared_ms.is_(None))
        .label("denied"),
    )
    .join(memberships, and_(memberships.c.network == networks.c.id, memberships.c.member == bindparam("payer")))
    .where(networks.c.id == bindparam("in_network"))
)
_REQUESTER_DONE = Prepared(
    update(shares)
    .where(shares.c.permit == bindparam("of_permit"))
    .where(func.coalesce(shares.c.worker, "") == bindparam("of_worker"))
    .where(shares.c.requester_no_more.is_(None))
    .values(requester_no_more=bindparam("facts"))
)
_WORKER_DONE = Prepared(
    update(candidates)
    .where(candidates.c.permit == bindparam("of_permit"))
    .where(candidates.c.worker == bindparam("of_worker"))
    .where(candidates.c.no_more.is_(None))
    .values(no_more=bindparam("facts"))
)
_TO_CLOSE = Prepared(
    select(candidates.c.permit)
    .join(shares, shares.c.permit == candidates.c.permit)
    .where(candidates.c.worker == bindparam("worker"))
    .where(candidates.c.no_more.is_(None))
    .where(or_(shares.c.worker.is_(None), shares.c.worker == candidates.c.worker))
    .where(shares.c.state == _OPEN)
    .where(shares.c.requester_no_more.is_not(None))
    .distinct()
)
_DUE = Prepared(
    select(shares.c.id, shares.c.network, permits.c.requester, permits.c.job)
    .join(permits, permits.c.id == shares.c.permit)
    .where(shares.c.state == _OPEN)
    .where(shares.c.due_ms <= bindparam("now"))
    .order_by(shares.c.due_ms)
    .limit(bindparam("most"))
)
_OPEN_IN = Prepared(
    select(shares.c.id, shares.c.network, permits.c.requester, permits.c.job)
    .join(permits, permits.c.id == shares.c.permit)
    .where(shares.c.network == bindparam("network"))
    .where(shares.c.state == _OPEN)
    .order_by(shares.c.id)
    .limit(bindparam("most"))
)
_PRUNE = Prepared(
    update(permits)
    .where(permits.c.state == "closed")
    .where(permits.c.finish_by_ms < bindparam("before"))
    .values(state="pruned")
)


class Written(NamedTuple):
    """A permit as it is written: ``explanation`` of a series, as JSON text; when its report window ends."""

    permit: Permit
    explanation: str | None
    fee_ppm: int
    due_ms: int


def add(store: Store, written: Sequence[Written], *, new_id: NewId) -> None:
    """Write permits with their shares and their candidates."""
    store.put(_ADD, [_row_of(one) for one in written])
    store.put(_ADD_SHARE, [row for one in written for row in _shares_of(one, new_id)])
    store.put(
        _ADD_CANDIDATE,
        [
            {"permit": paper.permit, "worker": c.device, "rank": rank, "key": c.key, "owner": c.owner, "cap": c.cap}
            for paper in (one.permit for one in written)
            for rank, c in enumerate(paper.candidates)
        ],
    )


def _row_of(written: Written) -> dict[str, Any]:
    permit = written.permit
    return {
        "id": permit.permit,
        "network": permit.network,
        "requester": permit.requester,
        "request": permit.request,
        "kind": "job" if permit.share == "one" else "series",
        "job": permit.job,
        "payer": permit.payer,
        "requester_key": permit.requester_key,
        "role": permit.role,
        "workload": permit.workload,
        "model": permit.model,
        "sensitivity": permit.sensitivity,
        "tariff_version": permit.price.version,
        "price_micro": permit.price.micro,
        "price_per": permit.price.per,
        "fee_ppm": written.fee_ppm,
        "hold": permit.maximum,
        "epoch": permit.epoch,
        "state": "open",
        "explanation": written.explanation,
        "issued_ms": permit.issued_ms,
        "start_by_ms": permit.start_by_ms,
        "finish_by_ms": permit.finish_by_ms,
    }


def _shares_of(written: Written, new_id: NewId) -> list[dict[str, Any]]:
    permit = written.permit
    one: list[tuple[str | None, int]] = [(None, permit.maximum)]
    each: list[tuple[str | None, int]] = [(candidate.device, candidate.cap) for candidate in permit.candidates]
    return [
        {
            "id": new_id(),
            "permit": permit.permit,
            "network": permit.network,
            "payer": permit.payer,
            "worker": worker,
            "amount": amount,
            "left": amount,
            "paid": 0,
            "state": "open",
            "due_ms": written.due_ms,
        }
        for worker, amount in (one if permit.share == "one" else each)
    ]


def open_of(store: Store, network: NetworkId, payer: MemberId, other_than: RequestId) -> int:
    """How many permits are open that a member pays for, without the one that answered a request."""
    return int(store.value(_OPEN_OF, {"network": network, "payer": payer, "other_than": other_than}))


def add_job(
    store: Store, permit: Permit, spec: JobSpec, *, member: MemberId, explanation: str, now_ms: int
) -> MemberId:
    """Write the job's row and its explanation (a later permit's replaces it); returns whose job it is."""
    fresh = store.run(_ADD_JOB, _job_of(permit, spec, member, now_ms))
    explain(store, permit.network, permit.requester, permit.job or "", explanation, now_ms)
    return member if fresh else MemberId(store.value(*asking_job(permit)))


def add_jobs(store: Store, jobs_: Sequence[tuple[Permit, JobSpec, MemberId, str]], now_ms: int) -> tuple[Later, Later]:
    """Write jobs' rows, and their explanations; each has ``touched`` as many as there are, if all are new."""
    rows = [_job_of(permit, spec, member, now_ms) for permit, spec, member, _ in jobs_]
    bodies = [
        {
            "network": permit.network,
            "requester": permit.requester,
            "job": permit.job,
            "body": body,
            "created_ms": now_ms,
        }
        for permit, _, _, body in jobs_
    ]
    return store.later(_ADD_JOB, rows), store.later(_EXPLAIN, bodies)


def _job_of(permit: Permit, spec: JobSpec, member: MemberId, now_ms: int) -> dict[str, Any]:
    return {
        "network": permit.network,
        "requester": permit.requester,
        "job": permit.job,
        "member": member,
        "workload": spec.workload,
        "model": spec.model,
        "sensitivity": spec.sensitivity,
        "units": spec.units,
        "max_cost": spec.max_cost,
        "created_ms": now_ms,
    }


def explain(store: Store, network: str, requester: str, job: str, body: str, now_ms: int) -> None:
    """Keep why a job goes where it goes; the newest explanation replaces an older one."""
    row = {"network": network, "requester": requester, "job": job, "body": body, "created_ms": now_ms}
    if not store.run(_EXPLAIN, row):
        store.put(_EXPLAIN_AGAIN, {"in_network": network, "of_requester": requester, "of_job": job, "body": body})


def asking_rules(network: NetworkId, payer: MemberId, requester: DeviceId) -> Asking:
    """What decides about a hold: epoch, fee_ppm, credit_line, credit_floor, the payer's state, stopped, denied."""
    return _RULES, {"in_network": network, "payer": payer, "requester": requester}


def asking_request(permit: Permit) -> Asking:
    """The permit's row that answered this request before."""
    return _BY_REQUEST, {"network": permit.network, "requester": permit.requester, "request": permit.request}


def asking_known(permit: Permit) -> Asking:
    """Whether the request was answered before, or the job is known: one row, of one truth value."""
    facts = {"network": permit.network, "requester": permit.requester, "request": permit.request, "job": permit.job}
    return _KNOWN, facts


def asking_job(permit: Permit) -> Asking:
    """Whose job it is that a permit is for, where it is known."""
    return _JOB_MEMBER, {"network": permit.network, "requester": permit.requester, "job": permit.job}


def by_id(store: Store, permit: PermitId) -> Any | None:
    """A permit's row."""
    return store.row(_BY_ID, {"permit": permit})


def whole_of(
    store: Store, named: Iterable[PermitId]
) -> dict[PermitId, tuple[Any | None, Sequence[Any], Sequence[Any]]]:
    """Permits' rows (None: there is none), their candidates and their shares, all in one turn."""
    asked = [(permit, {"permit": permit}) for permit in named]
    found = iter(store.together(*((one, facts) for _, facts in asked for one in (_BY_ID, _CANDIDATES, _SHARES))))
    whole = {}
    for permit, _ in asked:
        rows, candidates, shares = next(found), next(found), next(found)
        whole[permit] = ((rows[0] if rows else None), candidates, shares)
    return whole


def candidates_of(store: Store, permit: PermitId) -> Sequence[Any]:
    """A permit's candidates in order."""
    return store.rows(_CANDIDATES, {"permit": permit})


def shares_of(store: Store, permit: PermitId) -> Sequence[Any]:
    """A permit's shares."""
    return store.rows(_SHARES, {"permit": permit})


def some_share_ended(store: Store, permit: PermitId) -> bool:
    """Whether any share of a permit has ended."""
    return bool(store.value(_ENDED, {"permit": permit}))


def as_paper(store: Store, row: Any) -> Permit:
    """The paper that a permit's row was made from: signing it again gives the same token."""
    return Permit(
        network=row.network,
        permit=row.id,
        request=row.request,
        payer=row.payer,
        requester=row.requester,
        requester_key=row.requester_key,
        role=row.role,
        workload=row.workload,
        model=row.model,
        sensitivity=row.sensitivity,
        price=Price(version=row.tariff_version, micro=row.price_micro, per=row.price_per),
        candidates=tuple(Candidate(c.worker, c.key, c.owner, c.cap) for c in candidates_of(store, row.id)),
        maximum=row.hold,
        share="one" if row.kind == "job" else "each",
        job=None if row.job is None else JobId(row.job),
        epoch=row.epoch,
        issued_ms=row.issued_ms,
        start_by_ms=row.start_by_ms,
        finish_by_ms=row.finish_by_ms,
    )


def requester_done(store: Store, permit: PermitId, worker: DeviceId | None, facts: int) -> bool:
    """Keep the requester's NoMore about a worker's share, or the one share; False if it was known."""
    return store.run(_REQUESTER_DONE, {"of_permit": permit, "of_worker": worker or "", "facts": facts}) > 0


def worker_done(store: Store, permit: PermitId, worker: DeviceId, facts: int) -> bool:
    """Keep a worker's NoMore; False if it was known."""
    return store.run(_WORKER_DONE, {"of_permit": permit, "of_worker": worker, "facts": facts}) > 0


def to_close(store: Store, worker: DeviceId) -> list[PermitId]:
    """Permits whose requester is through while this worker has not said so: it is to be told again."""
    return [PermitId(row.permit) for row in store.rows(_TO_CLOSE, {"worker": worker})]


def due(store: Store, now_ms: int, most: int) -> Sequence[Any]:
    """Open shares whose report window is over: (id, network, requester, job), the oldest first; a series has no job."""
    return store.rows(_DUE, {"now": now_ms, "most": most})


def open_in(store: Store, network: NetworkId, most: int) -> Sequence[Any]:
    """Open shares of a network: (id, network, requester, job); a series has no job."""
    return store.rows(_OPEN_IN, {"network": network, "most": most})


def prune(store: Store, before_ms: int) -> int:
    """Mark closed permits that ended before a time as pruned: nothing about them is believed any more."""
    return store.run(_PRUNE, {"before": before_ms})
