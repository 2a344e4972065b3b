"""Making a network and changing what it is set to.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping
from typing import Any

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership, Network
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.jobs.weights import changed, terms_of
from mesh.networks import domains, retention
from mesh.networks.applicants import APPROVE_PEOPLE
from mesh.networks.domains import DomainRole
from mesh.networks.membership import NotMember
from mesh.networks.names import NameTaken, machine_name
from mesh.networks.tokens import APPROVE_DEVICES

PERMITS_PER_MEMBER_MAX = 1_000_000
"""More is no limit."""


class BadSetting(MeshError):
    """A setting has no such value. The credit line is `friends` or `strict`."""

    code = "network.bad_setting"
    kind = "invalid"


def make(store: Store, *, network: NetworkId, key: DeviceKey, name: str, maker: MemberId, moment: Moment) -> Network:
    """A new network with safe defaults; its maker is its first admin. Raises BadName, NameTaken."""
    machine_name(name)
    if networks.by_name(store, name) is not None:
        raise NameTaken(name=name)
    made = Network(network, name, key, 1, "friends", maker, moment.now_ms)
    networks.add(store, made)
    networks.add_membership(store, network, maker, role="admin", invited_by=None, now_ms=moment.now_ms)
    return made


def first_membership(network: Network) -> Membership:
    """The membership that comes with a new network."""
    return Membership(network.id, network.created_by, "admin")


def set_terms(
    store: Store,
    network: NetworkId,
    terms: tuple[Mapping[str, float] | None, int | None],
    *,
    by: MemberId,
    moment: Moment,
) -> Network:
    """Change on which terms jobs are placed: weights, and permits per member (0: no limit). None leaves one as it is.

    Raises BadWeights, BadSetting, NotMember.
    """
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    weights, permits_per_member = terms
    settings, facts = dict(known.settings), dict[str, Any]()
    if weights is not None:
        settings["weights"] = changed(terms_of(settings).weights, weights)._asdict()
        facts["weights"] = dict(weights)
    if permits_per_member is not None:
        if not 0 <= permits_per_member <= PERMITS_PER_MEMBER_MAX:
            raise BadSetting(f"permits_per_member is 1 to {PERMITS_PER_MEMBER_MAX}, or 0 for no limit.")
        settings["permits_per_member"] = permits_per_member or None
        facts["permits_per_member"] = permits_per_member
    networks.set_settings(store, network, settings)
    decisions.add(store, network, by, ("network.terms", network), facts, moment.now_ms)
    return known._replace(settings=settings)


def set_retention(
    store: Store, network: NetworkId, days: tuple[int | None, int | None], *, by: MemberId, moment: Moment
) -> Network:
    """How many days job records and decisions are kept; None leaves one as it is. Raises BadRetention, NotMember."""
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    kept = retention.changed(retention.retention_of(known.settings), *days)
    settings = {**known.settings, retention.SETTING: kept._asdict()}
    networks.set_settings(store, network, settings)
    decisions.add(store, network, by, ("network.retention", network), kept._asdict(), moment.now_ms)
    return known._replace(settings=settings)


def set_approval(store: Store, network: NetworkId, on: bool, *, by: MemberId, moment: Moment) -> Network:
    """Whether devices wait for an admin, unless an admin invited them; who is in stays in. Raises NotMember."""
    return _switch(store, network, APPROVE_DEVICES, on, (by, moment))


def set_people_wait(store: Store, network: NetworkId, on: bool, *, by: MemberId, moment: Moment) -> Network:
    """Whether people wait for an admin, by whichever way they come. Switched off, who waits goes on waiting: an admin
    has seen neither them nor this change. Raises NotMember.
    """
    return _switch(store, network, APPROVE_PEOPLE, on, (by, moment))


def list_domain(
    store: Store, network: NetworkId, domain: str, role: DomainRole, *, by: MemberId, moment: Moment
) -> Network:
    """Let in whoever shows an address in a domain, as this role, from now on.

    Raises BadDomain, TooManyDomains, NotMember.
    """
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    name = domains.domain_to_admit(domain)
    settings = domains.with_domain(known.settings, name, role, by)
    networks.set_settings(store, network, settings)
    facts = {"domain": name, "role": role}
    decisions.add(store, network, by, ("network.domain", network), facts, moment.now_ms)
    return known._replace(settings=settings)


def drop_domain(store: Store, network: NetworkId, domain: str, *, by: MemberId, moment: Moment) -> Network:
    """Let nobody in by a domain any more; who came by it stays. Raises DomainUnknown, NotMember."""
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    name = domains.normal(domain) or domain
    settings = domains.without_domain(known.settings, name)
    networks.set_settings(store, network, settings)
    decisions.add(store, network, by, ("network.domain", network), {"domain": name, "role": None}, moment.now_ms)
    return known._replace(settings=settings)


def _switch(store: Store, network: NetworkId, name: str, on: bool, who: tuple[MemberId, Moment]) -> Network:
    by, moment = who
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    settings = {**known.settings, name: on}
    networks.set_settings(store, network, settings)
    decisions.add(store, network, by, (f"network.{name}", network), {"to": on}, moment.now_ms)
    return known._replace(settings=settings)
