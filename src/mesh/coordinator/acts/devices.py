"""Letting a pending device in, taking one out, and remembering what it says of itself.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.join import Issue, Joined, certify
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import devices, networks, people
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.networks.membership import Permission, require
from mesh.protocol.values import Capability


class DeviceUnknown(MeshError):
    """There is no such device in this network. `mesh device list` shows those that are."""

    code = "device.not_found"
    kind = "not_found"


def approve(
    store: Store, network: NetworkId, device: DeviceId, *, by: MemberId, issue: Issue, moment: Moment
) -> Joined:
    """An admin lets a pending device in; a device that is in already stays as it is. Raises DeviceUnknown."""
    kept = _in_network(store, network, device)
    found = networks.get(store, network)
    assert found is not None
    if not devices.approve(store, device, by=by, now_ms=moment.now_ms):
        return Joined(kept, found, devices.certificate(store, device))
    if any(other.removed_ms is not None for other in devices.of_key(store, network, kept.key)):
        found = found._replace(epoch=networks.next_epoch(store, network))  # its key leaves the list of revoked ones
    kept = kept._replace(standing="active")
    return Joined(kept, found, certify(store, kept, found, issue, moment))


def remove(store: Store, network: NetworkId, device: DeviceId, *, by: MemberId, moment: Moment) -> Network:
    """Take a device out: its certificates and sessions end, the epoch grows. Its owner may, and admins.

    Raises DeviceUnknown, NotAllowed, NotMember. The network as it is afterwards is returned.
    """
    kept = _in_network(store, network, device)
    permission: Permission = "devices.remove_own" if kept.owner == by else "devices.remove_any"
    require(networks.role(store, network, by), permission)
    take_out(store, device, moment)
    epoch = networks.next_epoch(store, network)
    found = networks.get(store, network)
    assert found is not None and found.epoch == epoch
    return found


def take_out(store: Store, device: DeviceId, moment: Moment) -> None:
    """End a device, its certificates and its sessions; the caller has looked at who asks, and raises the epoch."""
    devices.remove(store, device, now_ms=moment.now_ms)
    people.end_device_sessions(store, device, now_ms=moment.now_ms)


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
