"""Queries about keys that followed one another: of devices, of networks, of the coordinator.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from mesh.coordinator.store import devices
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.devices import Device
from mesh.coordinator.store.schema.devices import device_keys
from mesh.coordinator.store.schema.networks import networks
from mesh.coordinator.store.schema.people import installation
from mesh.coordinator.store.schema.successions import successions
from mesh.ids import DeviceId, DeviceKey, NetworkId
from mesh.networks.rotation import GRACE_MS, Change, former
from mesh.protocol.succession import CHAIN_MAX, Purpose, Succession

_of = (
    select(successions.c.number, successions.c.old, successions.c.new, successions.c.at_ms, successions.c.statement)
    .where(successions.c.purpose == bindparam("purpose"), successions.c.subject == bindparam("subject"))
    .order_by(successions.c.number)
)
_add = insert(successions)
_end_key = (
    update(device_keys)
    .where(device_keys.c.device == bindparam("which"), device_keys.c.valid_to_ms.is_(None))
    .values(valid_to_ms=bindparam("until"))
)
_add_key = insert(device_keys)
_key_known = select(device_keys.c.device).where(device_keys.c.key == bindparam("key"))
_network_key = update(networks).where(networks.c.id == bindparam("which")).values(network_key=bindparam("to"))
_coordinator_key = update(installation).values(coordinator_key=bindparam("to"))


class History(NamedTuple):
    """All changes of one key in order, and their statements as the two keys signed them."""

    changes: tuple[Change, ...] = ()
    statements: tuple[str, ...] = ()

    @property
    def chain(self) -> tuple[str, ...]:
        """The newest statements, as many as anybody follows."""
        return self.statements[-CHAIN_MAX:]

    @property
    def since_ms(self) -> int:
        """Since when the current key counts; 0 where it is the first."""
        return self.changes[-1].at_ms if self.changes else 0


def history(store: Store, purpose: Purpose, subject: str) -> History:
    """How a key came to be the current one."""
    rows = store.rows(_of, {"purpose": purpose, "subject": subject})
    changes = tuple(Change(row.number, row.old, row.new, row.at_ms) for row in rows)
    return History(changes, tuple(row.statement for row in rows))


def add(store: Store, paper: Succession, statement: str, *, at_ms: int) -> None:
    """Keep a statement that was checked."""
    store.run(
        _add,
        {
            "purpose": paper.purpose,
            "subject": paper.subject,
            "number": paper.number,
            "old": paper.old,
            "new": paper.new,
            "statement": statement,
            "at_ms": at_ms,
        },
    )


def key_known(store: Store, key: DeviceKey) -> bool:
    """Whether a key is, or was, any device's."""
    return store.row(_key_known, {"key": key}) is not None


def turn_device(store: Store, device: Device, key: DeviceKey, *, now_ms: int) -> None:
    """From now on ``key`` speaks for a device; the one before it is good for its grace."""
    store.run(_end_key, {"which": device.id, "until": now_ms + GRACE_MS})
    store.run(_add_key, {"device": device.id, "key": key, "valid_from_ms": now_ms})


def set_network_key(store: Store, network: NetworkId, key: DeviceKey) -> None:
    """From now on ``key`` signs for a network."""
    store.run(_network_key, {"which": network, "to": key})


def set_coordinator_key(store: Store, key: DeviceKey) -> None:
    """From now on ``key`` is the coordinator's."""
    store.run(_coordinator_key, {"to": key})


def with_keys(store: Store, device: Device, *, now_ms: int) -> Device:
    """A device with the number of its key, and its earlier keys that are still good."""
    known = history(store, "device", device.id)
    if not known.changes:
        return device
    return device._replace(
        key_number=known.changes[-1].number, former=former(known.changes, now_ms, began_ms=device.joined_ms)
    )


def good_keys(store: Store, device: Device | None, *, now_ms: int) -> tuple[DeviceKey, ...]:
    """The keys that speak for a device now: its own, and those in their grace. None of one that was removed."""
    if device is None or device.removed_ms is not None:
        return ()
    return (device.key, *(one.key for one in with_keys(store, device, now_ms=now_ms).former))


def keys_since(store: Store, device: DeviceId, since_ms: int) -> tuple[DeviceKey, ...]:
    """All keys that were good for a device at some time since then; none where its key was never replaced."""
    keys: dict[DeviceKey, None] = {}
    for change in history(store, "device", device).changes:
        if change.at_ms + GRACE_MS > since_ms:
            keys[change.old] = keys[change.new] = None
    return tuple(keys)


def live_devices(store: Store, *, now_ms: int) -> list[Device]:
    """All devices that were not removed, with their earlier keys."""
    return [with_keys(store, device, now_ms=now_ms) for device in devices.live(store)]
