"""A device joins: the invite is used, the device is kept, its certificate is issued, in one transaction.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import codes, devices, networks, successions, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.networks.names import NameTaken, machine_name
from mesh.networks.pairing import OtherMachine
from mesh.networks.tokens import APPROVE_DEVICES, JoinToken, TokenUnknown, check_network, comes_in_approved, redeem
from mesh.protocol.values import Capability

Issue = Callable[[Device, int, int], Issued]
"""Makes a certificate from a device, its serial number and the network's epoch."""


class AlreadyJoined(MeshError):
    """This device is in that network already. Run `mesh up`; to start afresh, remove it first."""

    code = "device.already_joined"
    kind = "conflict"


class Asked(NamedTuple):
    """A device asks to join; it has proven its key. ``network_key``: the network that its link named, if it did."""

    secret_hash: str
    name: str
    key: DeviceKey
    capability: Capability | None
    network_key: DeviceKey | None = None


class Joined(NamedTuple):
    """The device as kept, its network, and its certificate unless it waits for approval."""

    device: Device
    network: Network
    certificate: Issued | None


def join(store: Store, asked: Asked, issue: Issue, moment: Moment) -> Joined:
    """Let a device in by its invite. The same device with the same invite gets the same answer and costs no use.

    A key that was removed from the network before is left pending, whatever the invite says.
    Raises AlreadyJoined, BadName, NameTaken, WrongNetwork, OtherMachine and what ``redeem`` raises; a refusal costs no
    use.
    """
    token = tokens.by_secret(store, asked.secret_hash)
    if token is None:
        raise TokenUnknown
    before = [] if token.network is None else devices.of_key(store, token.network, asked.key)
    here = next((device for device in before if device.removed_ms is None), None)
    if here is not None and here.token == token.id:
        return _again(store, here)
    redeem(token, purpose="device", now_ms=moment.now_ms)
    network = None if token.network is None else networks.get(store, token.network)
    if network is None:
        raise TokenUnknown
    _check_pinned(store, asked, network)
    paired = codes.pairing_of(store, token.id)
    if paired is not None and (paired.key, paired.name) != (asked.key, asked.name):
        raise OtherMachine
    if here is not None:
        raise AlreadyJoined(device=here.id)
    maker = None if token.maker is None else networks.role(store, network.id, token.maker)
    asks = bool(network.settings.get(APPROVE_DEVICES))
    approved = comes_in_approved(token, maker=maker, network_asks=asks) and not before
    device = _new_device(store, asked, token, approved=approved, moment=moment)
    tokens.use(store, token.id, now_ms=moment.now_ms)
    devices.add(store, device, approved_by=token.maker if device.standing == "active" else None, now_ms=moment.now_ms)
    if device.standing == "active" and before:
        network = network._replace(epoch=networks.next_epoch(store, network.id))
    certificate = certify(store, device, network, issue, moment) if device.standing == "active" else None
    return Joined(device, network, certificate)


def _check_pinned(store: Store, asked: Asked, network: Network) -> None:
    """The link named this network by its key, or by one that it had before. Raises WrongNetwork."""
    earlier = {change.old for change in successions.history(store, "network", network.id).changes}
    key = asked.network_key if asked.network_key in earlier else network.key
    check_network(pinned=asked.network_key, key=key)


def certify(store: Store, device: Device, network: Network, issue: Issue, moment: Moment) -> Issued:
    """Issue a device's next certificate and keep it."""
    known = successions.with_keys(store, device, now_ms=moment.now_ms)
    issued = issue(known, devices.next_serial(store, network.id), network.epoch)
    facts = (network.epoch, moment.now_ms)
    devices.add_certificate(store, device, issued, certificate_id=moment.new_id(), facts=facts)
    return issued


def _again(store: Store, device: Device) -> Joined:
    network = networks.get(store, device.network)
    assert network is not None
    return Joined(device, network, devices.certificate(store, device.id))


def _new_device(store: Store, asked: Asked, token: JoinToken, *, approved: bool, moment: Moment) -> Device:
    assert token.network is not None and token.maker is not None, "device tokens are made by members of a network"
    name = machine_name(asked.name or token.name)
    if devices.name_taken(store, token.network, name):
        raise NameTaken(name=name)
    return Device(
        id=DeviceId(moment.new_id()),
        network=token.network,
        owner=MemberId(token.maker),
        name=name,
        key=asked.key,
        standing="active" if approved else "pending",
        capability=asked.capability,
        token=token.id,
        seen_ms=None,
        removed_ms=None,
        joined_ms=moment.now_ms,
        tags=token.tags,
        leaves_after_s=token.leaves_after_s,
    )
