"""What is signed with a network's key: membership certificates and the State.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.coordinator.store import devices, successions
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.successions import History
from mesh.credits import tariff
from mesh.ids import DeviceKey
from mesh.networks.rotation import former
from mesh.policies.stored import policy_of
from mesh.protocol import signed
from mesh.protocol.papers import (
    CERTIFICATE_LIFE_S,
    STATE_SUCCESSIONS_MAX,
    Certificate,
    NetworkKey,
    RelayInfo,
    State,
)

REVOKED_KEPT_S = CERTIFICATE_LIFE_S + 86400.0
"""A revoked key is listed until the last certificate for it has expired, and a day for clocks that are off."""
KEYS_UNTIL_MS = 2**53 - 1
"""Keys count until they are rotated."""


class Roots(NamedTuple):
    """The coordinator's public key, how its and the network's key followed earlier ones, the signed ledger head."""

    coordinator: DeviceKey
    network_history: History = History()
    coordinator_history: History = History()
    ledger_head: str | None = None


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
        key_number=device.key_number,
        former=tuple(NetworkKey(*one) for one in device.former),
    )
    return Issued(signed.sign(paper, seed), expires_ms)


def is_due(issued: Issued, *, key_since_ms: int, now_ms: int) -> bool:
    """Whether a certificate should be renewed: half of its life is over, or an earlier network key has signed it."""
    life_ms = CERTIFICATE_LIFE_S * 1000
    return issued.expires_ms - now_ms < life_ms / 2 or issued.expires_ms - life_ms < key_since_ms


def revoked_keys(store: Store, network: Network, *, now_ms: int) -> tuple[DeviceKey, ...]:
    """Keys whose devices were removed lately or are held, and those that others followed, once their grace is over.

    A key does not count as such where a device has come back with it and was approved.
    """
    since_ms = now_ms - int(REVOKED_KEPT_S * 1000)
    removed = set(devices.removed_keys(store, network.id, since_ms=since_ms))
    removed |= set(devices.ended_keys(store, network.id, since_ms=since_ms, now_ms=now_ms))
    back = {key for key in removed if _counts(store, network, key, now_ms=now_ms)}
    return tuple(sorted((removed - back) | set(devices.held_keys(store, network.id))))


def state(
    network: Network,
    seed: bytes,
    *,
    roots: Roots,
    revoked: tuple[DeviceKey, ...],
    relays: Sequence[RelayInfo],
    now_ms: int,
) -> str:
    """The signed State of a network."""
    policies = policy_of(network.settings)
    paper = State(
        network=network.id,
        epoch=network.epoch,
        name=network.name,
        time_ms=now_ms,
        network_keys=_keys(network.key, roots.network_history, network, now_ms=now_ms),
        coordinator_keys=_keys(roots.coordinator, roots.coordinator_history, network, now_ms=now_ms),
        revoked=revoked,
        policy_version=policies.version,
        policy=policies.policy,
        relays=tuple(relays),
        ledger_head=roots.ledger_head,
        successions=roots.network_history.statements[-STATE_SUCCESSIONS_MAX:],
        tariff=tariff.told(network.tariff),
    )
    return signed.sign(paper, seed)


def _keys(current: DeviceKey, history: History, network: Network, *, now_ms: int) -> tuple[NetworkKey, ...]:
    """The keys that count, those in their grace first."""
    before = former(history.changes, now_ms, began_ms=network.created_ms)
    since_ms = history.since_ms or network.created_ms
    return (*(NetworkKey(*one) for one in before), NetworkKey(current, since_ms, KEYS_UNTIL_MS))


def _counts(store: Store, network: Network, key: DeviceKey, *, now_ms: int) -> bool:
    """Whether a device that is in now speaks with a key."""
    for found in devices.of_key(store, network.id, key):
        device = devices.get(store, found.id)
        active = device is not None and device.standing == "active"
        if active and key in successions.good_keys(store, device, now_ms=now_ms):
            return True
    return False
