"""Giving people another role, and letting them go with all their devices.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.devices import take_out as take_out_device
from mesh.coordinator.acts.leaving import burn_left_behind
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import api_keys, decisions, deletions, devices, networks, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device
from mesh.coordinator.store.networks import Membership, Network
from mesh.ids import MemberId, NetworkId
from mesh.networks import membership
from mesh.networks.membership import NotMember, require
from mesh.protocol.values import Role


class Gone(NamedTuple):
    """Who went, with which devices, and the network as it is afterwards."""

    member: MemberId
    devices: tuple[Device, ...]
    network: Network


def change_role(
    store: Store, network: NetworkId, member: MemberId, role: Role, by: MemberId, moment: Moment
) -> Membership:
    """Give a member another role; the same again changes nothing. A guest who becomes a member has the allowance, once.

    Raises NotMember, LastAdmin.
    """
    before = _roles(store, network)
    membership.change_role(before, member, role, deletions.waiting(store))
    if before[member] != role:
        networks.set_role(store, network, member, role)
        if role != "guest":
            ledger.welcome(store, network, member, by, moment)
        facts = {"from": before[member], "to": role}
        decisions.add(store, network, by, ("member.role", member), facts, moment.now_ms)
    return next(each for each in networks.everybody(store) if (each.network, each.member) == (network, member))


def remove(store: Store, network: NetworkId, member: MemberId, *, by: MemberId, moment: Moment) -> Gone:
    """Let a member go, or leave oneself: their devices are removed, their links withdrawn, their credits burnt.

    Raises NotAllowed, NotMember, LastAdmin.
    """
    roles = _roles(store, network)
    require(roles.get(by), "members.leave" if by == member else "members.change")
    membership.change_role(roles, member, None, deletions.waiting(store))
    return take_out(store, network, member, by=by, moment=moment)


def take_out(store: Store, network: NetworkId, member: MemberId, *, by: MemberId, moment: Moment) -> Gone:
    """End a membership with all that hangs on it; the caller has looked at who asks. Raises NotMember."""
    theirs = tuple(each for each in devices.live(store) if (each.network, each.owner) == (network, member))
    for device in theirs:
        take_out_device(store, device.id, moment)
    tokens.revoke_made_by(store, network, member, now_ms=moment.now_ms)
    api_keys.revoke_of(store, network, member, now_ms=moment.now_ms)
    networks.end_membership(store, network, member, now_ms=moment.now_ms)
    burn_left_behind(store, moment, 1)
    facts = {"devices": len(theirs), "self": by == member}
    decisions.add(store, network, by, ("member.remove", member), facts, moment.now_ms)
    networks.next_epoch(store, network)
    after = networks.get(store, network)
    if after is None:
        raise NotMember
    return Gone(member, theirs, after)


def _roles(store: Store, network: NetworkId) -> dict[MemberId, Role]:
    return {person.member: person.role for person in networks.people(store, network)}
