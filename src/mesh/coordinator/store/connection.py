"""The typed view of the database that acts get, and statements that are rendered once for each engine.

Statements on the path of a job are ``Prepared``: built with SQLAlchemy, rendered once, then run on the driver itself,
which costs a fifth of going through SQLAlchemy each time (measured in benchmarks/ledger_settle.py).

Touches: database (through the connection it is given).
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import ClauseElement

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
_Rendered = tuple[str, dict[str, Any], Callable[[Iterable[Any]], Any]]

_DIALECTS: Mapping[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.psycopg.dialect(paramstyle="pyformat"),  # type: ignore[no-untyped-call]
}

Act = TypeVar("Act", bound=Callable[..., Any])


def side_by_side(act: Act) -> Act:
    """Declare an act that is right beside others like it, since it locks what it decides on (``Store.lock``).

    All other acts run alone where an engine could run several at once, and may be written as if they always were.
    """
    act.side_by_side = True  # type: ignore[attr-defined]
    return act


class Prepared:
    """A statement whose text is rendered once per engine. ``columns``: which columns an insert fills.

    Only for columns whose Python values the drivers take as they are (text, whole numbers, truth values), and without
    lists in ``IN``: both need SQLAlchemy's own execution. ``others``: what another engine says instead.
    """

    def __init__(
        self,
        statement: ClauseElement,
        columns: Iterable[str] | None = None,
        others: Mapping[str, ClauseElement] | None = None,
    ) -> None:
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._others = others or {}
        self._rendered: dict[str, _Rendered] = {}

    def rendered(self, engine: str) -> _Rendered:
        """The SQL, the values that are part of it, and what makes a named row of a result's tuple."""
        known = self._rendered.get(engine)
        if known is None:
            statement = self._others.get(engine, self._statement)
            compiled: Any = statement.compile(dialect=_DIALECTS[engine], column_keys=self._columns)
            constants = {name: bind.effective_value for bind, name in compiled.bind_names.items() if not bind.required}
            columns = [column.keyname for column in compiled._result_columns or ()]
            row: Any = namedtuple
            known = str(compiled), constants, row("Found", columns, rename=True)._make
            self._rendered[engine] = known
        return known


def adding(table: Table, *columns: str) -> Prepared:
    """A prepared insert of these columns."""
    return Prepared(insert(table), columns)


def adding_once(table: Table, *columns: str) -> Prepared:
    """A prepared insert that does nothing where the row is there already (rowcount 0)."""
    others = {"postgresql": postgresql.insert(table).on_conflict_do_nothing()}
    return Prepared(sqlite.insert(table).on_conflict_do_nothing(), columns, others)


class Store:
    """What an act or a reader sees of the database: statements in, rows out, inside a transaction somebody else opened.

    ``alone``: no other transaction writes meanwhile, so that nothing needs a lock.
    """

    def __init__(self, connection: Connection, *, alone: bool = True) -> None:
        self.connection = connection
        self.alone = alone
        self._engine = connection.dialect.name
        self._raw: Any = connection.connection.driver_connection

    def run(self, statement: Executable | Prepared, parameters: Parameters = None) -> int:
        """Execute a change, once per set of parameters; returns how many rows it touched."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).rowcount
        sql, constants, _ = statement.rendered(self._engine)
        if isinstance(parameters, Sequence):
            cursor = self._raw.cursor()
            cursor.executemany(sql, [{**constants, **each} for each in parameters])
            return int(cursor.rowcount)
        return int(self._raw.execute(sql, {**constants, **(parameters or {})}).rowcount)

    def rows(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a query, as named tuples."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).all()
        sql, constants, make = statement.rendered(self._engine)
        return [make(row) for row in self._raw.execute(sql, {**constants, **(parameters or {})})]

    def row(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any | None:
        """The first row of a query as a named tuple, or None."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).first()
        sql, constants, make = statement.rendered(self._engine)
        row = self._raw.execute(sql, {**constants, **(parameters or {})}).fetchone()
        return None if row is None else make(row)

    def value(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None where there is no row."""
        row = self.row(statement, parameters)
        return None if row is None else row[0]

    def lock(self, statement: Prepared, parameters: Mapping[str, Any]) -> None:
        """Lock the rows of a ``select … for update`` until the transaction ends; nothing to do for who is alone."""
        if not self.alone:
            self.rows(statement, parameters)
