"""Job records: what requesters report of their jobs, and jobs as people list and open them.

A job's state is derived from its shares and attempts each time it is read, never stored.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.settle import JobChanged
from mesh.coordinator.store import jobs, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.jobs.dispatch import turned
from mesh.jobs.lifecycle import AttemptView, JobState, job_state
from mesh.protocol.link import AttemptReport, JobReport
from mesh.protocol.receipt import ATTEMPTS_MAX
from mesh.protocol.values import Choice, Explanation

PAGE_MAX = 200
"""Jobs in one answer."""

CANCELLED = "job.cancelled"
"""How a requester says that it gave a job up."""

CODE_MAX = 64

_encoder = msgspec.json.Encoder()


class KeptAttempt(AttemptReport, frozen=True):
    """An attempt as its requester reported it, with why it went there (``Choice``)."""

    reason: str = ""
    expected_s: float = 0.0
    wait_s: float = 0.0
    other: str = ""
    other_s: float = 0.0


class AttemptLine(NamedTuple):
    """One attempt for people: the ledger's view where there is one, and what the requester reported of it.

    ``reason``: why the requester chose that device, as a code; ``expected_s`` and ``wait_s`` as it expected them,
    and of the next best device (``other``) ``other_s``.
    """

    attempt: int
    worker: DeviceId
    state: str
    pay: int
    owed: int
    units: int
    how: str | None
    code: str
    path: str
    started_ms: int | None
    finished_ms: int | None
    reason: str = ""
    expected_s: float = 0.0
    wait_s: float = 0.0
    other: str = ""
    other_s: float = 0.0


class JobLine(NamedTuple):
    """A job for people. ``charge`` in micro-credits is what stands now; ``own``: at price 0 on an own device."""

    job: JobId
    requester: DeviceId
    member: MemberId
    workload: str
    model: str
    sensitivity: str
    state: JobState
    device: DeviceId | None
    own: bool
    units: int
    charge: int
    code: str
    created_ms: int
    finished_ms: int | None
    attempts: tuple[AttemptLine, ...]


class Jobs(NamedTuple):
    """Jobs newest first; ``cursor`` asks for the next page (None: this is the last)."""

    jobs: tuple[JobLine, ...]
    cursor: str | None


def record_jobs(
    store: Store, network: NetworkId, requester: DeviceId, reports: Sequence[JobReport], moment: Moment
) -> tuple[tuple[tuple[int, str], ...], tuple[JobChanged, ...]]:
    """Keep a requester's own records of its jobs, each once; returns refused (place, code) and what changed.

    Work on an own device (``own``) costs nothing, and is only believed of a device of the same owner.
    """
    refused: list[tuple[int, str]] = []
    changed: list[JobChanged] = []
    owner = jobs.owner_of(store, network, requester)
    for index, report in enumerate(reports):
        worker = None if report.device is None else jobs.owner_of(store, network, report.device)
        named = report.device is not None  # a job that failed names no device
        if owner is None or (named and (worker is None or (report.own and worker != owner))):
            refused.append((index, "report.not_own"))
            continue
        key = JobKey(network, requester, report.job)
        jobs.add(store, key, member=owner, spec=report.spec, now_ms=moment.now_ms)
        if report.explanation is not None:
            body = _encoder.encode(report.explanation).decode()
            permits.explain(store, network, requester, report.job, body, moment.now_ms)
        kept = {
            "own": report.own,
            "device": report.device,
            "code": report.code[:CODE_MAX],
            "units": report.spec.units,
            "units_used": report.units,
            "report": _encoder.encode(_kept(report)).decode(),
            "finished_ms": moment.now_ms,
        }
        if report.code == CANCELLED:
            jobs.cancelled(store, key, moment.now_ms)
        if jobs.reported(store, key, kept):
            changed.append(JobChanged(network, requester, report.job))
    return tuple(refused), tuple(changed)


def _kept(report: JobReport) -> list[KeptAttempt]:
    choices = {choice.attempt: choice for choice in report.choices[:ATTEMPTS_MAX]}
    kept = []
    for seen in report.attempts[:ATTEMPTS_MAX]:
        choice = choices.get(seen.attempt, Choice(seen.device, seen.attempt))
        known = msgspec.structs.asdict(seen)
        why: dict[str, Any] = {"reason": choice.reason[:CODE_MAX]}
        why |= {"expected_s": choice.expected_s, "wait_s": choice.wait_s}
        if len(choice.other) <= CODE_MAX and choice.other.isalnum():
            why |= {"other": choice.other, "other_s": choice.other_s}
        kept.append(msgspec.convert({**known, **why}, KeptAttempt))
    return kept


def cancel(store: Store, network: NetworkId, requester: DeviceId, job: JobId, moment: Moment) -> bool:
    """Note that a job was given up; its money follows from its attempts' answers. False if that was known."""
    return jobs.cancelled(store, JobKey(network, requester, job), moment.now_ms)


