"""How SQLite is opened here: the settings that make it keep what it was told, and the typed view that acts get.

Statements on the path of a job are ``Prepared``: built with SQLAlchemy, rendered once, then run on the driver itself,
which costs a fifth of going through SQLAlchemy each time (measured in benchmarks/ledger_settle.py).

Python's default transactions silently lose updates when two connections read before they write; so the driver's own
transactions are off (``isolation_level=None``) and writers say ``BEGIN IMMEDIATE`` themselves.

Touches: files (the database).
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, NullPool, Table, create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.expression import ClauseElement

BUSY_S = 5.0  # only a stray sqlite3 shell or a backup can hold the file: our own writer is alone
STATEMENTS_KEPT = 512  # prepared statements per connection; the coordinator has well under 200
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")

_DIALECT = sqlite.dialect(paramstyle="named")

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


class Prepared:
    """A statement whose text is rendered once. ``columns``: which columns an insert fills.

    Only for columns whose Python values the driver takes as they are (text, whole numbers, truth values), and without
    lists in ``IN``: both need SQLAlchemy's own execution.
    """

    def __init__(self, statement: ClauseElement, columns: Iterable[str] | None = None) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)

    @cached_property
    def rendered(self) -> tuple[str, dict[str, Any], Callable[[Iterable[Any]], Any]]:
        """The SQL, the values that are part of it, and what makes a named row of a result's tuple."""
        compiled: Any = self._statement.compile(dialect=_DIALECT, column_keys=self._columns)
        constants = {name: bind.effective_value for bind, name in compiled.bind_names.items() if not bind.required}
        columns = [column.keyname for column in compiled._result_columns or ()]
        row: Any = namedtuple
        return str(compiled), constants, row("Found", columns, rename=True)._make


def adding(table: Table, *columns: str) -> Prepared:
    """A prepared insert of these columns."""
    return Prepared(insert(table), columns)


def adding_once(table: Table, *columns: str) -> Prepared:
    """A prepared insert that does nothing where the row is there already (rowcount 0)."""
    return Prepared(insert(table).on_conflict_do_nothing(), columns)


class Store:
    """What an act or a reader sees of the database: statements in, rows out, inside a transaction somebody else opened.

    It never commits. Statements are built once, at module level, so that their compiled form is found in the cache.
    """

    __slots__ = ("_connection", "_raw")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = driver(connection)

    def run(self, statement: Executable | Prepared, parameters: Parameters = None) -> int:
        """Execute a change, once per set of parameters; returns how many rows it touched."""
        if not isinstance(statement, Prepared):
            return self._connection.execute(statement, parameters).rowcount
        sql, constants, _ = statement.rendered
        if isinstance(parameters, Sequence):
            return self._raw.executemany(sql, [{**constants, **each} for each in parameters]).rowcount
        return self._raw.execute(sql, {**constants, **(parameters or {})}).rowcount

    def rows(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a query, as named tuples."""
        if not isinstance(statement, Prepared):
            return self._connection.execute(statement, parameters).all()
        sql, constants, make = statement.rendered
        return [make(row) for row in self._raw.execute(sql, {**constants, **(parameters or {})})]

    def row(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any | None:
        """The first row of a query as a named tuple, or None."""
        if not isinstance(statement, Prepared):
            return self._connection.execute(statement, parameters).first()
        sql, constants, make = statement.rendered
        row = self._raw.execute(sql, {**constants, **(parameters or {})}).fetchone()
        return None if row is None else make(row)

    def value(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None where there is no row."""
        row = self.row(statement, parameters)
        return None if row is None else row[0]
