"""Granting a permit: check again what may have changed since it was placed, set the money aside, write it down.

The same request again gives the same permit, so that a lost answer costs nothing. The caller signs what comes back,
after the commit.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mesh.coordinator.acts import limits
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import ledger, permits
from mesh.coordinator.store import limits as stored_limits
from mesh.coordinator.store.connection import BY_ITSELF, Store, several_of, side_by_side
from mesh.coordinator.store.errors import Raced
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
    """This device had one job done several times, for two results that it signed for or for answers that it never gave.
    It gets no permits until an admin has cleared that.
    """

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

    Raises HoldRefused (also as DayLimitReached), EpochMoved, PayerGone, RequesterStopped, Apart, SinglesOnly,
    DeniesMost, JobTaken, PermitClosed, RequestReused.
    """
    permit = wanted.permit
    network = NetworkId(permit.network)
    assert (permit.job is not None) == (permit.share == "one"), "a permit is for one job, or for a series"
    before = store.row(*permits.asking_request(permit))
    if before is not None:
        asked = (permit.job, permit.workload, permit.model, permit.sensitivity)
        if (before.job, before.workload, before.model, before.sensitivity) != asked:
            raise RequestReused
        if moment.now_ms > before.start_by_ms or permits.some_share_ended(store, before.id):
            raise PermitClosed
        return Granted(permits.as_paper(store, before), fresh=False)
    rules = store.row(*permits.asking_rules(network, permit.payer, permit.requester))
    rules = _check(rules, permit)
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


@several_of(grant)
def grant_several(store: Store, asked: Sequence[tuple[Wanted, Moment]]) -> list[Any]:
    """``grant`` for several callers in a few turns, where each is plain: a new job, no limit, nothing denied before."""
    answers: list[Any] = [BY_ITSELF] * len(asked)
    plain: list[_Plain] = []
    for at, (facts, (wanted, _)) in enumerate(zip(_facts_of(store, [one for one, _ in asked]), asked, strict=True)):
        if facts is None:
            continue
        rules, account = facts
        try:
            _check(rules, wanted.permit)
        except MeshError as error:
            answers[at] = error
            continue
        if not rules.denied:
            plain.append(_Plain(at, wanted, rules, account))
    granted = _held(store, plain)
    for one in plain:
        lowest = transfers.floor(one.rules.credit_line, one.rules.credit_floor)
        free = transfers.free(one.account.amount, one.account.held, lowest)
        refused = HoldRefused(needed=one.wanted.permit.maximum, free=free)
        answers[one.at] = Granted(one.wanted.permit, fresh=True) if one in granted else refused
    if granted:
        _write_all(store, granted, max((moment for _, moment in asked), key=lambda moment: moment.now_ms))
    return answers


class _Plain(NamedTuple):
    at: int
    wanted: Wanted
    rules: Any
    account: Any


def _held(store: Store, plain: Sequence[_Plain]) -> list[_Plain]:
    """Set money aside; returns those for whom there was enough: what one payer asks for is held in one step, or where
    that is too much one after the other.
    """
    payers: dict[str, list[_Plain]] = {}
    for one in plain:
        payers.setdefault(str(one.account.id), []).append(one)
    whole = []
    for account, all_ in sorted(payers.items()):  # in this order, so that two transactions do not meet crosswise
        lowest = transfers.floor(all_[0].rules.credit_line, all_[0].rules.credit_floor)
        needed = sum(one.wanted.permit.maximum for one in all_)
        whole.append((account, lowest, all_, ledger.hold_later(store, account, needed, lowest)))
    held = []
    for account, lowest, all_, hold in whole:
        enough = hold.touched
        for one in all_:
            if enough or (len(all_) > 1 and ledger.hold(store, account, one.wanted.permit.maximum, lowest)):
                held.append(one)
    return held


def _facts_of(store: Store, asked: Sequence[Wanted]) -> list[tuple[Any, Any] | None]:
    """The rules and the account of each, in one turn; None for one that is not plain."""
    queries: dict[Any, permits.Asking] = {}
    for at, (permit, *_) in enumerate(asked):
        network = NetworkId(permit.network)
        account = Account("balance", permit.payer)
        queries |= {
            ("known", at): permits.asking_known(permit),
            ("rules", network, permit.payer, permit.requester): permits.asking_rules(
                network, permit.payer, permit.requester
            ),
            ("limits", network, permit.requester): stored_limits.asking_device(network, permit.requester),
            ("account", network, permit.payer): ledger.asking_account(network, account),
        }
    found = dict(zip(queries, store.together(*queries.values()), strict=True))
    facts: list[tuple[Any, Any] | None] = []
    for at, (permit, *_) in enumerate(asked):
        rules = found["rules", permit.network, permit.payer, permit.requester]
        account = found["account", permit.network, permit.payer]
        known = found["known", at][0][0] or permit.job is None or not account
        limited = any(limits.limited(row) for row in found["limits", permit.network, permit.requester])
        facts.append(None if known or limited else (rules[0] if rules else None, account[0]))
    return facts


def _check(rules: Any | None, permit: Permit) -> Any:
    """Whether the network and the payer are as they were when the permit was placed; returns the rules."""
    if rules is None or rules.state != "active":
        raise PayerGone
    if rules.epoch != permit.epoch:
        raise EpochMoved(placed=permit.epoch, now=rules.epoch)
    if rules.stopped:
        raise RequesterStopped
    return rules


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
    permits.add(store, [_written(wanted, fee_ppm)], new_id=moment.new_id)


def _write_all(store: Store, granted: Sequence[_Plain], moment: Moment) -> None:
    """Write permits for new jobs. Raises Raced where one of these jobs is known after all."""
    jobs = [(one.wanted.permit, one.wanted.spec, one.wanted.member, one.wanted.explanation) for one in granted]
    added = permits.add_jobs(store, jobs, moment.now_ms)
    permits.add(store, [_written(one.wanted, one.rules.fee_ppm) for one in granted], new_id=moment.new_id)
    if any(one.touched != len(granted) for one in added):
        raise Raced


def _written(wanted: Wanted, fee_ppm: int) -> permits.Written:
    permit = wanted.permit
    explanation = None if permit.job is not None else wanted.explanation
    return permits.Written(permit, explanation, fee_ppm, permit.finish_by_ms + REPORT_WINDOW_MS)


def free_credit(store: Store, network: NetworkId, member: MemberId) -> int | None:
    """What a member may spend now in micro-credits, for the gate "credit available"; None: no limit. Only reads."""
    lowest = ledger.lowest_of(store, network, member)
    balance, held = ledger.balance_and_held(store, network, member)
    return transfers.free(balance, held, lowest)


def unanswered_closes(store: Store, worker: DeviceId) -> list[str]:
    """Permits that a worker must still be told to close: for its link, each time it comes up."""
    return [str(permit) for permit in permits.to_close(store, worker)]
