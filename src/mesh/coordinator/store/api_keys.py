"""Queries about API keys.

Touches: database (through the store it is given).
"""

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.api_keys import api_keys
from mesh.coordinator.store.schema.people import members
from mesh.ids import MemberId, NetworkId
from mesh.networks.api_keys import ApiKey

_COLUMNS = tuple(api_keys.c[name] for name in ApiKey.__struct_fields__)
_add = insert(api_keys)
_of_token = (
    select(*_COLUMNS, members.c.name.label("maker"))
    .join(members, members.c.id == api_keys.c.member)
    .where(api_keys.c.token_hash == bindparam("token_hash"), members.c.removed_ms.is_(None))
)
_one = select(*_COLUMNS).where(api_keys.c.id == bindparam("key"), api_keys.c.network == bindparam("network"))
_of_network = (
    select(*_COLUMNS)
    .where(api_keys.c.network == bindparam("network"), api_keys.c.revoked_ms.is_(None))
    .order_by(api_keys.c.id.desc())
)
_revoke = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("which"), api_keys.c.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("now"))
)
_revoke_of = (
    update(api_keys)
    .where(
        api_keys.c.network == bindparam("of_network"),
        api_keys.c.member == bindparam("of_member"),
        api_keys.c.revoked_ms.is_(None),
    )
    .values(revoked_ms=bindparam("now"))
)
_used = update(api_keys).where(api_keys.c.id == bindparam("which")).values(used_ms=bindparam("now"))


def add(store: Store, key: ApiKey, *, token_hash: str) -> None:
    """A new key; its secret only as SHA-256."""
    store.run(_add, {**msgspec.to_builtins(key), "token_hash": token_hash})


def of_token(store: Store, token_hash: str) -> tuple[ApiKey, str] | None:
    """The key that a secret belongs to, and its maker's name."""
    row = store.row(_of_token, {"token_hash": token_hash})
    return None if row is None else (_key(row), row.maker)


def get(store: Store, network: NetworkId, key: str) -> ApiKey | None:
    """One key of a network."""
    row = store.row(_one, {"key": key, "network": network})
    return None if row is None else _key(row)


def of_network(store: Store, network: NetworkId) -> list[ApiKey]:
    """The keys of a network that were not revoked, newest first."""
    return [_key(row) for row in store.rows(_of_network, {"network": network})]


def revoke(store: Store, key: str, *, now_ms: int) -> bool:
    """A key works no more; False where that was so already."""
    return store.run(_revoke, {"which": key, "now": now_ms}) == 1


def revoke_of(store: Store, network: NetworkId, member: MemberId, *, now_ms: int) -> None:
    """All keys of a member in a network work no more."""
    store.run(_revoke_of, {"of_network": network, "of_member": member, "now": now_ms})


def used(store: Store, key: str, *, now_ms: int) -> None:
    """A key was used."""
    store.run(_used, {"which": key, "now": now_ms})


def _key(row: Row[Any]) -> ApiKey:
    fields = {name: row._mapping[name] for name in ApiKey.__struct_fields__}
    return ApiKey(**{**fields, "scopes": tuple(fields["scopes"])})
