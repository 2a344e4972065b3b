"""Jobs: list, look at one, ask why it went where it went, cancel. Records only: payloads never come here.

Touches: database (through the desk).
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from mesh.coordinator.acts import jobs as acts
from mesh.coordinator.acts.jobs import JobLine
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import Caller, caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import Cursor, Limit
from mesh.coordinator.store.connection import Store
from mesh.coordinator.telling.running import Running
from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.protocol.link import Cancel
from mesh.protocol.values import Explanation
from mesh.sdk.answers import Done

router = APIRouter()
LIMIT_DEFAULT = 20


class JobUnknown(MeshError):
    """There is no such job, or it is not yours. `mesh job list` shows those that are."""

    code = "job.not_found"
    kind = "not_found"


@router.get("/v1/networks/{network}/jobs", dependencies=[needs("jobs.read_own")])
async def listing(network: str, request: Request, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None) -> Response:
    """Records newest first, before them what runs and has none yet: one's own, for admins everybody's."""
    desk, whose = desk_of(request), _whose(caller_of(request))
    page = await desk.parts.database.read(acts.list_jobs, NetworkId(network), whose, cursor=cursor, limit=limit)
    running = {one.job: one for one in desk.live.running.of(NetworkId(network), whose)}
    lines = [_at_work(line, running.pop(line.job, None)) for line in page.jobs]
    if cursor is None:
        known = await desk.parts.database.read(_recorded, NetworkId(network), list(running))
        lines = [_unrecorded(one) for job, one in running.items() if job not in known] + lines
    return answer({"jobs": [_shown(line) for line in lines], "cursor": page.cursor})


@router.get("/v1/networks/{network}/jobs/{job}", dependencies=[needs("jobs.read_own")])
async def one(network: str, job: str, request: Request) -> Response:
    """One record."""
    return answer(_shown(await _find(network, job, request)))


@router.get("/v1/networks/{network}/jobs/{job}/why", dependencies=[needs("jobs.read_own")])
async def why(network: str, job: str, request: Request) -> Response:
    """Gates, scores, the choice, the attempts, and what would have changed it."""
    line = await _find(network, job, request)
    explanation = await desk_of(request).parts.database.read(acts.why, NetworkId(network), line)
    return answer({"job": line.job, **_explained(explanation), "attempts": _shown(line)["attempts"]})


@router.post("/v1/networks/{network}/jobs/{job}/cancel", dependencies=[needs("jobs.run")])
async def cancel(network: str, job: str, request: Request) -> Response:
    """Give up one's own job: its requester's device and whoever works on it are told to stop."""
    desk, caller = desk_of(request), caller_of(request)
    running = list(desk.live.running.of(NetworkId(network), caller.member, JobId(job)))

    def act(store: Store, moment: Moment) -> tuple[Done, tuple[DeviceId, ...]]:
        line = acts.show(store, NetworkId(network), JobId(job), caller.member)
        if line is None and not running:
            raise JobUnknown
        if line is not None:
            acts.cancel(store, NetworkId(network), line.requester, line.job, moment)
        asked = () if line is None else (line.requester,)
        return Done(), (*asked, *(one.requester for one in running), *(one.worker for one in running))

    response, devices = await desk.act(request, act)
    for device in dict.fromkeys(devices or ()):
        link = desk.live.of(device)
        if link is not None:
            link.say(Cancel(JobId(job)))
    return response


def _whose(caller: Caller) -> MemberId | None:
    return None if caller.may("jobs.read_all") else caller.member


async def _find(network: str, job: str, request: Request) -> JobLine:
    line = await desk_of(request).parts.database.read(
        acts.show, NetworkId(network), JobId(job), _whose(caller_of(request))
    )
    if line is None:
        raise JobUnknown
    return line


def _recorded(store: Store, network: NetworkId, jobs: list[JobId]) -> set[JobId]:
    """Which of these jobs have a record."""
    return {job for job in jobs if acts.show(store, network, job, None) is not None}


def _at_work(line: JobLine, running: Running | None) -> JobLine:
    """A record, with the device that works on the job now."""
    return line if running is None or line.state != "running" else line._replace(device=running.worker, own=running.own)


def _unrecorded(running: Running) -> JobLine:
    """A job that runs and is recorded only when it has ended, as jobs on own devices and those of a series are."""
    said = running.said
    return JobLine(
        job=running.job,
        requester=running.requester,
        member=running.member,
        workload=said.workload,
        model=said.model,
        sensitivity=said.sensitivity,
        state="running",
        device=running.worker,
        own=running.own,
        units=said.units,
        charge=0,
        code="",
        created_ms=running.since_ms,
        finished_ms=None,
        attempts=(),
    )


def _shown(line: JobLine) -> dict[str, Any]:
    return {**line._asdict(), "attempts": [attempt._asdict() for attempt in line.attempts]}


def _explained(explanation: Explanation) -> dict[str, Any]:
    """Every field, also those that hold their default: readers count on them."""
    return {
        "gates": [
            {"device": gate.device, "gate": gate.gate, "passed": gate.passed, "reason": gate.reason}
            for gate in explanation.gates
        ],
        "scores": [
            {"device": score.device, "terms": score.terms, "total": score.total} for score in explanation.scores
        ],
        "chosen": explanation.chosen,
        "would_change": list(explanation.would_change),
    }
