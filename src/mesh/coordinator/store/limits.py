"""What was spent in a day, and denials between two sides, in SQL; the limits that admins set.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, func, select, update

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.jobs import attempts, marks
from mesh.coordinator.store.schema.networks import memberships
from mesh.coordinator.store.schema.permits import permits, shares
from mesh.ids import DeviceId, MemberId, NetworkId

_LIMITS = Prepared(
    select(memberships.c.member, memberships.c.role, memberships.c.day_limit, devices.c.day_limit.label("device_limit"))
    .join(devices, and_(devices.c.owner == memberships.c.member, devices.c.network == memberships.c.network))
    .where(memberships.c.network == bindparam("network"))
    .where(devices.c.id == bindparam("device"))
)
_spent = (
    select(func.coalesce(func.sum(shares.c.paid + shares.c.left), 0))
    .join(permits, permits.c.id == shares.c.permit)
    .where(permits.c.network == bindparam("network"))
    .where(permits.c.payer == bindparam("payer"))
    .where(permits.c.issued_ms > bindparam("since"))
)
_SPENT_BY_DEVICE = Prepared(_spent.where(permits.c.requester == bindparam("device")))
_SPENT_BY_MEMBER = Prepared(
    _spent.join(devices, devices.c.id == permits.c.requester).where(devices.c.owner == bindparam("member"))
)
_DENIED = Prepared(
    select(marks.c.other, func.count().label("times"))
    .where(marks.c.network == bindparam("network"))
    .where(marks.c.device == bindparam("device"))
    .where(marks.c.kind == "denied")
    .where(marks.c.cleared_ms.is_(None))
    .group_by(marks.c.other)
)
_denied_here = (
    select(marks.c.id)
    .where(marks.c.network == attempts.c.network)
    .where(marks.c.device == attempts.c.requester)
    .where(marks.c.kind == "denied")
    .where(marks.c.job == attempts.c.job)
    .where(marks.c.attempt == attempts.c.attempt)
    .where(marks.c.cleared_ms.is_(None))
    .correlate(attempts)
    .exists()
)
_jobs = (
    select(attempts.c.earner, _denied_here.label("denied"))
    .where(attempts.c.network == bindparam("network"))
    .where(attempts.c.requester == bindparam("device"))
    .order_by(attempts.c.submitted_ms.desc(), attempts.c.job.desc())
    .limit(bindparam("most"))
)
_LAST = Prepared(_jobs)
_LAST_WITH = Prepared(_jobs.where(attempts.c.earner == bindparam("owner")))
_OWNERS = Prepared(
    select(func.count(devices.c.owner.distinct()))
    .where(devices.c.network == bindparam("network"))
    .where(devices.c.state == "active")
    .where(devices.c.owner != bindparam("not_of"))
)
_SET_MEMBER = (
    update(memberships)
    .where(memberships.c.network == bindparam("of"), memberships.c.member == bindparam("who"))
    .where(memberships.c.state == "active")
)
_SET_FLOOR = _SET_MEMBER.values(credit_floor=bindparam("amount"))
_SET_DAY = _SET_MEMBER.values(day_limit=bindparam("amount"))
_SET_TRUST = _SET_MEMBER.values(trusted=bindparam("trusted"))
_SET_DEVICE_DAY = (
    update(devices)
    .where(devices.c.network == bindparam("of"), devices.c.id == bindparam("which"))
    .where(devices.c.removed_ms.is_(None))
    .values(day_limit=bindparam("amount"))
)
_TERMS = Prepared(
    select(memberships.c.credit_floor, memberships.c.day_limit, memberships.c.trusted)
    .where(memberships.c.network == bindparam("network"))
    .where(memberships.c.member == bindparam("member"))
)


class Limits(NamedTuple):
    """Whose device it is, in which role, and what an admin set for either; None: nothing."""

    member: MemberId
    role: str
    of_member: int | None
    of_device: int | None


def asking_device(network: NetworkId, device: DeviceId) -> tuple[Prepared, dict[str, Any]]:
    """The query of what limits a device's jobs: a row (member, role, day_limit, device_limit), or none."""
    return _LIMITS, {"network": network, "device": device}


def of_device(store: Store, network: NetworkId, device: DeviceId) -> Limits | None:
    """The limits that a device's jobs are under; None for a device that is not of the network."""
    row = store.row(*asking_device(network, device))
    return None if row is None else Limits(*row)


def spent_by_device(store: Store, network: NetworkId, payer: MemberId, device: DeviceId, since_ms: int) -> int:
    """What permits of a device issued since cost so far: paid, or still held."""
    facts = {"network": network, "payer": payer, "device": device, "since": since_ms}
    return int(store.value(_SPENT_BY_DEVICE, facts))


def spent_by_member(store: Store, network: NetworkId, payer: MemberId, member: MemberId, since_ms: int) -> int:
    """The same over all devices of a person."""
    facts = {"network": network, "payer": payer, "member": member, "since": since_ms}
    return int(store.value(_SPENT_BY_MEMBER, facts))


def denied(store: Store, network: NetworkId, device: DeviceId) -> dict[MemberId, int]:
    """How often a requester denied work of each owner, as far as no admin cleared it."""
    rows = store.rows(_DENIED, {"network": network, "device": device})
    return {MemberId(row.other): int(row.times) for row in rows if row.other is not None}


def last_jobs(store: Store, network: NetworkId, device: DeviceId, most: int) -> Sequence[Any]:
    """A requester's newest attempts: (earner, denied)."""
    return store.rows(_LAST, {"network": network, "device": device, "most": most})


def last_jobs_with(store: Store, network: NetworkId, device: DeviceId, owner: MemberId, most: int) -> list[bool]:
    """A requester's newest attempts at devices of one owner: whether each was denied."""
    facts = {"network": network, "device": device, "owner": owner, "most": most}
    return [bool(row.denied) for row in store.rows(_LAST_WITH, facts)]


def owners_beside(store: Store, network: NetworkId, member: MemberId) -> int:
    """How many others own devices here."""
    return int(store.value(_OWNERS, {"network": network, "not_of": member}))


def terms_of(store: Store, network: NetworkId, member: MemberId) -> tuple[int | None, int | None, bool]:
    """A person's own floor and daily limit, where an admin set them, and whether one vouches for them."""
    row = store.row(_TERMS, {"network": network, "member": member})
    return (None, None, False) if row is None else (row[0], row[1], bool(row[2]))


def set_trust(store: Store, network: NetworkId, member: MemberId, trusted: bool) -> bool:
    """Vouch for a member, or no longer; False for one that is not in."""
    return store.run(_SET_TRUST, {"of": network, "who": member, "trusted": trusted}) == 1


def set_floor(store: Store, network: NetworkId, member: MemberId, floor: int | None) -> None:
    """Give a member a line of their own (None: the network's)."""
    store.run(_SET_FLOOR, {"of": network, "who": member, "amount": floor})


def set_day(store: Store, network: NetworkId, member: MemberId, limit: int | None) -> None:
    """Set what a member's jobs may cost in a day (None: their role's default)."""
    store.run(_SET_DAY, {"of": network, "who": member, "amount": limit})


def set_device_day(store: Store, network: NetworkId, device: DeviceId, limit: int | None) -> bool:
    """Set what a device's jobs may cost in a day (None: no limit); False for one that is not here."""
    return store.run(_SET_DEVICE_DAY, {"of": network, "which": device, "amount": limit}) == 1