def list_jobs(store: Store, network: NetworkId, member: MemberId | None, *, cursor: str | None, limit: int) -> Jobs:
    """Jobs of a member, or of everybody (None), newest first."""
    most = max(1, min(limit, PAGE_MAX))
    before = (2**62, "") if cursor is None else _cursor(cursor)
    rows = jobs.listed(store, network, member, before=before, most=most + 1)
    lines = tuple(_line(store, row) for row in rows[:most])
    last = rows[most - 1] if len(rows) > most else None
    return Jobs(lines, None if last is None else f"{last.created_ms}.{last.job}")


def show(store: Store, network: NetworkId, job: JobId, member: MemberId | None) -> JobLine | None:
    """One job; only a job of ``member`` unless that is None. None: there is no such job for them."""
    rows = [row for row in jobs.found(store, network, job) if member is None or row.member == member]
    return _line(store, rows[0]) if rows else None


def why(store: Store, network: NetworkId, line: JobLine) -> Explanation:
    """Why a job went where it went (empty for a job whose explanation is gone), and what would have changed it: first
    the requester's own choices, then the placement among which it chose.
    """
    body = jobs.explanation_of(store, JobKey(network, line.requester, line.job))
    placed = Explanation() if body is None else msgspec.json.decode(body, type=Explanation)
    own = [turned(one.worker, _choice_of(one)) for one in line.attempts]
    said = (*(words for words in own if words is not None), *placed.would_change)
    return msgspec.structs.replace(placed, would_change=said)


def _choice_of(line: AttemptLine) -> Choice:
    return Choice(line.worker, line.attempt, line.expected_s, line.wait_s, line.reason, line.other, line.other_s)


def _cursor(text: str) -> tuple[int, str]:
    number, _, job = text.partition(".")
    return (int(number), job) if number.isdecimal() and len(number) < 19 else (0, "")


def _line(store: Store, row: Any) -> JobLine:
    known = jobs.attempts_of(store, JobKey(row.network, row.requester, row.job))
    views = [AttemptView(a.state, a.how, a.pay > 0, bool(a.contradicted)) for a in known]
    state = job_state(
        views,
        open_shares=row.open_shares,
        own_code=row.code if row.own else None,
        cancelled=row.cancelled_ms is not None,
    )
    paid = next((a.worker for a in known if a.pay > 0), None)
    return JobLine(
        job=JobId(row.job),
        requester=DeviceId(row.requester),
        member=MemberId(row.member),
        workload=row.workload,
        model=row.model,
        sensitivity=row.sensitivity,
        state=state,
        device=row.device or paid,
        own=bool(row.own),
        units=row.units if row.units_used is None else row.units_used,
        charge=int(row.charge),
        code=row.code or "",
        created_ms=row.created_ms,
        finished_ms=row.finished_ms,
        attempts=_attempts(known, row.report),
    )


def _attempts(known: Sequence[Any], report: str | None) -> tuple[AttemptLine, ...]:
    told = {} if report is None else {a.attempt: a for a in msgspec.json.decode(report, type=list[KeptAttempt])}
    lines = {
        row.attempt: AttemptLine(
            row.attempt, row.worker, row.state, row.pay, row.owed, row.units_paid, row.how, "", "", None, None
        )
        for row in known
    }
    for number, seen in told.items():
        blank = AttemptLine(number, seen.device, "failed" if seen.code else "done", 0, 0, 0, None, "", "", None, None)
        lines[number] = lines.get(number, blank)._replace(
            code=seen.code,
            path=seen.path,
            started_ms=seen.started_ms,
            finished_ms=seen.finished_ms,
            reason=seen.reason,
            expected_s=seen.expected_s,
            wait_s=seen.wait_s,
            other=seen.other,
            other_s=seen.other_s,
        )
    return tuple(lines[number] for number in sorted(lines))
