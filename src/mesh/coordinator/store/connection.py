"""The typed view of the database that acts get, and statements that are rendered once for each engine.

Statements on the path of a job are ``Prepared``: built with SQLAlchemy, rendered once, then run on the driver itself,
which costs a fifth of going through SQLAlchemy each time (measured in benchmarks/ledger_settle.py).

Touches: database (through the connection it is given).
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BindParameter, Connection, Executable, Table, Update, column, insert, table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg
from sqlalchemy.sql.expression import ClauseElement

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
_Rendered = tuple[str, dict[str, Any], Callable[[Iterable[Any]], Any]]
_PSYCOPG: Any = postgresql.psycopg.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]

_DIALECTS: Mapping[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": _PSYCOPG,
}

Act = TypeVar("Act", bound=Callable[..., Any])


def side_by_side(act: Act) -> Act:
    """Declare an act that is right beside others like it, since it locks what it decides on (``Store.lock``).

    All other acts run alone where an engine could run several at once, and may be written as if they always were.
    """
    act.side_by_side = True  # type: ignore[attr-defined]
    return act


def several_of(one: Callable[..., Any], group: Callable[..., Any] | None = None) -> Callable[[Act], Act]:
    """Declare an act that does at once, in one transaction, what ``one`` does for each of several callers.

    It takes the arguments of each, as tuples, and returns what each gets, in order: a result, an error whose caller
    changed nothing, or BY_ITSELF for one that is to be done alone after all. Where it raises, all are done alone. Only
    those come together for whose arguments ``group`` is the same. SQLite, which commits many acts at once anyway, does
    not ask for it.
    """

    def declared(act: Act) -> Act:
        one.several = act  # type: ignore[attr-defined]
        one.group = group or (lambda *_: None)  # type: ignore[attr-defined]
        return act

    return declared


BY_ITSELF = object()
"""What an act for several callers returns for one that is to be done alone."""


_ROWS = table("q", column("at"))
"""Sets of values as rows, numbered from 1: what a statement for many of them reads from."""


class _OfRows(PGCompiler_psycopg):
    """Renders a value that a statement is asked with as that column of ``q``, and notes its type in ``asked``."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **options: Any) -> str:
        if not bindparam.required:
            return str(super().visit_bindparam(bindparam, *args, **options))  # type: ignore[no-untyped-call]
        self.__dict__.setdefault("asked", {})[bindparam.key] = bindparam.type
        return f'q."{bindparam.key}"'


_OF_ROWS: Any = postgresql.psycopg.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
_OF_ROWS.statement_compiler = _OfRows
_encoder = msgspec.json.Encoder()


