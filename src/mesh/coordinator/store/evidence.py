"""Signed facts, attempts and marks in SQL: what settlement reads, and what it wrote last time.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, false, literal_column, not_, or_, select, union, update

from mesh.coordinator.store.connection import Prepared, Store, adding_once
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.jobs import attempts, evidence, jobs, marks
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.coordinator.store.schema.permits import permits, shares

_ADD_ATTEMPT = adding_once(
    attempts,
    "network", "requester", "job", "attempt", "permit", "share", "worker", "earner", "state", "maximum",
    "submitted_ms", "changed_ms",
)  # fmt: skip
_ADD_FACT = adding_once(
    evidence,
    "network", "requester", "job", "attempt", "worker", "kind", "permit", "units", "code", "signed", "received_ms",
)  # fmt: skip
_RAISE_COUNT = Prepared(
    update(evidence)
    .where(evidence.c.network == bindparam("in_network"))
    .where(evidence.c.requester == bindparam("of_requester"))
    .where(evidence.c.job == bindparam("of_job"))
    .where(evidence.c.attempt == bindparam("of_attempt"))
    .where(evidence.c.worker == bindparam("of_worker"))
    .where(evidence.c.kind == "count")
    .where(evidence.c.units < bindparam("units"))
    .values(units=bindparam("units"), signed=bindparam("signed"), received_ms=bindparam("received_ms"))
)
_EARNER = and_(memberships.c.network == attempts.c.network, memberships.c.member == attempts.c.earner)
_ATTEMPTS = Prepared(
    select(attempts, devices.c.quarantined_ms, devices.c.streak, memberships.c.trusted)
    .join(devices, devices.c.id == attempts.c.worker)
    .outerjoin(memberships, _EARNER)
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.requester == bindparam("requester"))
    .where(attempts.c.job == bindparam("job"))
    .order_by(attempts.c.attempt)
)
_FACTS = Prepared(
    select(
        evidence.c.attempt,
        evidence.c.worker,
        evidence.c.kind,
        evidence.c.permit,
        evidence.c.units,
        evidence.c.code,
        evidence.c.received_ms,
        evidence.c.signed,
    )
    .where(evidence.c.network == bindparam("network"))
    .where(evidence.c.requester == bindparam("requester"))
    .where(evidence.c.job == bindparam("job"))
)
_PRICED = select(
    shares,
    permits.c.kind,
    permits.c.tariff_version,
    permits.c.price_micro,
    permits.c.price_per,
    permits.c.fee_ppm,
    permits.c.workload,
    permits.c.sensitivity,
    permits.c.state.label("permit_state"),
).join(permits, permits.c.id == shares.c.permit)
_SHARES = Prepared(
    union(
        _PRICED.where(permits.c.network == bindparam("network"))
        .where(permits.c.requester == bindparam("requester"))
        .where(permits.c.job == bindparam("job")),
        _PRICED.join(attempts, attempts.c.share == shares.c.id)
        .where(attempts.c.network == bindparam("network"))
        .where(attempts.c.requester == bindparam("requester"))
        .where(attempts.c.job == bindparam("job")),
    )
)
_OTHER = shares.alias("others")
_LOCK_JOB = Prepared(
    select(jobs.c.job)
    .where(jobs.c.network == bindparam("network"))
    .where(jobs.c.requester == bindparam("requester"))
    .where(jobs.c.job == bindparam("job"))
    .with_for_update(key_share=True)
)
_LOCK_SHARES = Prepared(
    select(shares.c.id)
    .where(
        shares.c.id.in_(
            union(
                select(_OTHER.c.id)
                .join(permits, permits.c.id == _OTHER.c.permit)
                .where(permits.c.network == bindparam("network"))
                .where(permits.c.requester == bindparam("requester"))
                .where(permits.c.job == bindparam("job")),
                select(attempts.c.share)
                .where(attempts.c.network == bindparam("network"))
                .where(attempts.c.requester == bindparam("requester"))
                .where(attempts.c.job == bindparam("job")),
            )
        )
    )
    .order_by(shares.c.id)
    .with_for_update(key_share=True)
)
_LOCK_SHARE = Prepared(select(shares.c.id).where(shares.c.id == bindparam("share")).with_for_update(key_share=True))
_MARK = adding_once(marks, "id", "network", "device", "kind", "job", "attempt", "other", "made_ms")
_ONE_SIDED = Prepared(
    select(attempts)
    .join(devices, devices.c.id == attempts.c.worker)
    .join(networks, networks.c.id == attempts.c.network)
    .outerjoin(memberships, _EARNER)
    .where(devices.c.quarantined_ms.is_(None))
    .where(not_(and_(networks.c.credit_line == "strict", memberships.c.trusted == false())))
    .where(attempts.c.how == literal_column("'one_sided'"))  # in the text, for the index over these alone
    .where(attempts.c.matured == false())
    .where(attempts.c.pay > 0)
    .where(attempts.c.paid_ms <= bindparam("before"))
    .order_by(attempts.c.paid_ms)
    .limit(bindparam("most"))
)
_OWN = Prepared(
    select(jobs.c.own)
    .where(jobs.c.network == bindparam("network"))
    .where(jobs.c.requester == bindparam("requester"))
    .where(jobs.c.job == bindparam("job"))
    .where(jobs.c.code == "")
)

_OWED = Prepared(
    select(attempts, permits.c.payer)
    .join(permits, permits.c.id == attempts.c.permit)
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.state == "owed")
    .where(
        or_(
            bindparam("member") == "",
            permits.c.payer == bindparam("member"),
            attempts.c.earner == bindparam("member"),
        )
    )
    .order_by(attempts.c.changed_ms)
    .limit(bindparam("most"))
)


class JobKey(NamedTuple):
    """What names a job over all its permits and attempts."""

    network: str
    requester: str
    job: str


Rows = tuple[Sequence[Any], Sequence[Any], Sequence[Any]]
"""What there is of a job: its shares, its attempts, its evidence."""


class Fact(NamedTuple):
    """A verified fact as it is kept. ``kind``: submit, count, claim, used, failed, superseded."""

    attempt: int
    worker: str
    kind: str
    permit: str
    units: int
    code: str | None
    signed: str


class Opening(NamedTuple):
    """An attempt as its Submit opens it: on which share, by whom, for whom, and up to how much (micro-credits)."""

    attempt: int
    permit: str
    share: str
    worker: str
    earner: str
    maximum: int


class Against(NamedTuple):
    """A mark: the device it counts against, what for (attempt 0: the whole job), and the other side's member."""

    device: str
    kind: str
    attempt: int
    other: str | None = None


