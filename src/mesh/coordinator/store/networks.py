"""Queries about networks and who is in them: networks, memberships.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.ledger import tariffs
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.coordinator.store.schema.people import members
from mesh.credits.tariff import SHIPPED, Price, Tariff
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.networks.applicants import MembershipState
from mesh.protocol.values import Role

_COLUMNS = (
    networks.c.id,
    networks.c.name,
    networks.c.network_key,
    networks.c.epoch,
    networks.c.credit_line,
    networks.c.created_by,
    networks.c.created_ms,
    networks.c.settings,
    tariffs.c.version,
    tariffs.c.rates,
    tariffs.c.made_ms,
)
_live = (
    select(*_COLUMNS)
    .outerjoin(tariffs, and_(tariffs.c.network == networks.c.id, tariffs.c.version == networks.c.tariff_version))
    .where(networks.c.deleted_ms.is_(None))
)
_all = _live.order_by(networks.c.id)
_one = _live.where(networks.c.id == bindparam("network"))
_by_name = select(networks.c.id).where(networks.c.name == bindparam("name"), networks.c.deleted_ms.is_(None))
_add = insert(networks)
_next_epoch = (
    update(networks).where(networks.c.id == bindparam("which")).values(epoch=networks.c.epoch + 1)
)  # fmt: skip
_credit_line = update(networks).where(networks.c.id == bindparam("which")).values(credit_line=bindparam("line"))
_settings = update(networks).where(networks.c.id == bindparam("which")).values(settings=bindparam("what"))
_join = insert(memberships)
_come_back = (
    update(memberships)
    .where(memberships.c.network == bindparam("of"), memberships.c.member == bindparam("who"))
    .values(
        role=bindparam("as_role"),
        state="active",
        invited_by=bindparam("by"),
        approved_by=bindparam("by"),
        credit_floor=None,
        day_limit=None,
        trusted=False,
        joined_ms=bindparam("now"),
        approved_ms=bindparam("now"),
        removed_ms=None,
        invite_name=None,
        address=None,
        ended=None,
        why=None,
    )
)
_ended = select(memberships.c.removed_ms).where(
    memberships.c.network == bindparam("network"),
    memberships.c.member == bindparam("member"),
    memberships.c.state == "removed",
)
_state = select(memberships.c.state).where(
    memberships.c.network == bindparam("network"), memberships.c.member == bindparam("member")
)
_set_role = (
    update(memberships)
    .where(memberships.c.network == bindparam("of"), memberships.c.member == bindparam("who"))
    .values(role=bindparam("as_role"))
)
_end = (
    update(memberships)
    .where(memberships.c.network == bindparam("of"), memberships.c.member == bindparam("who"))
    .values(state="removed", removed_ms=bindparam("now"))
)
_end_network = (
    update(networks)
    .where(networks.c.id == bindparam("which"))
    .values(deleted_ms=bindparam("now"), name=bindparam("called"))
)
_role = select(memberships.c.role).where(
    memberships.c.network == bindparam("network"),
    memberships.c.member == bindparam("member"),
    memberships.c.state == "active",
)
_people = (
    select(memberships.c.member, members.c.name, memberships.c.role)
    .join(members, members.c.id == memberships.c.member)
    .where(memberships.c.network == bindparam("network"), memberships.c.state == "active")
    .order_by(memberships.c.joined_ms, memberships.c.member)
)
_everybody = select(memberships.c.network, memberships.c.member, memberships.c.role, memberships.c.invited_by).where(
    memberships.c.state == "active"
)


_of_member = (
    select(memberships.c.network)
    .join(networks, networks.c.id == memberships.c.network)
    .where(memberships.c.member == bindparam("member"), memberships.c.state == "active")
    .where(networks.c.deleted_ms.is_(None))
    .order_by(memberships.c.network)
)

_ever = select(memberships.c.network).where(memberships.c.member == bindparam("member")).order_by(memberships.c.network)


class Network(NamedTuple):
    """A live network. ``epoch`` grows with everything that its signed State says.

    ``settings``: what its admins set apart from the credit line (``jobs.weights.terms_of`` reads it). ``tariff``: the
    prices in force; ``priced_ms``: since when, None for those that it began with.
    """

    id: NetworkId
    name: str
    key: DeviceKey
    epoch: int
    credit_line: str
    created_by: MemberId
    created_ms: int
    settings: Mapping[str, Any] = MappingProxyType({})
    tariff: Tariff = SHIPPED
    priced_ms: int | None = None


class Person(NamedTuple):
    """A member of a network."""

    member: MemberId
    name: str
    role: Role


class Membership(NamedTuple):
    """Who is in which network, as what, and by whose invite; ``pending``: not yet, an admin must let them in."""

    network: NetworkId
    member: MemberId
    role: Role
    invited_by: MemberId | None = None
    state: MembershipState = "active"


def every(store: Store) -> list[Network]:
    """All live networks, oldest first."""
    return [_network(row) for row in store.rows(_all)]


def get(store: Store, network: NetworkId) -> Network | None:
    """One network, unless it was deleted."""
    row = store.row(_one, {"network": network})
    return None if row is None else _network(row)


def by_name(store: Store, name: str) -> NetworkId | None:
    """Which live network has a name."""
    found: NetworkId | None = store.value(_by_name, {"name": name})
    return found


def add(store: Store, network: Network) -> None:
    """A new network."""
    store.run(
        _add,
        {
            "id": network.id,
            "name": network.name,
            "network_key": network.key,
            "epoch": network.epoch,
            "credit_line": network.credit_line,
            "created_by": network.created_by,
            "created_ms": network.created_ms,
        },
    )


def next_epoch(store: Store, network: NetworkId) -> int:
    """Something in the State changed: the new epoch."""
    store.run(_next_epoch, {"which": network})
    found = get(store, network)
    assert found is not None, "only live networks change"
    return found.epoch


def set_credit_line(store: Store, network: NetworkId, line: str) -> None:
    """``friends`` or ``strict``."""
    store.run(_credit_line, {"which": network, "line": line})


def set_settings(store: Store, network: NetworkId, settings: Mapping[str, Any]) -> None:
    """All that its admins set, as a whole."""
    store.run(_settings, {"which": network, "what": dict(settings)})


def add_membership(
    store: Store, network: NetworkId, member: MemberId, *, role: Role, invited_by: MemberId | None, now_ms: int
) -> None:
    """A person comes into a network."""
    store.run(
        _join,
        {
            "network": network,
            "member": member,
            "role": role,
            "state": "active",
            "invited_by": invited_by,
            "approved_by": invited_by or member,
            "joined_ms": now_ms,
            "approved_ms": now_ms,
        },
    )


def come_back(store: Store, who: Membership, *, now_ms: int) -> None:
    """A person who was in a network before is in it again: terms that an admin set for them are gone."""
    values = {"of": who.network, "who": who.member, "as_role": who.role, "by": who.invited_by or who.member}
    store.run(_come_back, {**values, "now": now_ms})


def state(store: Store, network: NetworkId, member: MemberId) -> MembershipState | None:
    """Whether a person is in a network, waits, or was in it; None: neither."""
    found: MembershipState | None = store.value(_state, {"network": network, "member": member})
    return found


def ended_ms(store: Store, network: NetworkId, member: MemberId) -> int | None:
    """When a person's membership ended; None where they never were in the network, or are."""
    found: int | None = store.value(_ended, {"network": network, "member": member})
    return found


