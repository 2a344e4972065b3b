"""Moving an installation to another database: every row of every table, compared on both sides before it counts.

Touches: files, sockets (both databases).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from mesh.coordinator.store import networks, sealing
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.schema import METADATA
from mesh.errors import MeshError
from mesh.ids import NetworkId

ROWS = 500
"""Rows copied at a time: a few hundred KiB."""


class TargetNotEmpty(MeshError):
    """There is an installation in that database already, and nothing was changed. Name an empty one."""

    code = "store.target_not_empty"
    kind = "conflict"


class CopyDiffers(MeshError):
    """What arrived is not what was there; the target was left empty. Try again, and please report it."""

    code = "store.copy_differs"


class Moved(NamedTuple):
    """How many rows of how many tables are in the new database; networks whose ledgers are sealed as they were."""

    tables: int
    rows: int
    networks: int


def move(source: Path | str, target: str | Path, progress: Callable[[str, float], None]) -> Moved:
    """Copy an installation, in one transaction of the target. The source is only read, and stays.

    The coordinator must not run: a SQLite file is locked meanwhile. Raises StoreInUse, StoreUrl, StoreUnreachable,
    TargetNotEmpty, CopyDiffers.
    """
    with open_database(source) as old, open_database(target) as new:
        return new.write_and_wait(lambda store: old.read_and_wait(lambda there: _copy(there, store, progress)))


def _copy(old: Store, new: Store, progress: Callable[[str, float], None]) -> Moved:
    """All tables, parents first. An error leaves the target as it was: nothing of this is committed."""
    tables, rows = METADATA.sorted_tables, 0
    if any(_count(new.connection, table) for table in tables):
        raise TargetNotEmpty
    for at, table in enumerate(tables):
        progress(table.name, at / len(tables))
        found = old.connection.execute(select(table))
        while part := found.mappings().fetchmany(ROWS):
            new.connection.execute(insert(table), [dict(row) for row in part])
            rows += len(part)
    for table in tables:
        if _count(old.connection, table) != _count(new.connection, table):
            raise CopyDiffers(table=table.name)
    live = [network.id for network in networks.every(old)]
    for network in live:
        _compare(old, new, network)
    return Moved(len(tables), rows, len(live))


def _compare(old: Store, new: Store, network: NetworkId) -> None:
    """The chain is derived anew from what arrived: it ends in the same head only if not a sign of it changed."""
    if sealing.head(old, network) != sealing.head(new, network) or sealing.first_broken(new, network) is not None:
        raise CopyDiffers(table="postings", network=network)


def _count(connection: Connection, table: object) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]
