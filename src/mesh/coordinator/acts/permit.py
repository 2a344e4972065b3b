"""Granting a permit: check again what may have changed since it was placed, set the money aside, write it down.

The same request again gives the same permit, so that a lost answer costs nothing. The caller signs what comes back,
after the commit.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts import limits
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import ledger, permits
from mesh.coordinator.store.connection import Store, side_by_side
from mesh.credits import transfers
from mesh.credits.accounts import Account
from mesh.credits.transfers import HoldRefused
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.protocol.permit import Permit
from mesh.protocol.values import JobSpec

REPORT_WINDOW_MS = 15 * 60 * 1000
"""Reports may come this long after a permit's ``finish_by``: outboxes reconnect within 30 s, laptops sleep and wake."""


class PermitClosed(MeshError):
    """That permit is over: its time has passed, or its money was settled. Ask for a new one, with a new request id."""

    code = "permit.closed"
    kind = "conflict"


class EpochMoved(MeshError):
    """The network changed while this job was placed. Ask again; nothing was set aside."""

    code = "permit.epoch_moved"
    kind = "conflict"


class PayerGone(MeshError):
    """Whoever pays for this is no active member of the network (any more). Ask an admin."""

    code = "permit.payer_gone"
    kind = "forbidden"


class RequesterStopped(MeshError):
    """This device signed for two results of one job, and gets no permits until an admin has cleared that."""

    code = "permit.requester_stopped"
    kind = "forbidden"


class JobTaken(MeshError):
    """That job id belongs to a job of somebody else. Make a new job id."""

    code = "permit.job_taken"
    kind = "conflict"


class RequestReused(MeshError):
    """This request id was granted for another job. Make a new request id for a new request."""

    code = "permit.request_reused"
    kind = "conflict"


class Wanted(NamedTuple):
    """A permit as it was placed, to be granted: with its ids and times, but not signed yet.

    ``member`` is whose job it is (the payer, except for a guest's). ``explanation`` is its placement, as JSON text.
    """

    permit: Permit
    spec: JobSpec
    member: MemberId
    explanation: str


class Granted(NamedTuple):
    """The permit to sign. ``fresh`` is False for a request that was granted before."""

    permit: Permit
    fresh: bool


@side_by_side
def grant(store: Store, wanted: Wanted, moment: Moment) -> Granted:
    """Grant a permit for one job or a series, or the one that answered this request before.

    Raises HoldRefused (also as DayLimitReached), EpochMoved, PayerGone, RequesterStopped, Apart, SinglesOnly, JobTaken,
    PermitClosed, RequestReused.
    """
    permit = wanted.permit
    network = NetworkId(permit.network)
    assert (permit.job is not None) == (permit.share == "one"), "a permit is for one job, or for a series"
    before = permits.by_request(store, network, permit.requester, permit.request)
    if before is not None:
        asked = (permit.job, permit.workload, permit.model, permit.sensitivity)
        if (before.job, before.workload, before.model, before.sensitivity) != asked:
            raise RequestReused
        if moment.now_ms > before.start_by_ms or permits.some_share_ended(store, before.id):
            raise PermitClosed
        return Granted(permits.as_paper(store, before), fresh=False)
    rules = permits.rules_for(store, network, permit.payer, permit.requester)
    if rules is None or rules.state != "active":
        raise PayerGone
    if rules.epoch != permit.epoch:
        raise EpochMoved(placed=permit.epoch, now=rules.epoch)
    if rules.stopped:
        raise RequesterStopped
    if rules.denied:
        limits.check_denials(store, permit, wanted.member)
    lowest = transfers.floor(rules.credit_line, rules.credit_floor)
    account = ledger.account_of(store, network, Account("balance", permit.payer), moment.new_id)
    if not ledger.hold(store, account.id, permit.maximum, lowest):
        free = transfers.free(account.amount, account.held, lowest)
        raise HoldRefused(needed=permit.maximum, free=free)
    limits.check(store, permit, moment)
    _write(store, wanted, rules.fee_ppm, moment)
    return Granted(permit, fresh=True)


def _write(store: Store, wanted: Wanted, fee_ppm: int, moment: Moment) -> None:
    permit = wanted.permit
    if permit.job is not None:  # the jobs of a series are known once facts about them come
        owner = permits.add_job(
            store,
            permit,
            wanted.spec,
            member=wanted.member,
            explanation=wanted.explanation,
            now_ms=moment.now_ms,
        )
        if owner != wanted.member:
            raise JobTaken
    explanation = None if permit.job is not None else wanted.explanation
    due_ms = permit.finish_by_ms + REPORT_WINDOW_MS
    permits.add(store, permit, explanation, fee_ppm=fee_ppm, due_ms=due_ms, new_id=moment.new_id)


def free_credit(store: Store, network: NetworkId, member: MemberId) -> int | None:
    """What a member may spend now in micro-credits, for the gate "credit available"; None: no limit. Only reads."""
    lowest = ledger.lowest_of(store, network, member)
    balance, held = ledger.balance_and_held(store, network, member)
    return transfers.free(balance, held, lowest)


def unanswered_closes(store: Store, worker: DeviceId) -> list[str]:
    """Permits that a worker must still be told to close: for its link, each time it comes up."""
    return [str(permit) for permit in permits.to_close(store, worker)]
