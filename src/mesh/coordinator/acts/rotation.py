"""A key follows another: the statement is checked against the key that counts, kept, and counts from then on.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.devices import DeviceUnknown
from mesh.coordinator.acts.join import Issue, certify
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, devices, networks, people, successions
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.successions import History
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId
from mesh.networks.membership import NotMember
from mesh.networks.rotation import Change, KeyInUse, check_next
from mesh.protocol.succession import COORDINATOR, KeyOf, Succession, read


class Turned(NamedTuple):
    """A device speaks with another key now; no certificate where it waits for approval.

    ``fresh`` is False where that was so before.
    """

    device: Device
    certificate: Issued | None
    fresh: bool


def turn_device(store: Store, device: DeviceId, statement: str, issue: Issue, moment: Moment) -> Turned:
    """A device replaces its key. The same statement again gets the same answer.

    Raises DeviceUnknown, ChainBroken, NotNext, KeyInUse, TooOften.
    """
    kept = devices.get(store, device)
    if kept is None or kept.removed_ms is not None:
        raise DeviceUnknown
    paper = read(statement, KeyOf("device", device, kept.network))
    known = successions.history(store, "device", device)
    if paper.new == kept.key and statement in known.statements[-1:]:
        now = successions.with_keys(store, kept, now_ms=moment.now_ms)
        return Turned(now, devices.certificate(store, device), fresh=False)
    check_next(known.changes, kept.key, _change(paper, moment))
    if successions.key_known(store, paper.new):
        raise KeyInUse
    successions.turn_device(store, kept, paper.new, now_ms=moment.now_ms)
    successions.add(store, paper, statement, at_ms=moment.now_ms)
    now = successions.with_keys(store, kept._replace(key=paper.new), now_ms=moment.now_ms)
    network = networks.get(store, kept.network)
    if network is None:
        raise DeviceUnknown
    issued = certify(store, now, network, issue, moment) if now.standing == "active" else None
    return Turned(now, issued, fresh=True)


def turn_network(
    store: Store, network: NetworkId, statement: str, by: MemberId, moment: Moment
) -> tuple[Network, History]:
    """An admin replaces a network's key: its epoch grows. Raises NotMember, ChainBroken, NotNext and more."""
    found = networks.get(store, network)
    if found is None:
        raise NotMember
    paper = read(statement, KeyOf("network", network, network))
    check_next(successions.history(store, "network", network).changes, found.key, _change(paper, moment))
    successions.set_network_key(store, network, paper.new)
    successions.add(store, paper, statement, at_ms=moment.now_ms)
    decisions.add(store, network, by, ("network.rotate_key", network), {"number": paper.number}, moment.now_ms)
    epoch = networks.next_epoch(store, network)
    return found._replace(key=paper.new, epoch=epoch), successions.history(store, "network", network)


def turn_coordinator(store: Store, statement: str, by: MemberId, moment: Moment) -> tuple[list[Network], History]:
    """The operator replaces the coordinator's key: every network's State and log say so.

    Raises ChainBroken, NotNext, and so on.
    """
    installed = people.installed(store)
    assert installed is not None, "a coordinator that runs is installed"
    paper = read(statement, COORDINATOR)
    check_next(successions.history(store, "coordinator", "").changes, installed.coordinator_key, _change(paper, moment))
    successions.set_coordinator_key(store, paper.new)
    successions.add(store, paper, statement, at_ms=moment.now_ms)
    for network in networks.every(store):
        networks.next_epoch(store, network.id)
        about = ("coordinator.rotate_key", network.id)
        decisions.add(store, network.id, by, about, {"number": paper.number}, moment.now_ms)
    return networks.every(store), successions.history(store, "coordinator", "")


def grace_over(store: Store, network: NetworkId) -> Network | None:
    """The grace of keys in a network has ended: its State names them as revoked from now on."""
    networks.next_epoch(store, network)
    return networks.get(store, network)


def installed_key(store: Store) -> DeviceKey | None:
    """The key that this database takes for the coordinator's; None in a fresh one."""
    installed = people.installed(store)
    return None if installed is None else installed.coordinator_key


def key_that_counts(store: Store, network: NetworkId | None) -> DeviceKey:
    """The key that the database names: a network's, or (None) the coordinator's. Raises NotMember."""
    if network is None:
        installed = people.installed(store)
        assert installed is not None, "a coordinator that runs is installed"
        return installed.coordinator_key
    found = networks.get(store, network)
    if found is None:
        raise NotMember
    return found.key


def histories(store: Store) -> dict[str, History]:
    """How the keys of all networks, and the coordinator's (under ""), came to be the current ones."""
    found = {str(network.id): successions.history(store, "network", network.id) for network in networks.every(store)}
    return {"": successions.history(store, "coordinator", ""), **found}


def _change(paper: Succession, moment: Moment) -> Change:
    return Change(paper.number, paper.old, paper.new, moment.now_ms)
