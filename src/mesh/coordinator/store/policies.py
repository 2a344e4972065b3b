"""Queries about the versions of a network's policy.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.networks import policies
from mesh.coordinator.store.schema.people import members
from mesh.ids import MemberId, NetworkId

VERSIONS_MAX = 100
"""Versions in one answer, newest first."""

_add = insert(policies)
_columns = (policies.c.version, policies.c.text, policies.c.note, policies.c.by, members.c.name, policies.c.at_ms)
_all = (
    select(*_columns)
    .join(members, members.c.id == policies.c.by)
    .where(policies.c.network == bindparam("network"))
    .order_by(policies.c.version.desc())
    .limit(VERSIONS_MAX)
)
_one = (
    select(*_columns)
    .join(members, members.c.id == policies.c.by)
    .where(policies.c.network == bindparam("network"), policies.c.version == bindparam("version"))
)


class Version(NamedTuple):
    """One version: what was written, why, by whom (and what they are called), and when."""

    version: int
    text: str
    note: str
    by: MemberId
    name: str
    at_ms: int


def add(store: Store, network: NetworkId, version: Version) -> None:
    """Keep a version."""
    row = version._asdict()
    del row["name"]
    store.run(_add, {"network": network, **row})


def get(store: Store, network: NetworkId, version: int) -> Version | None:
    """One version."""
    row = store.row(_one, {"network": network, "version": version})
    return None if row is None else Version._make(row)


def versions(store: Store, network: NetworkId) -> list[Version]:
    """The newest versions, newest first."""
    return [Version._make(row) for row in store.rows(_all, {"network": network})]
