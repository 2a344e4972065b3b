"""Queries about devices: who they are, their keys, their certificates.

Touches: database (through the store it is given).
"""

from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Row, bindparam, func, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.devices import certificates, device_keys, devices
from mesh.devices.copies import Start
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId, TokenId
from mesh.networks.rotation import Former
from mesh.protocol.values import Capability

Standing = Literal["pending", "active", "revoked"]

_COLUMNS = (
    devices.c.id,
    devices.c.network,
    devices.c.owner,
    devices.c.name,
    device_keys.c.key,
    devices.c.state,
    devices.c.capability,
    devices.c.token,
    devices.c.seen_ms,
    devices.c.removed_ms,
    devices.c.joined_ms,
    devices.c.tags,
    devices.c.leaves_after_s,
    devices.c.installation,
    devices.c.start,
    devices.c.held,
    devices.c.quarantined_ms,
)
_with_key = (
    select(*_COLUMNS)
    .join(device_keys, device_keys.c.device == devices.c.id)
    .where(device_keys.c.valid_to_ms.is_(None))
)  # fmt: skip
_live = _with_key.where(devices.c.removed_ms.is_(None)).order_by(devices.c.id)
_one = _with_key.where(devices.c.id == bindparam("device"))
_of_key = (
    select(*_COLUMNS)
    .join(device_keys, device_keys.c.device == devices.c.id)
    .where(device_keys.c.key == bindparam("key"), devices.c.network == bindparam("network"))
)
_named = select(devices.c.id).where(
    devices.c.network == bindparam("network"), devices.c.name == bindparam("name"), devices.c.removed_ms.is_(None)
)
_add = insert(devices)
_add_key = insert(device_keys)
_approve = (
    update(devices)
    .where(devices.c.id == bindparam("which"), devices.c.state == "pending")
    .values(
        state="active",
        held=None,
        approved_by=bindparam("by"),
        approved_ms=bindparam("now"),
    )
)
_hold = (
    update(devices)
    .where(devices.c.id == bindparam("which"), devices.c.state == "active")
    .values(state="pending", held=bindparam("why"))
)
_started = (
    update(devices)
    .where(devices.c.id == bindparam("which"))
    .values(installation=bindparam("count"), start=bindparam("word"))
)
_remove = (
    update(devices)
    .where(devices.c.id == bindparam("which"), devices.c.removed_ms.is_(None))
    .values(state="revoked", removed_ms=bindparam("now"))
)
_rename = update(devices).where(devices.c.id == bindparam("which")).values(name=bindparam("to"))
_capability = update(devices).where(devices.c.id == bindparam("which")).values(capability=bindparam("what"))
_seen = update(devices).where(devices.c.id == bindparam("which")).values(seen_ms=bindparam("at"))
_ended_since = (
    select(device_keys.c.key)
    .join(devices, devices.c.id == device_keys.c.device)
    .where(
        devices.c.network == bindparam("network"), device_keys.c.valid_to_ms > bindparam("since"),
        device_keys.c.valid_to_ms <= bindparam("now"),
    )
)  # fmt: skip
_removed_since = (
    select(device_keys.c.key)
    .join(devices, devices.c.id == device_keys.c.device)
    .where(devices.c.network == bindparam("network"), devices.c.removed_ms > bindparam("since"))
    .order_by(device_keys.c.key)
)
_held = (
    select(device_keys.c.key)
    .join(devices, devices.c.id == device_keys.c.device)
    .where(
        devices.c.network == bindparam("network"), devices.c.held.is_not(None), devices.c.removed_ms.is_(None),
    )
)  # fmt: skip
_certify = insert(certificates)
_count = select(func.count()).where(certificates.c.network == bindparam("network"))
_certificate = (
    select(certificates.c.signed, certificates.c.expires_ms)
    .where(certificates.c.device == bindparam("device"), certificates.c.revoked_ms.is_(None))
    .order_by(certificates.c.expires_ms.desc())
    .limit(1)
)
_revoke_certificates = (
    update(certificates)
    .where(certificates.c.device == bindparam("which"), certificates.c.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("now"))
)


class Device(NamedTuple):
    """A device as it is kept; ``capability`` as it last reported it."""

    id: DeviceId
    network: NetworkId
    owner: MemberId
    name: str
    key: DeviceKey
    standing: Standing
    capability: Capability | None
    token: TokenId | None
    seen_ms: int | None
    removed_ms: int | None
    joined_ms: int = 0
    tags: tuple[str, ...] = ()
    leaves_after_s: int | None = None
    started: Start = Start()
    held: str | None = None
    key_number: int = 0
    """How often its key was replaced; with ``former``, its earlier keys that are still good, where it was asked for."""
    former: tuple[Former, ...] = ()
    quarantined: bool = False
    """Checks found it wrong: it works for nobody but its owner until an admin releases it."""


class Issued(NamedTuple):
    """A membership certificate as it was issued."""

    signed: str
    expires_ms: int


def live(store: Store) -> list[Device]:
    """All devices that were not removed, of all networks."""
    return [_device(row) for row in store.rows(_live)]


def get(store: Store, device: DeviceId) -> Device | None:
    """One device, removed or not."""
    row = store.row(_one, {"device": device})
    return None if row is None else _device(row)


