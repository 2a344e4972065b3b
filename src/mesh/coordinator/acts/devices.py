"""Letting a pending device in, naming one anew, taking one out, and remembering what it says of itself.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.join import Issue, Joined, certify
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import decisions, devices, networks, people
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.devices.copies import COPIED, Start, is_copy
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.networks.membership import Permission, require
from mesh.networks.names import NameTaken, machine_name
from mesh.protocol.values import Capability


class DeviceUnknown(MeshError):
    """There is no such device in this network. `mesh device list` shows those that are."""

    code = "device.not_found"
    kind = "not_found"


def approve(
    store: Store, network: NetworkId, device: DeviceId, *, by: MemberId, issue: Issue, moment: Moment
) -> Joined:
    """An admin lets a pending device in; a device that is in already stays as it is. Raises DeviceUnknown.

    A device that was held starts anew: whichever of its copies is on the link from now on is the one that counts.
    """
    kept = _in_network(store, network, device)
    found = networks.get(store, network)
    assert found is not None
    if not devices.approve(store, device, by=by, now_ms=moment.now_ms):
        return Joined(kept, found, devices.certificate(store, device))
    if kept.held is not None:
        devices.set_started(store, device, Start())
    if kept.held is not None or any(other.removed_ms is not None for other in devices.of_key(store, network, kept.key)):
        found = found._replace(epoch=networks.next_epoch(store, network))  # its key leaves the list of revoked ones
    decisions.add(store, network, by, ("device.approve", device), {"held": kept.held}, moment.now_ms)
    kept = kept._replace(standing="active", held=None, started=Start() if kept.held else kept.started)
    return Joined(kept, found, certify(store, kept, found, issue, moment))


def remove(store: Store, network: NetworkId, device: DeviceId, *, by: MemberId, moment: Moment) -> Network:
    """Take a device out: its certificates and sessions end, the epoch grows. Its owner may, and admins.

    Raises DeviceUnknown, NotAllowed, NotMember. The network as it is afterwards is returned.
    """
    kept = _in_network(store, network, device)
    permission: Permission = "devices.remove_own" if kept.owner == by else "devices.remove_any"
    require(networks.role(store, network, by), permission)
    take_out(store, device, moment)
    if kept.owner != by:
        decisions.add(store, network, by, ("device.remove", device), {"owner": kept.owner}, moment.now_ms)
    epoch = networks.next_epoch(store, network)
    found = networks.get(store, network)
    assert found is not None and found.epoch == epoch
    return found


def rename(
    store: Store, network: NetworkId, device: DeviceId, name: str, issue: Issue, by: tuple[MemberId, Moment]
) -> tuple[Device, Issued | None]:
    """Call a device something else. Its owner may, and admins. The name that it has already changes nothing.

    Its certificate names it, so that it gets a fresh one unless it waits for approval; the ones before end here.
    Raises DeviceUnknown, NotAllowed, NotMember, BadName, NameTaken.
    """
    (who, moment), kept = by, _in_network(store, network, device)
    permission: Permission = "devices.steer_own" if kept.owner == who else "devices.steer_any"
    require(networks.role(store, network, who), permission)
    if machine_name(name) == kept.name:
        return kept, None
    if devices.name_taken(store, network, name):
        raise NameTaken(name=name)
    devices.rename(store, device, name, now_ms=moment.now_ms)
    if kept.owner != who:
        decisions.add(store, network, who, ("device.rename", device), {"owner": kept.owner}, moment.now_ms)
    renamed, found = kept._replace(name=name), networks.get(store, network)
    assert found is not None
    return renamed, certify(store, renamed, found, issue, moment) if renamed.standing == "active" else None


def take_out(store: Store, device: DeviceId, moment: Moment) -> None:
    """End a device, its certificates and its sessions; the caller has looked at who asks, and raises the epoch."""
    devices.remove(store, device, now_ms=moment.now_ms)
    people.end_device_sessions(store, device, now_ms=moment.now_ms)


def leave(store: Store, device: DeviceId, moment: Moment) -> tuple[Device, Network] | None:
    """An ephemeral device was away for long: it is taken out. None where it is out already."""
    kept = devices.get(store, device)
    if kept is None or kept.removed_ms is not None:
        return None
    take_out(store, device, moment)
    networks.next_epoch(store, kept.network)
    found = networks.get(store, kept.network)
    return None if found is None else (kept, found)


def started(store: Store, device: DeviceId, start: Start, moment: Moment) -> tuple[Device, Network | None]:
    """A device says which start of its home speaks; one that cannot be the known home's is held until approved.

    Returns the device as it is now, and its network if that changed because of it. Raises DeviceUnknown.
    """
    kept = devices.get(store, device)
    if kept is None or kept.removed_ms is not None:
        raise DeviceUnknown
    if not is_copy(kept.started, start):
        devices.set_started(store, device, start)
        return kept._replace(started=start), None
    if not devices.hold(store, device, why=COPIED, now_ms=moment.now_ms):
        # Held already; perhaps nobody was told, since the link that found it was cut in that moment.
        return kept, networks.get(store, kept.network) if kept.held is not None else None
    people.end_device_sessions(store, device, now_ms=moment.now_ms)
    networks.next_epoch(store, kept.network)
    return kept._replace(standing="pending", held=COPIED), networks.get(store, kept.network)


def renew(store: Store, device: DeviceId, issue: Issue, moment: Moment) -> tuple[Device, Issued] | None:
    """Issue a device's next certificate; None where it was removed meanwhile."""
    kept = devices.get(store, device)
    if kept is None or kept.standing != "active":
        return None
    network = networks.get(store, kept.network)
    if network is None:
        return None
    return kept, certify(store, kept, network, issue, moment)


def report_capability(store: Store, device: DeviceId, capability: Capability) -> None:
    """A device said what it is."""
    devices.set_capability(store, device, capability)


def _in_network(store: Store, network: NetworkId, device: DeviceId) -> Device:
    kept = devices.get(store, device)
    if kept is None or kept.network != network or kept.removed_ms is not None:
        raise DeviceUnknown
    return kept