def add_attempts(store: Store, opened: Sequence[tuple[JobKey, Opening]], now_ms: int) -> bool:
    """Open attempts on their first Submit; False where some were open before."""
    if not opened:
        return True
    submitted = {"state": "submitted", "submitted_ms": now_ms, "changed_ms": now_ms}
    rows = [{**key._asdict(), **opening._asdict(), **submitted} for key, opening in opened]
    return store.run(_ADD_ATTEMPT, rows) == len(rows)


def add_facts(store: Store, facts: Sequence[tuple[JobKey, Fact]], now_ms: int) -> None:
    """Keep the first fact of a kind, or the highest count."""
    if facts:
        store.put(_ADD_FACT, [{**key._asdict(), **fact._asdict(), "received_ms": now_ms} for key, fact in facts])
    for key, fact in facts:
        if fact.kind == "count":
            row = {
                "in_network": key.network,
                "of_requester": key.requester,
                "of_job": key.job,
                "of_attempt": fact.attempt,
                "of_worker": fact.worker,
                "units": fact.units,
                "signed": fact.signed,
                "received_ms": now_ms,
            }
            store.put(_RAISE_COUNT, row)


def lock_share(store: Store, share: str) -> None:
    """Draw from a share, or close it, one after the other."""
    store.lock(_LOCK_SHARE, {"share": share})


def lock_jobs(store: Store, keys: Sequence[JobKey]) -> None:
    """Decide about jobs one after the other: what was reported of them before is seen afterwards. Then, of each, draw
    from its shares one after the other, in the order of their ids.
    """
    store.lock(_LOCK_JOB, *(key._asdict() for key in keys))
    store.lock(_LOCK_SHARES, *(key._asdict() for key in keys))


def all_of(store: Store, keys: Sequence[JobKey]) -> dict[JobKey, Rows]:
    """Shares, attempts and evidence of jobs, as the three functions below have them, in one turn.

    The jobs and their shares are locked where others write beside us.
    """
    lock_jobs(store, keys)
    asked = [(statement, key._asdict()) for key in keys for statement in (_SHARES, _ATTEMPTS, _FACTS)]
    found = iter(store.together(*asked))
    return {key: (next(found), next(found), next(found)) for key in keys}


def attempts_of(store: Store, key: JobKey) -> Sequence[Any]:
    """A job's attempts by number, each with its worker's ``quarantined_ms`` and ``streak``, and whether its owner is
    ``trusted`` by an admin.
    """
    return store.rows(_ATTEMPTS, key._asdict())


def facts_of(store: Store, key: JobKey) -> Sequence[Any]:
    """All evidence of a job: (attempt, worker, kind, permit, units, code, received_ms, signed)."""
    return store.rows(_FACTS, key._asdict())


def job_shares(store: Store, key: JobKey) -> Sequence[Any]:
    """The shares of a job's own permits and those that its attempts are on, each with its permit's price and fee."""
    return store.rows(_SHARES, key._asdict())


def add_mark(store: Store, key: JobKey, against: Against, *, number: str, now_ms: int) -> None:
    """Keep a mark against a device, once per job, attempt and kind."""
    row = {"id": number, "network": key.network, "job": key.job, **against._asdict(), "made_ms": now_ms}
    store.run(_MARK, row)


def deniable_until(store: Store, before_ms: int, most: int) -> Sequence[Any]:
    """Attempts whose one-sided payment was posted at or before a time, the oldest first; without those that wait for
    checks too.
    """
    return store.rows(_ONE_SIDED, {"before": before_ms, "most": most})


def own_delivered(store: Store, key: JobKey) -> bool:
    """Whether the requester reported that a device of its own owner delivered the result."""
    return bool(store.value(_OWN, key._asdict()))


def owed(store: Store, network: str, member: str | None, most: int) -> Sequence[Any]:
    """Attempts that are owed something, by or to a member or anybody (None), each with its payer; oldest first."""
    return store.rows(_OWED, {"network": network, "member": member or "", "most": most})
