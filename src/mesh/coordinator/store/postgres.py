"""PostgreSQL 15 or newer: several writers at once, and several coordinators on one database.

Every act is a transaction at READ COMMITTED. Acts that are ``side_by_side`` lock the rows they decide on; they share
one advisory lock, and all others take it for themselves alone: those may be written as if nobody else wrote. What two
transactions could not both do (a deadlock, a row that the other made first) is simply tried again.

Touches: sockets (the database), threads.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

import psycopg
from psycopg.types.numeric import IntLoader
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from mesh.coordinator.store.connection import BY_ITSELF, WAYS, Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.errors import (
    BatchLost,
    Raced,
    StoreClosed,
    StoreTooOld,
    StoreUnreachable,
    StoreUrl,
    WriteRefused,
)
from mesh.coordinator.store.lanes import Lanes
from mesh.coordinator.store.migrate import to_head
from mesh.coordinator.store.waiting import Waiting, answer
from mesh.errors import MeshError

T = TypeVar("T")

WRITERS = 8  # transactions at once; beyond that one process gains nothing, and many share one server
TRIES = 12  # of one act; two that are in each other's way once are rarely so again
CLOSE_S = 30.0
CONNECT_S = 10
MAJOR_MIN = 15
_LOCK = 0x6D657368  # "mesh": the advisory lock of writers
_BY_KEY = "; ".join(
    (
        "set plan_cache_mode = force_generic_plan",
        *(f"set enable_{way} = off" for way in WAYS),
    )
)
"""Acts look rows up by key, a few of each table, as they do on SQLite. So one plan is right for all values and is made
once; and it is right from the first minute, in which the server has no statistics, or those of tables that were small.
"""
_AGAIN = frozenset({"40001", "40P01", "23505", "55P03"})
"""Serialisation, deadlock, a unique row that somebody else made first, a lock not available."""
_GONE = ("08", "53", "57", "58", "XX")
"""Classes of errors after which nothing is known to be well: connection, resources, shutdown, system, internal."""


def url_of(text_: str) -> str:
    """A PostgreSQL URL as SQLAlchemy wants it. Raises StoreUrl."""
    try:
        url = make_url(text_)
    except ArgumentError as error:
        raise StoreUrl from error
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg") or not url.database:
        raise StoreUrl
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def engine_for(url: str, *, read_only: bool = False, by_key: bool = False) -> Engine:
    """An engine with a fresh connection each time it is asked, as this project uses them. ``by_key``: for acts."""
    options: dict[str, Any] = {"connect_timeout": CONNECT_S, "application_name": "mesh-coordinator"}
    engine = create_engine(url_of(url), poolclass=NullPool, connect_args=options, isolation_level="READ COMMITTED")

    @event.listens_for(engine, "connect")
    def _prepare(raw: psycopg.Connection[Any], _: Any) -> None:
        raw.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers: there are no others here
        if read_only:
            raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            raw.read_only = True
        if by_key:
            raw.execute(_BY_KEY)
            raw.commit()

    return engine


class PostgresDatabase(Database):
    """An open database on a server. Make it with ``open_database``."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._engine = engine_for(url, by_key=True)
        self._reader_engine = engine_for(url, read_only=True)
        self._lanes = Lanes()
        self._writers = [
            threading.Thread(target=self._write_forever, name=f"mesh-store-writer-{at}", daemon=True)
            for at in range(WRITERS)
        ]

    @classmethod
    def open_url(cls, url: str, progress: Callable[[str], None]) -> Self:
        """Bring the schema to this version, while nobody else does, and start the writers.

        Raises StoreUrl, StoreUnreachable, StoreTooOld, StoreNewer.
        """
        engine = engine_for(url)
        try:
            with engine.connect() as connection:
                version = int(connection.execute(text("show server_version_num")).scalar_one())
                if version < MAJOR_MIN * 10_000:
                    raise StoreTooOld(version=version // 10_000)
                connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _LOCK + 1})
                connection.commit()
                to_head(engine, progress)
        except DBAPIError as error:
            raise StoreUnreachable(reason=type(error.orig).__name__) from error
        database = cls(url)
        for writer in database._writers:
            writer.start()
        return database

    def _take(self, waiting: Waiting) -> None:
        """Callers that one turn of an event loop wakes come together, so that they go with the same group."""
        if waiting.lane is None or self._lanes.enter(waiting):
            self._waiting.put(waiting)

    def _stop(self) -> None:
        for _ in self._writers:
            self._waiting.put(None)
        for writer in self._writers:
            writer.join(CLOSE_S)
        while not self._waiting.empty():
            left = self._waiting.get()
            if left is not None:
                answer([left], StoreClosed())

    def _released(self) -> None:
        self._engine.dispose()
        self._reader_engine.dispose()

    def _reader(self) -> Connection:
        try:
            return self._reader_engine.connect()
        except DBAPIError as error:
            raise StoreUnreachable(reason=type(error.orig).__name__) from error

    def _read_here(self, query: Callable[[Store], T]) -> T:
        """A reader whose connection ended since its last query asks once more, on a new one."""
        try:
            return super()._read_here(query)
        except (DBAPIError, psycopg.OperationalError) as error:
            if not self._reading.connection.closed:
                raise
            try:
                return super()._read_here(query)
            except (DBAPIError, psycopg.OperationalError):
                raise StoreUnreachable(reason=type(error).__name__) from error

    def _begin_reading(self, connection: Connection) -> None:
        connection.begin()

    def _end_reading(self, connection: Connection) -> None:
        with suppress(DBAPIError):
            if connection.in_transaction():
                connection.rollback()
        raw: Any = None if connection.closed or connection.invalidated else connection.connection.driver_connection
        if raw is None or raw.closed:
            connection.close()  # the next query opens another

    def _write_forever(self) -> None:
        connection: Connection | None = None
        while (waiting := self._waiting.get()) is not None:
            if waiting.lane is None:
                connection = self._done(connection, [waiting])
            else:
                while group := self._lanes.next(waiting.lane):
                    connection = self._done(connection, group)
        if connection is not None:
            connection.close()

    def _done(self, connection: Connection | None, group: list[Waiting]) -> Connection | None:
        """Do acts and answer their callers, whatever happens; returns the connection for the next."""
        group = [waiting for waiting in group if not waiting.answer.cancelled()]
        lost: MeshError | None = BatchLost(reason="writer")
        try:
            left = group
            if len(group) > 1:
                connection, left = self._write_several(connection, group)
            for waiting in left:
                connection = self._write(connection, waiting)
            lost = None
        finally:
            answer(group, lost)  # however this thread ends, nobody is left waiting for it
        return connection

    def _write_several(
        self, connection: Connection | None, group: list[Waiting]
    ) -> tuple[Connection | None, list[Waiting]]:
        """Do acts in one transaction; returns those that are still to be done, each by itself: all where it failed."""
        several = group[0].several
        assert several is not None
        try:
            connection = connection or self._engine.connect()
            arguments = [waiting.arguments for waiting in group]
            results = _in_transaction(connection, lambda store: several(store, arguments), alone=False)
        except BaseException:  # noqa: BLE001 - each is told by itself what there is to tell
            return (None if _rolled_back(connection) else connection), group
        left = []
        for waiting, result in zip(group, results, strict=True):
            if result is BY_ITSELF:
                left.append(waiting)
            elif isinstance(result, BaseException):
                waiting.error = result
            else:
                waiting.result = result
        return connection, left

    def _write(self, connection: Connection | None, waiting: Waiting) -> Connection | None:
        """Run an act until it is committed or refused; returns the connection for the next, None where it broke."""
        for turn in range(TRIES):
            kept = connection is not None
            try:
                connection = connection or self._engine.connect()
                waiting.error, waiting.begun = None, False
                waiting.result = _in_transaction(connection, waiting.run, alone=waiting.alone)
                return connection
            except BaseException as error:  # noqa: BLE001 - the caller gets it, whatever it is
                broken = _rolled_back(connection)
                connection = None if broken else connection
                waiting.error = _told(error, broken=broken)
                if broken and kept and not waiting.begun:
                    continue  # it had ended since the act before, and nobody has lost anything
                if broken or turn == TRIES - 1 or not _again(error, waiting):
                    return connection
            time.sleep(random.random() * 0.004 * (turn + 1))  # noqa: S311 - so that two do not meet again
        return connection


