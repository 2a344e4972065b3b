"""Daily limits and denied work: what they say about a permit, and how admins set and clear them.

Touches: database (through the store it is given).
"""

from typing import Any, Literal, NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, ledger, limits, marks, networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import Against, JobKey, add_mark
from mesh.credits import limits as rules
from mesh.credits.accounts import Account
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.networks.membership import NotMember
from mesh.protocol.permit import Permit
from mesh.units import MICRO_LIMIT

Unset = Literal["unset"]
"""Stands for "leave it as it is", where None takes a limit away."""


class BadAmount(MeshError):
    """An amount is a whole number of micro-credits below 2^53, and here not negative. Send another one."""

    code = "credits.bad_amount"
    kind = "invalid"


class Apart(MeshError):
    """Work between this device and that owner was denied too often; an admin must look first: `mesh net marks`."""

    code = "permit.apart"
    kind = "forbidden"


class MarkUnknown(MeshError):
    """There is nothing to clear for that device. List what there is: `mesh net marks`."""

    code = "marks.unknown"
    kind = "not_found"


class Terms(NamedTuple):
    """A person's own floor (may be negative) and daily limit, in micro-credits; None: the network's."""

    floor: int | None
    day_limit: int | None
    trusted: bool = False
    """An admin vouches for them: their devices' work is not checked, and their pay does not wait."""


def check(store: Store, permit: Permit, moment: Moment) -> None:
    """Whether the permit, already held for, stays within the day's limits. Raises DayLimitReached.

    It is asked after the hold: whoever else spends from the payer's account then waits for this transaction to end.
    """
    network = NetworkId(permit.network)
    found = limits.of_device(store, network, permit.requester)
    if found is None:
        return
    since_ms = moment.now_ms - rules.DAY_MS
    of_member = rules.day_limit("guest" if found.role == "guest" else "member", found.of_member)
    if of_member is not None:
        spent = limits.spent_by_member(store, network, permit.payer, found.member, since_ms)
        rules.check_day(of_member, spent, permit.maximum)
    if found.of_device is not None:
        spent = limits.spent_by_device(store, network, permit.payer, permit.requester, since_ms)
        rules.check_day(found.of_device, spent, permit.maximum)


def limited(row: Any) -> bool:
    """Whether there is a limit that ``check`` would have to look at; ``row``: what ``asking_device`` finds."""
    of_member = rules.day_limit("guest" if row.role == "guest" else "member", row.day_limit)
    return of_member is not None or row.device_limit is not None


def check_denials(store: Store, permit: Permit, member: MemberId) -> None:
    """Whether denied work keeps this permit from its candidates, or from being a series, or from being at all.

    Raises Apart, SinglesOnly, DeniesMost.
    """
    network, device = NetworkId(permit.network), permit.requester
    often = limits.denied(store, network, device)
    for owner in {candidate.owner for candidate in permit.candidates}:
        if often.get(owner, 0) >= rules.DENIALS_TOGETHER and rules.apart(
            limits.last_jobs_with(store, network, device, owner, rules.JOBS_TOGETHER)
        ):
            raise Apart(owner=owner)
    if sum(often.values()) <= min(rules.DENIALS_ALONE, rules.DENIALS_LATELY):
        return
    last = limits.last_jobs(store, network, device, rules.JOBS_ALONE)
    owners = limits.owners_beside(store, network, member)

    def about(most: int) -> tuple[list[bool], int, int]:
        return [bool(row.denied) for row in last], len({row.earner for row in last[:most] if row.denied}), owners

    if rules.denies_most(*about(rules.JOBS_LATELY)):
        raise rules.DeniesMost
    if permit.job is None and rules.singles_only(*about(rules.JOBS_ALONE)):
        raise rules.SinglesOnly


def note_limit(store: Store, network: NetworkId, device: DeviceId, moment: Moment) -> None:
    """A device asked for more than its day's limit: a mark, once a day, that is for an admin's eye alone."""
    key, day = JobKey(network, device, ""), moment.now_ms // rules.DAY_MS
    add_mark(store, key, Against(device, "limit", day), number=moment.new_id(), now_ms=moment.now_ms)


def terms(store: Store, network: NetworkId, member: MemberId) -> Terms:
    """What an admin set for a person."""
    return Terms(*limits.terms_of(store, network, member))


def set_terms(
    store: Store,
    network: NetworkId,
    member: MemberId,
    change: tuple[int | Unset | None, int | Unset | None],
    by: tuple[MemberId, Moment],
) -> Terms:
    """Give a person a floor and a daily limit of their own; open shares stay. Raises BadAmount, NotMember."""
    (floor, day), (admin, moment) = change, by
    if networks.role(store, network, member) is None:
        raise NotMember
    facts: dict[str, Any] = {}
    if floor != "unset":
        checked(floor, negative=True)
        facts["floor"] = floor
        limits.set_floor(store, network, member, floor)
        ledger.account_of(store, network, Account("balance", member), moment.new_id)
    if day != "unset":
        checked(day)
        facts["day_limit"] = day
        limits.set_day(store, network, member, day)
    if facts:
        decisions.add(store, network, admin, ("credit.terms", member), facts, moment.now_ms)
    return terms(store, network, member)


def set_trust(store: Store, network: NetworkId, member: MemberId, trusted: bool, by: tuple[MemberId, Moment]) -> Terms:
    """An admin vouches for a person, or no longer does; pay that waits is free soon after. Raises NotMember."""
    admin, moment = by
    if not limits.set_trust(store, network, member, trusted):
        raise NotMember
    decisions.add(store, network, admin, ("member.trust", member), {"to": trusted}, moment.now_ms)
    return terms(store, network, member)


def set_device_day(
    store: Store, network: NetworkId, device: DeviceId, day: int | None, by: tuple[MemberId, Moment]
) -> bool:
    """Set what a device's jobs may cost in 24 hours; False for a device that is not here. Raises BadAmount."""
    admin, moment = by
    checked(day)
    if not limits.set_device_day(store, network, device, day):
        return False
    decisions.add(store, network, admin, ("credit.device_limit", device), {"day_limit": day}, moment.now_ms)
    return True


def clear_marks(
    store: Store, network: NetworkId, device: DeviceId, other: MemberId | None, by: tuple[MemberId, Moment]
) -> int:
    """Clear what counts against a device, all of it or what one other person reported. Raises MarkUnknown."""
    admin, moment = by
    cleared = marks.clear(store, network, device, other, moment.now_ms)
    if not cleared:
        raise MarkUnknown
    decisions.add(store, network, admin, ("marks.clear", device), {"other": other, "marks": cleared}, moment.now_ms)
    return cleared


def checked(amount: int | None, *, negative: bool = False) -> int | None:
    """An amount that money columns hold exactly. Raises BadAmount."""
    if amount is not None and (abs(amount) > MICRO_LIMIT or (amount < 0 and not negative)):
        raise BadAmount
    return amount
