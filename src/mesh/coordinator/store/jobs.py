"""Job records in SQL: what a requester reported, and jobs as people list and open them.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select, update

from mesh.coordinator.store.connection import Prepared, Store, adding_once
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.jobs import LISTED, attempts, evidence, explanations, jobs
from mesh.coordinator.store.schema.permits import permits, shares
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.jobs.lifecycle import GIVEN_UP

_ADD = adding_once(
    jobs, "network", "requester", "job", "member", "workload", "model", "sensitivity", "units", "max_cost", "created_ms"
)
_REPORTED = Prepared(
    update(jobs)
    .where(jobs.c.network == bindparam("in_network"))
    .where(jobs.c.requester == bindparam("of_requester"))
    .where(jobs.c.job == bindparam("of_job"))
    .where(jobs.c.finished_ms.is_(None))
    .values(
        own=bindparam("own"),
        device=bindparam("device"),
        code=bindparam("code"),
        units=bindparam("units"),
        units_used=bindparam("units_used"),
        report=bindparam("report"),
        finished_ms=bindparam("finished_ms"),
    )
)
_CANCELLED = Prepared(
    update(jobs)
    .where(jobs.c.network == bindparam("in_network"))
    .where(jobs.c.requester == bindparam("of_requester"))
    .where(jobs.c.job == bindparam("of_job"))
    .where(jobs.c.cancelled_ms.is_(None))
    .values(cancelled_ms=bindparam("now"))
)
_OWNER = Prepared(
    select(devices.c.owner).where(devices.c.id == bindparam("device")).where(devices.c.network == bindparam("network"))
)
_OPEN_SHARES = (
    select(func.count())
    .select_from(shares.join(permits, permits.c.id == shares.c.permit))
    .where(permits.c.network == jobs.c.network)
    .where(permits.c.requester == jobs.c.requester)
    .where(permits.c.job == jobs.c.job)
    .where(shares.c.state == "open")
    .correlate(jobs)
    .scalar_subquery()
)
_DENIED_ONE = (
    select(evidence.c.job)
    .where(evidence.c.network == attempts.c.network)
    .where(evidence.c.requester == attempts.c.requester)
    .where(evidence.c.job == attempts.c.job)
    .where(evidence.c.attempt == attempts.c.attempt)
    .where(or_(evidence.c.kind == "failed", evidence.c.kind == "superseded"))
    .correlate(attempts)
    .exists()
)
_OPEN_IN_SERIES = (
    select(func.count())
    .select_from(attempts.join(shares, shares.c.id == attempts.c.share))
    .where(attempts.c.network == jobs.c.network)
    .where(attempts.c.requester == jobs.c.requester)
    .where(attempts.c.job == jobs.c.job)
    .where(shares.c.state == "open")
    .where(shares.c.worker.is_not(None))
    .where(~_DENIED_ONE)
    .correlate(jobs)
    .scalar_subquery()
)
"""A share of a series serves many jobs: of this one it may still pay what was not answered in the negative."""
_CHARGE = (
    select(func.coalesce(func.sum(attempts.c.pay), 0))
    .where(attempts.c.network == jobs.c.network)
    .where(attempts.c.requester == jobs.c.requester)
    .where(attempts.c.job == jobs.c.job)
    .correlate(jobs)
    .scalar_subquery()
)
_JOBS = select(jobs, (_OPEN_SHARES + _OPEN_IN_SERIES).label("open_shares"), _CHARGE.label("charge")).where(
    jobs.c.network == bindparam("network")
)
_LIST = Prepared(
    _JOBS.where(LISTED)
    .where(or_(bindparam("member") == "", jobs.c.member == bindparam("member")))
    .where(
        or_(
            jobs.c.created_ms < bindparam("before_ms"),
            and_(jobs.c.created_ms == bindparam("before_ms"), jobs.c.job < bindparam("before_job")),
        )
    )
    .order_by(jobs.c.created_ms.desc(), jobs.c.job.desc())
    .limit(bindparam("most"))
)
_SINCE = Prepared(
    select(
        jobs.c.job,
        jobs.c.requester,
        jobs.c.member,
        jobs.c.workload,
        jobs.c.units,
        jobs.c.units_used,
        jobs.c.report,
    )
    .where(jobs.c.network == bindparam("network"))
    .where(LISTED)
    .where(jobs.c.created_ms >= bindparam("since_ms"))
    .order_by(jobs.c.created_ms.desc())
    .limit(bindparam("most"))
)
_ONE = Prepared(_JOBS.where(jobs.c.job == bindparam("job")).order_by(jobs.c.created_ms.desc()))
_DENIED = (
    select(evidence.c.job)
    .where(evidence.c.network == attempts.c.network)
    .where(evidence.c.requester == attempts.c.requester)
    .where(evidence.c.job == attempts.c.job)
    .where(evidence.c.attempt == attempts.c.attempt)
    .where(evidence.c.worker == attempts.c.worker)
    .correlate(attempts)
)
_CLAIMED = _DENIED.where(evidence.c.kind == "claim").where(evidence.c.code != "failed").exists()
_CONTRADICTS = [evidence.c.code != code for code in sorted(GIVEN_UP)]
_ATTEMPTS = Prepared(
    select(
        attempts,
        and_(
            _DENIED.where(evidence.c.kind == "failed", *_CONTRADICTS).exists(),
            _CLAIMED,
        ).label("contradicted"),
    )
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.requester == bindparam("requester"))
    .where(attempts.c.job == bindparam("job"))
    .order_by(attempts.c.attempt)
)
_WHY = Prepared(
    select(explanations.c.body)
    .where(explanations.c.network == bindparam("network"))
    .where(explanations.c.requester == bindparam("requester"))
    .where(explanations.c.job == bindparam("job"))
)
_WHY_SERIES = Prepared(
    select(permits.c.explanation)
    .join(attempts, attempts.c.permit == permits.c.id)
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.requester == bindparam("requester"))
    .where(attempts.c.job == bindparam("job"))
    .where(permits.c.explanation.is_not(None))
    .order_by(attempts.c.attempt.desc())
)


def add(store: Store, key: JobKey, *, member: MemberId, spec: Any, now_ms: int) -> None:
    """Open a job's record, unless there is one. ``spec`` is a ``protocol.values.JobSpec``."""
    store.put(
        _ADD,
        {
            **key._asdict(),
            "member": member,
            "workload": spec.workload,
            "model": spec.model,
            "sensitivity": spec.sensitivity,
            "units": spec.units,
            "max_cost": spec.max_cost,
            "created_ms": now_ms,
        },
    )


