"""What is signed with a network's key: membership certificates and the State.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.coordinator.store import devices
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.ids import DeviceKey
from mesh.policies.decide import POLICY_VERSION
from mesh.protocol import signed
from mesh.protocol.papers import CERTIFICATE_LIFE_S, Certificate, NetworkKey, RelayInfo, State

REVOKED_KEPT_S = CERTIFICATE_LIFE_S + 86400.0
"""A revoked key is listed until the last certificate for it has expired, and a day for clocks that are off."""
KEYS_UNTIL_MS = 2**53 - 1
"""Keys count until they are rotated."""


class Roots(NamedTuple):
    """The public keys that a State names: the network's and the coordinator's."""

    network: DeviceKey
    coordinator: DeviceKey


def certify(device: Device, seed: bytes, *, serial: int, epoch: int, now_ms: int) -> Issued:
    """A membership certificate for a device, from now on for 7 days."""
    expires_ms = now_ms + int(CERTIFICATE_LIFE_S * 1000)
    paper = Certificate(
        network=device.network,
        device=device.id,
        name=device.name,
        key=device.key,
        owner=device.owner,
        serial=serial,
        epoch=epoch,
        issued_ms=now_ms,
        expires_ms=expires_ms,
        tags=device.tags,
    )
    return Issued(signed.sign(paper, seed), expires_ms)


def is_half_over(issued: Issued, now_ms: int) -> bool:
    """Whether a certificate should be renewed."""
    return issued.expires_ms - now_ms < CERTIFICATE_LIFE_S * 1000 / 2


def revoked_keys(store: Store, network: Network, *, now_ms: int) -> tuple[DeviceKey, ...]:
    """Keys whose devices were removed lately or are held, but for those that came back and were approved."""
    removed = devices.removed_keys(store, network.id, since_ms=now_ms - int(REVOKED_KEPT_S * 1000))
    back = {device.key for key in removed for device in devices.of_key(store, network.id, key) if _counts(device)}
    return tuple(sorted((set(removed) - back) | set(devices.held_keys(store, network.id))))


def state(
    network: Network,
    seed: bytes,
    *,
    coordinator: DeviceKey,
    revoked: tuple[DeviceKey, ...],
    relays: Sequence[RelayInfo],
    now_ms: int,
) -> str:
    """The signed State of a network."""
    paper = State(
        network=network.id,
        epoch=network.epoch,
        name=network.name,
        time_ms=now_ms,
        network_keys=(NetworkKey(network.key, network.created_ms, KEYS_UNTIL_MS),),
        coordinator_keys=(NetworkKey(coordinator, network.created_ms, KEYS_UNTIL_MS),),
        revoked=revoked,
        policy_version=POLICY_VERSION,
        relays=tuple(relays),
    )
    return signed.sign(paper, seed)


def _counts(device: Device) -> bool:
    return device.removed_ms is None and device.standing == "active"