def of_key(store: Store, network: NetworkId, key: DeviceKey) -> list[Device]:
    """The devices that a key speaks or spoke for in a network, each with that key."""
    return [_device(row) for row in store.rows(_of_key, {"network": network, "key": key})]


def name_taken(store: Store, network: NetworkId, name: str) -> bool:
    """Whether a live device has this name."""
    return store.row(_named, {"network": network, "name": name}) is not None


def add(store: Store, device: Device, *, approved_by: MemberId | None, now_ms: int) -> None:
    """A device joins; ``approved_by`` None leaves it pending."""
    store.run(
        _add,
        {
            "id": device.id,
            "network": device.network,
            "owner": device.owner,
            "name": device.name,
            "state": device.standing,
            "capability": msgspec.to_builtins(device.capability),
            "token": device.token,
            "tags": list(device.tags),
            "leaves_after_s": device.leaves_after_s,
            "approved_by": approved_by,
            "approved_ms": now_ms if approved_by else None,
            "joined_ms": now_ms,
        },
    )
    store.run(_add_key, {"device": device.id, "key": device.key, "valid_from_ms": now_ms})


def approve(store: Store, device: DeviceId, *, by: MemberId, now_ms: int) -> bool:
    """Let a pending device in; False where it was not pending."""
    return store.run(_approve, {"which": device, "by": by, "now": now_ms}) == 1


def remove(store: Store, device: DeviceId, *, now_ms: int) -> bool:
    """Take a device out, with its certificates; False where it was out already."""
    store.run(_revoke_certificates, {"which": device, "now": now_ms})
    return store.run(_remove, {"which": device, "now": now_ms}) == 1


def rename(store: Store, device: DeviceId, name: str, *, now_ms: int) -> None:
    """Call a device something else; its certificates, which name it as it was, end."""
    store.run(_revoke_certificates, {"which": device, "now": now_ms})
    store.run(_rename, {"which": device, "to": name})


def hold(store: Store, device: DeviceId, *, why: str, now_ms: int) -> bool:
    """Put a device back to pending and end its certificates; False where it was not active."""
    store.run(_revoke_certificates, {"which": device, "now": now_ms})
    return store.run(_hold, {"which": device, "why": why}) == 1


def set_started(store: Store, device: DeviceId, start: Start) -> None:
    """The newest start of a device's home."""
    store.run(_started, {"which": device, "count": start.installation, "word": start.word})


def ended_keys(store: Store, network: NetworkId, *, since_ms: int, now_ms: int) -> list[DeviceKey]:
    """Keys that others followed, whose grace ended after ``since_ms``: certificates for them may still be about."""
    return [row[0] for row in store.rows(_ended_since, {"network": network, "since": since_ms, "now": now_ms})]


def held_keys(store: Store, network: NetworkId) -> list[DeviceKey]:
    """Keys of devices that were put back to pending: they count for nobody until an admin approves."""
    return [row[0] for row in store.rows(_held, {"network": network})]


def set_capability(store: Store, device: DeviceId, capability: Capability) -> None:
    """What a device reported of itself."""
    store.run(_capability, {"which": device, "what": msgspec.to_builtins(capability)})


def set_seen(store: Store, seen: list[tuple[DeviceId, int]]) -> None:
    """When devices were last heard of."""
    if seen:
        store.run(_seen, [{"which": device, "at": at} for device, at in seen])


def removed_keys(store: Store, network: NetworkId, *, since_ms: int) -> list[DeviceKey]:
    """Keys of devices removed after ``since_ms``, sorted; a key may meanwhile speak for a device that came back."""
    return [row[0] for row in store.rows(_removed_since, {"network": network, "since": since_ms})]


def next_serial(store: Store, network: NetworkId) -> int:
    """The serial number of a network's next certificate, from 1."""
    return 1 + int(store.value(_count, {"network": network}))


def add_certificate(
    store: Store, device: Device, issued: Issued, *, certificate_id: str, facts: tuple[int, int]
) -> None:
    """Keep a certificate as issued; ``facts``: the epoch it was issued in, and when (milliseconds)."""
    store.run(
        _certify,
        {
            "id": certificate_id,
            "network": device.network,
            "device": device.id,
            "key": device.key,
            "epoch": facts[0],
            "signed": issued.signed,
            "issued_ms": facts[1],
            "expires_ms": issued.expires_ms,
        },
    )


def certificate(store: Store, device: DeviceId) -> Issued | None:
    """A device's longest-lived certificate that was not revoked."""
    row = store.row(_certificate, {"device": device})
    return None if row is None else Issued._make(row)


def _device(row: Row[Any]) -> Device:
    capability = None if row.capability is None else msgspec.convert(row.capability, Capability)
    return Device(
        id=row.id,
        network=row.network,
        owner=row.owner,
        name=row.name,
        key=row.key,
        standing=row.state,
        capability=capability,
        token=row.token,
        seen_ms=row.seen_ms,
        removed_ms=row.removed_ms,
        joined_ms=row.joined_ms,
        tags=tuple(row.tags),
        leaves_after_s=row.leaves_after_s,
        started=Start(row.installation, row.start),
        held=row.held,
        quarantined=row.quarantined_ms is not None,
    )