def _in_transaction(connection: Connection, act: Callable[[Store], Any], *, alone: bool) -> Any:
    with connection.begin():
        raw: Any = connection.connection.driver_connection
        kind = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        raw.execute(f"select {kind}({_LOCK})")
        store = Store(connection, alone=alone, pipelined=True)
        try:
            result = act(store)
            store.answered()
            return result
        finally:
            with suppress(psycopg.Error):
                store.let_go()


def _rolled_back(connection: Connection | None) -> bool:
    """Leave no transaction behind; True where the connection is of no more use."""
    if connection is None:
        return True
    with suppress(SQLAlchemyError):
        if not (connection.closed or connection.invalidated):
            raw: Any = connection.connection.driver_connection
            if raw is not None and not raw.closed and not raw.broken:
                return False
            connection.invalidate()
    with suppress(SQLAlchemyError):
        connection.close()
    return True


def _again(error: BaseException, waiting: Waiting) -> bool:
    """Whether an act failed for what another did at the same moment, and not for what it is."""
    if isinstance(error, Raced):
        return not waiting.alone
    state = _state(error)
    return state in _AGAIN and not (waiting.alone and state == "23505")


def _state(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return (origin.sqlstate or "") if isinstance(origin, psycopg.Error) else ""


def _told(error: BaseException, *, broken: bool) -> BaseException:
    """What the caller is told: its own exception, or a typed one for the database's."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(origin, psycopg.Error):
        return error
    told: MeshError = WriteRefused(reason=_state(error) or type(origin).__name__)
    if broken or _state(error).startswith(_GONE):
        told = BatchLost(reason=_state(error) or type(origin).__name__)
    told.__cause__ = error
    return told
