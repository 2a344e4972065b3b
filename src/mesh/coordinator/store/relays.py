"""Queries about relays that joined by a link of their own.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.devices import relays
from mesh.ids import DeviceId, DeviceKey, TokenId

_COLUMNS = (relays.c.id, relays.c.key, relays.c.name, relays.c.url, relays.c.token)
_live = select(*_COLUMNS).where(relays.c.removed_ms.is_(None)).order_by(relays.c.id)
_of_key = select(*_COLUMNS).where(relays.c.key == bindparam("key"), relays.c.removed_ms.is_(None))
_add = insert(relays)
_moved = update(relays).where(relays.c.id == bindparam("which")).values(url=bindparam("at"))


class Relay(NamedTuple):
    """A relay of the installation; ``url`` is empty until it has said where it is."""

    id: DeviceId
    key: DeviceKey
    name: str
    url: str
    token: TokenId | None


def live(store: Store) -> list[Relay]:
    """The relays that were not removed."""
    return [Relay._make(row) for row in store.rows(_live)]


def of_key(store: Store, key: DeviceKey) -> Relay | None:
    """The relay with a key."""
    row = store.row(_of_key, {"key": key})
    return None if row is None else Relay._make(row)


def add(store: Store, relay: Relay, *, now_ms: int) -> None:
    """A relay joins."""
    store.run(_add, {**relay._asdict(), "joined_ms": now_ms})


def set_url(store: Store, relay: DeviceId, url: str) -> None:
    """Where a relay is reached."""
    store.run(_moved, {"which": relay, "at": url})
