"""Verdicts of spot checks, and what follows: a device out of use with its pending pay given back, until an admin acts.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import checks as rows
from mesh.coordinator.store import decisions, evidence, networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.ledger import About, Books
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.outcomes import Outcomes, Standing
from mesh.credits import checks, transfers
from mesh.credits.accounts import SYSTEM
from mesh.credits.checks import Miss
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.jobs import lifecycle
from mesh.protocol.receipt import Verdict

PAYMENTS_MOST = 4096
"""Payments given back in one transaction; a device that works has some hundred that wait."""


class NoSuchCheck(MeshError):
    """This check was not asked of this device, or it is over. The verdict changes nothing."""

    code = "check.unknown"
    kind = "not_found"


class NotQuarantined(MeshError):
    """This device is not in quarantine (any more). See what waits: `mesh review list`."""

    code = "review.not_quarantined"
    kind = "conflict"


class NoSuchMiss(MeshError):
    """There is no such open miss. See what waits: `mesh review list`."""

    code = "review.no_miss"
    kind = "not_found"


class Judged(NamedTuple):
    """What a verdict led to: the worker; and the network as it is since, where that took it out of use."""

    worker: DeviceId
    network: Network | None = None


def judge(store: Store, network: NetworkId, verdict: Verdict, token: str, moment: Moment) -> Judged:
    """Take a verdict, signed by the requester that was asked. Raises NoSuchCheck."""
    row = rows.get(store, verdict.check)
    about = (verdict.requester, verdict.worker, verdict.job, verdict.attempt)
    if row is None or row.network != network or about != (row.requester, row.worker, row.job, row.attempt):
        raise NoSuchCheck
    late = moment.now_ms > row.until_ms
    if late or not rows.decide(store, row.id, verdict.outcome, token, moment.now_ms):
        raise NoSuchCheck
    worker = DeviceId(row.worker)
    if verdict.outcome != "missed":
        return Judged(worker)
    rows.begin_anew(store, worker)
    misses = [Miss(MemberId(one.owner), bool(one.admin)) for one in rows.misses(store, worker)]
    if not checks.proven(misses) or not rows.quarantine(store, worker, moment.now_ms):
        return Judged(worker)
    back = _give_back(store, network, worker, moment)
    facts = {"misses": len(misses), "payments": back[0], "amount": back[1]}
    decisions.add(store, network, SYSTEM, ("device.quarantine", worker), facts, moment.now_ms)
    return Judged(worker, _changed(store, network))


def quarantine(store: Store, network: NetworkId, check: str, *, by: MemberId, moment: Moment) -> Judged:
    """An admin takes a device out of use for a miss, and gives its pending pay back. Raises NoSuchMiss."""
    row = _open_miss(store, network, check)
    worker = DeviceId(row.worker)
    if rows.quarantine(store, worker, moment.now_ms):
        back = _give_back(store, network, worker, moment)
        facts = {"check": check, "payments": back[0], "amount": back[1]}
        decisions.add(store, network, by, ("device.quarantine", worker), facts, moment.now_ms)
    return Judged(worker, _changed(store, network))


def release(store: Store, network: NetworkId, device: DeviceId, *, by: MemberId, moment: Moment) -> None:
    """An admin puts a device into use again: it begins as a new one, with nothing against it. Raises NotQuarantined.

    What was given back stays so.
    """
    held = {row.id for row in rows.in_quarantine(store, network, PAYMENTS_MOST)}
    if device not in held or not rows.release(store, device):
        raise NotQuarantined
    cleared = rows.clear(store, device, moment.now_ms)
    decisions.add(store, network, by, ("device.release", device), {"misses": cleared}, moment.now_ms)


def dismiss(store: Store, network: NetworkId, check: str, *, by: MemberId, moment: Moment) -> None:
    """An admin says that a miss counts for nothing. Raises NoSuchMiss."""
    row = _open_miss(store, network, check)
    rows.clear(store, DeviceId(row.worker), moment.now_ms, check)
    decisions.add(store, network, by, ("check.dismiss", check), {"device": row.worker}, moment.now_ms)


def _changed(store: Store, network: NetworkId) -> Network | None:
    """The epoch grows: series of jobs that name the device are given up by their requesters."""
    networks.next_epoch(store, network)
    return networks.get(store, network)


def _open_miss(store: Store, network: NetworkId, check: str) -> Any:
    row = rows.get(store, check)
    if row is None or row.network != network or row.state != "missed" or row.cleared_ms is not None:
        raise NoSuchMiss
    return row


def _give_back(store: Store, network: NetworkId, worker: DeviceId, moment: Moment) -> tuple[int, int]:
    """Reverse all pay of a device that is still pending, to whoever paid it: (how many payments, how much)."""
    found = rows.pending_of(store, worker, PAYMENTS_MOST)
    outcomes = Outcomes(store)
    for row in found:
        key = JobKey(row.network, row.requester, row.job)
        evidence.lock_jobs(store, [key])
        books = Books(store, network, moment.now_ms, moment.new_id)
        payer, earner = MemberId(row.payer), MemberId(row.earner)
        books.post(transfers.take_back(payer, earner, amount=row.pay, fee=row.fee), _about(row))
        books.flush()
        rows.take_back(store, row.share, row.pay)
        state = lifecycle.advance(lifecycle.ATTEMPT, row.state, "disproved")
        gone = Standing(state, 0, 0, 0, None, row.units_paid, row.changes + 1, False, row.paid_ms)
        outcomes.attempt(key, row.attempt, gone, moment.now_ms)
    outcomes.flush()
    return len(found), sum(row.pay for row in found)


def _about(row: Any) -> About:
    return About(
        business=f"reverse:{row.requester}:{row.job}:{row.attempt}:{row.changes}",
        payer=MemberId(row.payer),
        earner=MemberId(row.earner),
        requester=row.requester,
        worker=row.worker,
        job=row.job,
        attempt=row.attempt,
        permit=row.permit,
        tariff_version=row.tariff_version,
        units=row.units_paid,
        price_micro=row.price_micro,
        price_per=row.price_per,
        reason="its device was found to make results up",
    )
