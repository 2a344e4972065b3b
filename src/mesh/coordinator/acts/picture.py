"""Attempts of a stretch of time, as a picture shows them: who asked whom, from when to when, how it went.

Touches: database (through the store it is given).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from mesh.coordinator.store import jobs
from mesh.coordinator.store.connection import Store
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.protocol.link import AttemptReport

JOBS_MAX = 600
"""Records read for one picture: with more of them it merges them anyway."""
_reports: msgspec.json.Decoder[list[AttemptReport]] = msgspec.json.Decoder(list[AttemptReport])


class Stitch(NamedTuple):
    """One attempt. Times in ms; ``finished_ms`` None while it runs; ``code`` empty unless it failed."""

    job: JobId
    attempt: int
    requester: DeviceId
    member: MemberId
    worker: DeviceId
    workload: str
    units: int
    path: str
    code: str
    started_ms: int
    finished_ms: int | None


def recorded(store: Store, network: NetworkId, since_ms: int) -> tuple[Stitch, ...]:
    """What requesters reported of jobs since then, newest first."""
    rows = jobs.since(store, network, since_ms=since_ms, most=JOBS_MAX)
    return tuple(stitch for row in rows for stitch in _stitches(row))


def _stitches(row: Any) -> Iterator[Stitch]:
    for one in () if row.report is None else _reports.decode(row.report):
        yield Stitch(
            job=JobId(row.job),
            attempt=one.attempt,
            requester=DeviceId(row.requester),
            member=MemberId(row.member),
            worker=one.device,
            workload=row.workload,
            units=row.units if row.units_used is None else row.units_used,
            path=one.path,
            code=one.code,
            started_ms=one.started_ms,
            finished_ms=one.finished_ms,
        )