def reported(store: Store, key: JobKey, row: dict[str, Any]) -> bool:
    """Keep the first report about a job; False for a repeat."""
    return store.run(_REPORTED, {**_of(key), **row}) == 1


def cancelled(store: Store, key: JobKey, now_ms: int) -> bool:
    """Keep that a job was given up; False if it was known, or there is no such job."""
    return store.run(_CANCELLED, {**_of(key), "now": now_ms}) == 1


def owner_of(store: Store, network: NetworkId, device: DeviceId) -> MemberId | None:
    """Whose device it is; None for one that is not of this network."""
    asked = ("owner", network, device)
    if asked not in store.kept:
        store.kept[asked] = store.value(_OWNER, {"network": network, "device": device})
    owner: MemberId | None = store.kept[asked]
    return owner


def listed(
    store: Store, network: NetworkId, member: MemberId | None, *, before: tuple[int, str], most: int
) -> Sequence[Any]:
    """Jobs newest first, of one member or of all (None), from before (created_ms, job)."""
    facts = {"network": network, "member": member or "", "before_ms": before[0], "before_job": before[1], "most": most}
    return store.rows(_LIST, facts)


def since(store: Store, network: NetworkId, *, since_ms: int, most: int) -> Sequence[Any]:
    """What was reported of jobs that were recorded since then, newest first."""
    return store.rows(_SINCE, {"network": network, "since_ms": since_ms, "most": most})


def found(store: Store, network: NetworkId, job: JobId) -> Sequence[Any]:
    """Jobs of that id: one, unless two devices made the same."""
    return store.rows(_ONE, {"network": network, "job": job})


def attempts_of(store: Store, key: JobKey) -> Sequence[Any]:
    """A job's attempts by number, each with whether the requester denies what the worker claims."""
    return store.rows(_ATTEMPTS, key._asdict())


def explanation_of(store: Store, key: JobKey) -> str | None:
    """Why a job went where it went, as JSON text; of a job in a series, why the series goes where it goes."""
    body: str | None = store.value(_WHY, key._asdict()) or store.value(_WHY_SERIES, key._asdict())
    return body


def _of(key: JobKey) -> dict[str, str]:
    return {"in_network": key.network, "of_requester": key.requester, "of_job": key.job}
