"""The picture of a network: its devices with all that is known of them, how they were, and who works for whom.

Touches: database and clock (through the desk).
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from mesh.coordinator.acts import picture as acts
from mesh.coordinator.acts.picture import Stitch
from mesh.coordinator.http.access import Caller, caller_of, needs
from mesh.coordinator.http.desk import Desk, answer, desk_of
from mesh.coordinator.http.visible import round_trips, visible
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.telling.running import Running
from mesh.devices.contribution import contributes
from mesh.ids import NetworkId

router = APIRouter()
SECONDS_MAX = 3600
LONGEST_JOB_MS = 600_000
"""A job is recorded when it ends: records since then may have begun inside the picture."""


@router.get("/v1/networks/{network}/picture", dependencies=[needs("devices.read")])
async def picture(network: str, request: Request, seconds: int = 60) -> Response:
    """Devices, how they were lately, and who worked for whom. Other people's jobs show without asker and kind, and
    round trips to those who may know that two devices met.
    """
    desk, caller, now_ms = desk_of(request), caller_of(request), desk_of(request).parts.now_ms()
    since_ms = now_ms - max(1, min(seconds, SECONDS_MAX)) * 1000
    recorded = await desk.parts.database.read(acts.recorded, NetworkId(network), since_ms)
    shown = [
        seen for seen in desk.parts.snapshot.devices(NetworkId(network)) if visible(desk.parts.snapshot, seen, caller)
    ]
    known = {seen.kept.id for seen in shown}
    running = [_running(one) for one in desk.live.running.of(NetworkId(network))]
    at_work = {(one.job, one.attempt, one.worker) for one in running}
    stitches = [*running, *(one for one in recorded if (one.job, one.attempt, one.worker) not in at_work)]
    return answer(
        {
            "now_ms": now_ms,
            "since_ms": since_ms,
            "devices": [_device(desk, seen, caller, now_ms) for seen in shown],
            "stitches": [
                _stitch(one, caller)
                for one in stitches
                if one.worker in known and (one.finished_ms is None or one.finished_ms >= since_ms)
            ],
        }
    )


def _running(one: Running) -> Stitch:
    return Stitch(
        job=one.job,
        attempt=one.said.attempt,
        requester=one.requester,
        member=one.member,
        worker=one.worker,
        workload=one.said.workload,
        units=one.said.units,
        path="local" if one.requester == one.worker else "",
        code="",
        started_ms=one.since_ms,
        finished_ms=None,
    )


def _stitch(one: Stitch, caller: Caller) -> dict[str, Any]:
    """A stitch in full to whom it belongs and to admins; to others that a device works, and nothing else."""
    if caller.may("jobs.read_all") or one.member == caller.member:
        return one._asdict()
    return {
        "job": None,
        "attempt": one.attempt,
        "requester": None,
        "member": None,
        "worker": one.worker,
        "workload": "",
        "units": 0,
        "path": "",
        "code": "failed" if one.code else "",
        "started_ms": one.started_ms,
        "finished_ms": one.finished_ms,
    }


def _device(desk: Desk, seen: Seen, caller: Caller, now_ms: int) -> dict[str, Any]:
    kept, condition, capability = seen.kept, seen.condition, seen.capability
    willing = contributes(capability, condition)
    certificate = seen.certificate
    return {
        "device": kept.id,
        "name": kept.name,
        "owner": kept.owner,
        "state": desk.parts.snapshot.state(seen, now_ms),
        "history": [change._asdict() for change in desk.watch.history(kept.id)],
        "key": kept.key,
        "tags": kept.tags,
        "held": kept.held,
        "ephemeral": kept.leaves_after_s is not None,
        "joined_ms": kept.joined_ms,
        "last_seen_ms": seen.last_beat_ms or kept.seen_ms,
        "certificate_until_ms": None if certificate is None else certificate.expires_ms,
        "capability": capability if kept.capability is not None else None,
        "condition": condition,
        "contributes": willing.willing,
        "limit": willing.reason,
        "round_trips": round_trips(desk.parts.snapshot, seen, caller),
    }
