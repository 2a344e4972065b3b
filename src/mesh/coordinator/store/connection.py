"""How SQLite is opened here: the settings that make it keep what it was told, and the typed view that acts get.

Python's default transactions silently lose updates when two connections read before they write; so the driver's own
transactions are off (``isolation_level=None``) and writers say ``BEGIN IMMEDIATE`` themselves.

Touches: files (the database).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, NullPool, Row, create_engine

BUSY_S = 5.0  # only a stray sqlite3 shell or a backup can hold the file: our own writer is alone
STATEMENTS_KEPT = 512  # prepared statements per connection; the coordinator has well under 200
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file with this project's settings; ``read_only`` connections cannot write at all."""
    mode = "ro" if read_only else "rwc"
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_KEPT,
    )
    for pragma in _PRAGMAS[1:] if read_only else _PRAGMAS:
        raw.execute(f"PRAGMA {pragma}").close()
    return raw


def engine_for(path: Path, *, read_only: bool = False) -> Engine:
    """An engine whose connections are opened by ``connect``, one each time it is asked."""
    return create_engine("sqlite://", creator=lambda: connect(path, read_only=read_only), poolclass=NullPool)


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection beneath SQLAlchemy's."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


class Store:
    """What an act or a reader sees of the database: statements in, rows out, inside a transaction somebody else opened.

    It never commits. Statements are built once, at module level, so that their compiled form is found in the cache.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: Executable, parameters: Parameters = None) -> int:
        """Execute a change, once per set of parameters; returns how many rows it touched."""
        result = self._connection.execute(statement, parameters)
        return result.rowcount

    def rows(self, statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return self._connection.execute(statement, parameters).all()

    def row(self, statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
        """The first row of a query, or None."""
        return self._connection.execute(statement, parameters).first()

    def value(self, statement: Executable, parameters: Parameters = None) -> Any:
        """The first column of the first row, or None where there is no row."""
        row = self._connection.execute(statement, parameters).first()
        return None if row is None else row[0]
