"""Drawing jobs that are to be done again by their requester: once an acknowledged attempt is paid, never before.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.paying import Known
from mesh.coordinator.store import checks as rows
from mesh.coordinator.store.connection import Store
from mesh.credits import checks
from mesh.credits.settlement import Decision, Lower, Pay
from mesh.ids import DeviceId, JobId, ulid_draw

_CHECK_MS = int(checks.CHECK_S * 1000)


class AskCheck(NamedTuple):
    """Ask a requester to do an attempt again and say whether the answer was right (link message ``Check``)."""

    requester: DeviceId
    check: str
    job: JobId
    attempt: int
    worker: DeviceId
    until_ms: int


def draw(store: Store, known: Known, decisions: Sequence[Decision], moment: Moment) -> list[AskCheck]:
    """Draw among the attempts that were just paid on their requester's word."""
    asked = []
    for decision in decisions:
        if not isinstance(decision, Pay | Lower) or decision.how != "used":
            continue
        row = known.attempts[decision.attempt]
        share = known.shares[row.share]
        if row.earner == known.payer or checks.trusted(known.line, bool(row.trusted)) or row.quarantined_ms is not None:
            continue
        if row.streak < checks.FIRST_JOBS:
            rows.count_job(store, row.worker, checks.FIRST_JOBS)
        check = moment.new_id()
        if not checks.checkable(share.workload, share.sensitivity):
            continue
        if not checks.drawn(row.streak, ulid_draw(check)) and not _needed(store, known, row):
            continue
        until_ms = moment.now_ms + _CHECK_MS
        if rows.add(store, known.key, row, check=check, at=(moment.now_ms, until_ms)):
            job, requester = JobId(known.key.job), DeviceId(known.key.requester)
            asked.append(AskCheck(requester, check, job, decision.attempt, DeviceId(row.worker), until_ms))
    return asked


def _needed(store: Store, known: Known, row: Any) -> bool:
    """Whether the job's check is one that the pay of its device waits for."""
    admin, own = rows.may_weigh(store, known.key, row.earner)
    weighs = checks.weighs(checker_admin=admin, same_owner=own)
    return weighs and checks.needed(rows.hoped(store, DeviceId(row.worker)), weighs=weighs)