class _Many(NamedTuple):
    """A statement of PostgreSQL for many sets of values, which go to it as one JSON text; and the values within it."""

    text: str
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, types: Mapping[str, Any], statement: str, constants: Mapping[str, Any]) -> "_Many":
        """A statement that reads from ``q``, whose columns have these types."""
        columns = "".join(f', "{name}" {type_.compile(dialect=_PSYCOPG)}' for name, type_ in types.items())
        rows = f"SELECT * FROM json_to_recordset(%(rows_)s::json) AS q(at BIGINT{columns})"  # noqa: S608
        return cls(f"WITH q AS ({rows}) {statement}", constants)

    def asked(self, rows: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Its text, and what the driver is given with it."""
        numbered = [{"at": at, **row} for at, row in enumerate(rows, 1)]
        return self.text, {**self.constants, "rows_": _encoder.encode(numbered).decode()}


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
        self._of_many: _Many | None = None
        self._of_several: _Many | None = None

    def of_many(self, rows: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]] | None:
        """One statement of PostgreSQL that inserts all these rows, or changes a row for each set of values (never one
        twice), and its values; None for what is neither.

        Its text is the same for any number of rows, so that the server plans it once.
        """
        if self._of_many is None:
            if self._columns is not None:
                self._of_many = self._inserting(self._columns)
            elif isinstance(self._statement, Update):
                self._of_many = self._of_rows(self._statement.where(_ROWS.c.at.is_not(None)), "{}")
            else:
                return None
        return self._of_many.asked(rows)

    def _inserting(self, columns: list[str]) -> "_Many":
        table = self._statement.table  # type: ignore[attr-defined]
        quoted = _PSYCOPG.identifier_preparer.quote
        names = ", ".join(map(quoted, columns))
        again = " ON CONFLICT DO NOTHING" if self._others else ""
        into = f"INSERT INTO {quoted(table.name)} ({names}) SELECT {names} FROM q{again}"  # noqa: S608
        return _Many.of({one: table.c[one].type for one in columns}, into, {})

    def _of_rows(self, statement: ClauseElement, around: str) -> "_Many":
        """A statement whose values are those of ``q``, in the middle of another one."""
        compiled: Any = statement.compile(dialect=_OF_ROWS)
        constants = {name: bind.effective_value for bind, name in compiled.bind_names.items() if not bind.required}
        return _Many.of(compiled.asked, around.format(compiled), constants)

    def of_several(self, asked: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        """One query of PostgreSQL that is this one for each set of values, in their order: rows with its place before.

        Each is looked up by itself, so that the plan is that of one; OFFSET 0 keeps the planner from joining them all.
        """
        if self._of_several is None:
            self._of_several = self._of_rows(self._statement, "SELECT q.at, r.* FROM q, LATERAL ({} OFFSET 0) r")
        return self._of_several.asked(asked)

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


WAYS = ("hashjoin", "mergejoin", "seqscan", "bitmapscan")
"""Of PostgreSQL: ways to read that are not along an index, row by row."""
_BY_INDEX = "select " + ", ".join(f"set_config('enable_{way}', 'off', true)" for way in WAYS)
_FREELY = _BY_INDEX.replace("'off'", "'on'")


def adding(table: Table, *columns: str) -> Prepared:
    """A prepared insert of these columns."""
    return Prepared(insert(table), columns)


def adding_once(table: Table, *columns: str) -> Prepared:
    """A prepared insert that does nothing where the row is there already (rowcount 0)."""
    others = {"postgresql": postgresql.insert(table).on_conflict_do_nothing()}
    return Prepared(sqlite.insert(table).on_conflict_do_nothing(), columns, others)


class Later:
    """A change that was sent, and is asked for what it touched when that is needed."""

    def __init__(self, store: "Store", cursor: Any) -> None:
        self._store = store
        self._cursor = cursor

    @property
    def touched(self) -> int:
        """How many rows it touched."""
        if self._cursor.rowcount < 0:
            self._store.answered()
        return int(self._cursor.rowcount)


class Store:
    """What an act or a reader sees of the database: statements in, rows out, inside a transaction somebody else opened.

    ``alone``: no other transaction writes meanwhile, so that nothing needs a lock.
    """

    def __init__(self, connection: Connection, *, alone: bool = True, pipelined: bool = False) -> None:
        """``pipelined``: the engine takes further statements before it has answered the ones before."""
        self.alone = alone
        self.kept: dict[Any, Any] = {}
        """What a transaction has looked up and cannot change any more, such as the ids of accounts."""
        self._connection = connection
        self._engine = connection.dialect.name
        self._raw: Any = connection.connection.driver_connection
        self._pipelined = pipelined
        self._pipeline: Any = None
        self._leaving: Any = None
        self._expected: list[tuple[Any, int, type[Exception]]] = []

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's own connection, for what is not prepared: whatever was sent is answered first."""
        self.answered()
        return self._connection

    def run(self, statement: Executable | Prepared, parameters: Parameters = None) -> int:
        """Execute a change, once per set of parameters; returns how many rows it touched."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).rowcount
        cursor = self._sent(statement, parameters)
        self.answered()
        return int(cursor.rowcount)

    def put(self, statement: Prepared, parameters: Parameters) -> None:
        """Execute a change of which nobody asks how many rows it touched: nothing waits for it before the next answer.

        What the database has against it is raised there, at the latest by the end of the transaction.
        """
        self._sent(statement, parameters)

    def later(self, statement: Prepared, parameters: Parameters) -> Later:
        """Execute a change; how many rows it touched may be asked later, for many in one turn."""
        return Later(self, self._sent(statement, parameters))

    def expect(
        self,
        statement: Prepared,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        otherwise: type[Exception],
    ) -> None:
        """Execute a change that must touch one row for each set of parameters; else ``otherwise`` is raised, here or
        before the next answer.

        Whoever is alone hears it here.
        """
        cursor = self._sent(statement, parameters)
        due = len(parameters) if isinstance(parameters, Sequence) else 1
        self._expected.append((cursor, due, otherwise))
        if self.alone or self._pipeline is None:
            self.answered()

    def _ready(self) -> None:
        """Enter the state in which answers come later, where the engine has it."""
        if self._pipelined and self._pipeline is None:
            self._leaving = self._raw.pipeline()
            self._pipeline = self._leaving.__enter__()

    def _sent(self, statement: Prepared, parameters: Parameters) -> Any:
        sql, constants, _ = statement.rendered(self._engine)
        self._ready()
        if not isinstance(parameters, Sequence):
            return self._raw.execute(sql, {**constants, **(parameters or {})})
        if self._pipeline is not None and parameters:
            many = statement.of_many(parameters) if len(parameters) > 1 else None
            if many is not None:
                return self._raw.execute(*many)
            for each in parameters[:-1]:
                self._raw.execute(sql, {**constants, **each})
            return self._raw.execute(sql, {**constants, **parameters[-1]})
        cursor = self._raw.cursor()
        cursor.executemany(sql, [{**constants, **each} for each in parameters])
        return cursor

    def _met(self) -> None:
        """Look whether what was expected came true, as far as it was answered."""
        expected, self._expected = self._expected, []
        for cursor, due, otherwise in expected:
            if cursor.rowcount != due:
                raise otherwise

    def answered(self) -> None:
        """Wait until all that was sent is answered; raises what it came to."""
        self.let_go()
        self._met()

    def let_go(self) -> None:
        """Leave the state in which answers come later; nothing to do where there is none.

        Only this sends all that is left before it waits: with the driver's own ``sync``, a statement that is longer
        than what the socket takes at once stays half sent, and both sides wait for each other.
        """
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            self._leaving.__exit__(None, None, None)

    def rows(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a query, as named tuples."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).all()
        make = statement.rendered(self._engine)[2]
        found = self._sent(statement, parameters).fetchall()
        self._met()
        return [make(row) for row in found]

    def by_index(self) -> None:
        """From here to the transaction's end, joins go row by row along indexes: for pages, which end after a few rows.

        PostgreSQL's planner goes by averages: it reads a million rows to join thirty of somebody who has few of them.
        SQLite joins in no other way.
        """
        if self._engine == "postgresql":
            self._raw.execute(_BY_INDEX)

    def whole(self, tables: Iterable[Table]) -> None:
        """From here to the transaction's end most of these tables is read, which were just filled.

        PostgreSQL's planner knows nothing of them before it looks, and acts go along indexes.
        """
        if self._engine == "postgresql":
            self._raw.execute(_FREELY)
            self._raw.execute("analyze " + ", ".join(table.name for table in tables))

    def together(self, *asked: tuple[Prepared, Mapping[str, Any]]) -> list[Sequence[Any]]:
        """All rows of several queries, none of which depends on another's: where possible in one turn, and those that
        are the same but for their values as one.
        """
        places: dict[Prepared, list[int]] = {}
        for at, (statement, _) in enumerate(asked):
            places.setdefault(statement, []).append(at)
        sent = [
            (statement, many, self._asked(statement, [asked[at][1] for at in many]))
            for statement, many in places.items()
        ]
        found: list[list[Any]] = [[] for _ in asked]
        for statement, many, cursors in sent:
            make = statement.rendered(self._engine)[2]
            if len(cursors) == len(many):
                for at, cursor in zip(many, cursors, strict=True):
                    found[at] = [make(row) for row in cursor.fetchall()]
            else:
                for place, *row in cursors[0].fetchall():
                    found[many[place - 1]].append(make(row))
        self._met()
        return list(found)

    def _asked(self, statement: Prepared, values: Sequence[Mapping[str, Any]]) -> list[Any]:
        """A query for each of these: as one where the engine takes it, else one by one."""
        if not self._pipelined or len(values) == 1:
            return [self._sent(statement, one) for one in values]
        self._ready()
        return [self._raw.execute(*statement.of_several(values))]

    def row(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any | None:
        """The first row of a query as a named tuple, or None."""
        if not isinstance(statement, Prepared):
            return self.connection.execute(statement, parameters).first()
        make = statement.rendered(self._engine)[2]
        cursor = self._sent(statement, parameters)
        row = cursor.fetchone()
        self._met()
        return None if row is None else make(row)

    def value(self, statement: Executable | Prepared, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None where there is no row."""
        row = self.row(statement, parameters)
        return None if row is None else row[0]

    def lock(self, statement: Prepared, *parameters: Mapping[str, Any]) -> None:
        """Lock the rows of a ``select … for update`` until the transaction ends, for one set of values after the other;
        nothing to do for who is alone.
        """
        if not self.alone and parameters:
            self._asked(statement, parameters)
