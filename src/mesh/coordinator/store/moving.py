"""Moving an installation to another database: every row of every table, compared on both sides before it counts.

Touches: files, sockets (both databases).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, func, insert, select

from mesh.coordinator.store import audit, networks, sealing
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
    """How many rows of how many tables are in the new database, each as it was; how many networks' ledgers were derived
    again on both sides, and ``wrong``: those of them that contradict themselves, here as they did there.
    """

    tables: int
    rows: int
    networks: int
    wrong: tuple[NetworkId, ...] = ()


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
    sums = []
    for at, table in enumerate(tables):
        progress(table.name, at / (2 * len(tables)))
        total = 0
        for part in _parts(old.connection, table):
            new.connection.execute(insert(table), [dict(row._mapping) for row in part])
            total += _sum(part)
            rows += len(part)
        sums.append(total % _SUMS)
    for at, (table, total) in enumerate(zip(tables, sums, strict=True)):
        progress(f"{table.name}, compared", 0.5 + at / (2 * len(tables)))
        if sum(_sum(part) for part in _parts(new.connection, table)) % _SUMS != total:
            raise CopyDiffers(table=table.name)
    new.whole(tables)
    progress("ledgers, derived again", 0.99)
    wrong = [(network.id, _same(old, new, network.id)) for network in networks.every(old)]
    return Moved(len(tables), rows, len(wrong), tuple(network for network, fault in wrong if fault))


def _same(old: Store, new: Store, network: NetworkId) -> bool:
    """Derive a ledger again on both sides, chain and sums; whether it is wrong. Raises CopyDiffers if they disagree."""
    there, here = (
        (sealing.head(side, network), sealing.first_broken(side, network), audit.first_wrong(side, network))
        for side in (old, new)
    )
    if there != here:
        raise CopyDiffers(table="postings", network=network)
    return any(fault is not None for fault in here[1:])


def _parts(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """The rows of a table, some at a time, in whatever order the database has them."""
    found = connection.execute(select(table), execution_options={"yield_per": ROWS})
    yield from found.partitions()


_SUMS = 2**128


def _sum(rows: Sequence[Row[Any]]) -> int:
    """A sum of hashes of rows, the same in whatever order they come and whichever database they come from."""
    total = 0
    for row in rows:
        told = json.dumps([_plain(value) for value in row], sort_keys=True, default=repr)
        total += int.from_bytes(hashlib.blake2b(told.encode(), digest_size=16).digest())
    return total


def _plain(value: Any) -> Any:
    """A value as both databases tell it: one keeps JSON as it was written, the other its numbers."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _count(connection: Connection, table: object) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]
