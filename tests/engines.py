"""The engines that tests of the store run on: fixtures that give each test an empty database of its own.

Touches: files, processes, sockets (databases).
"""

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mesh.coordinator.store.opening import open_database
from pg_server import Server, from_wheel, of_system


class Place(NamedTuple):
    """Where a database is: a file, or the address of one on a server; ``server`` can be killed and started again."""

    where: Path | str
    server: Server | None = None


Given = Callable[[Path], Place]
ENGINES = ["on_sqlite", "on_postgres", *(["on_old_postgres"] if of_system() else [])]
"""Fixtures by name: SQLite, the wheel's PostgreSQL, and the system's, which covers the oldest that is promised."""


@functools.cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "mesh.db"
        open_database(made).close()
        return made.read_bytes()


def with_tables(path: Path) -> Path:
    """A SQLite file with this version's tables, as the migrations made them once in this process, unless there is one.

    Making them takes 0.1 s of CPU and dozens of syncs; the suite opens hundreds of databases.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_tables())
    return path


@pytest.fixture
def on_sqlite() -> Given:
    return lambda folder: Place(with_tables(folder / "mesh.db"))


@pytest.fixture(scope="session")
def _wheel() -> Iterator[Server]:
    server = Server(from_wheel())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _system() -> Iterator[Server]:
    binaries = of_system()
    assert binaries is not None
    server = Server(binaries)
    yield server
    server.stop()


@pytest.fixture
def on_postgres(_wheel: Server) -> Given:
    return lambda folder: Place(_wheel.url(), _wheel)


@pytest.fixture
def on_old_postgres(_system: Server) -> Given:
    return lambda folder: Place(_system.url(), _system)