def set_role(store: Store, network: NetworkId, member: MemberId, role: Role) -> None:
    """Give a person another role."""
    store.run(_set_role, {"of": network, "who": member, "as_role": role})


def end_membership(store: Store, network: NetworkId, member: MemberId, *, now_ms: int) -> None:
    """A person is in the network no more; their balance and history stay."""
    store.run(_end, {"of": network, "who": member, "now": now_ms})


def end(store: Store, network: NetworkId, *, now_ms: int) -> None:
    """A network is no more: its last person went. Its name is free again, and forgotten; its ledger stays."""
    store.run(_end_network, {"which": network, "now": now_ms, "called": f"ended-{network[-12:].lower()}"})


def role(store: Store, network: NetworkId, member: MemberId) -> Role | None:
    """A person's role in a network; None for a stranger."""
    found: Role | None = store.value(_role, {"network": network, "member": member})
    return found


def people(store: Store, network: NetworkId) -> list[Person]:
    """Who is in a network, first come first."""
    return [Person._make(row) for row in store.rows(_people, {"network": network})]


def of_member(store: Store, member: MemberId) -> list[NetworkId]:
    """The live networks that a person is in."""
    return [NetworkId(row.network) for row in store.rows(_of_member, {"member": member})]


def ever_of_member(store: Store, member: MemberId) -> list[NetworkId]:
    """The networks that a person is in, was in, or whose end they were."""
    return [NetworkId(row.network) for row in store.rows(_ever, {"member": member})]


def everybody(store: Store) -> list[Membership]:
    """All memberships of the installation."""
    return [Membership(*row) for row in store.rows(_everybody)]


def tariff_of(version: int | None, rates: Mapping[str, Any]) -> Tariff:
    """A version of a tariff as it is kept in ``rates``; None: the one that every network starts with."""
    if version is None:
        return SHIPPED
    prices = {workload: Price(*price) for workload, price in rates["prices"].items()}
    return Tariff(version, prices, int(rates["fee_ppm"]))


def _network(row: Any) -> Network:
    version, rates, priced_ms = row[-3:]
    return Network._make((*row[:-3], tariff_of(version, rates), priced_ms))
