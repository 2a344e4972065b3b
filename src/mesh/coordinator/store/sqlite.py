"""SQLite: how it is opened so that it keeps what it was told, and its one writer with group commit.

Python's default transactions silently lose updates when two connections read before they write; so the driver's own
transactions are off (``isolation_level=None``) and the writer says ``BEGIN IMMEDIATE`` itself.

The writer takes all acts that are waiting, runs each in a savepoint of one transaction, commits once (one fsync for all
of them), and only then answers the callers. It never waits for a batch to fill: while one commit is at the disk, the
next batch gathers by itself. After an error of the database the transaction may be gone altogether, and with it acts
that had already succeeded; then every caller of the batch is told, and none of their effects happens.

Touches: files (the database and its lock), threads.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.errors import BatchLost, StoreClosed, WriteRefused
from mesh.coordinator.store.lock import FolderLock
from mesh.coordinator.store.migrate import to_head
from mesh.coordinator.store.waiting import Waiting, answer
from mesh.errors import MeshError

BUSY_S = 5.0  # only a stray sqlite3 shell or a backup can hold the file: our own writer is alone
STATEMENTS_KEPT = 512  # prepared statements per connection; the coordinator has well under 200
BATCH_MAX = 64  # acts in one commit: 64 of ~0.4 ms keep the first caller's wait near 25 ms
CLOSE_S = 30.0  # a batch, an fsync on a slow disk and a checkpoint fit many times over
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")
_PRAGMAS_READING = ("foreign_keys=ON",)
"""A reader sorts on disk what does not fit: to verify a ledger of a million would else take 900 MB of memory."""


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
    for pragma in _PRAGMAS_READING if read_only else _PRAGMAS:
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


class SqliteDatabase(Database):
    """An open file. Make it with ``open_database``; close it to flush and to release the folder."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        super().__init__()
        self._path = path
        self._lock = lock
        self._writer_engine = engine_for(path)
        self._reader_engine = engine_for(path, read_only=True)
        self._writer = threading.Thread(target=self._write_forever, name="mesh-store-writer", daemon=True)

    @classmethod
    def open_file(cls, path: Path, progress: Callable[[str], None]) -> Self:
        """Lock the folder, bring the schema to this version and start the writer.

        Raises StoreInUse where another process has it, StoreNewer where a newer Mesh wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path.with_name(path.name + ".lock"))
        lock.take()
        try:
            to_head(engine_for(path), progress)
            database = cls(path, lock)
        except BaseException:
            lock.release()
            raise
        database._writer.start()
        return database

    def _stop(self) -> None:
        self._waiting.put(None)
        self._writer.join(CLOSE_S)

    def _released(self) -> None:
        self._lock.release()

    def _reader(self) -> Connection:
        return self._reader_engine.connect()

    def _begin_reading(self, connection: Connection) -> None:
        driver(connection).execute("BEGIN")

    def _end_reading(self, connection: Connection) -> None:
        driver(connection).execute("ROLLBACK")

    def _write_forever(self) -> None:
        try:
            with self._writer_engine.connect() as connection:
                store, raw = Store(connection), driver(connection)
                while self._write_batch(raw, store):
                    pass
        finally:
            # However this thread ends, nobody is left waiting for it.
            self._shut()
            while not self._waiting.empty():
                left = self._waiting.get()
                if left is not None:
                    answer([left], StoreClosed())

    def _write_batch(self, raw: sqlite3.Connection, store: Store) -> bool:
        """Write what is waiting, at least one act; False once the mark of closing came."""
        batch: list[Waiting] = []
        last = False
        while not last and (not batch or (len(batch) < BATCH_MAX and not self._waiting.empty())):
            following = self._waiting.get()
            if following is None:
                last = True
            else:
                batch.append(following)
        lost: MeshError | None = BatchLost(reason="writer")
        try:
            lost = _commit_together(raw, store, batch) if batch else None
        finally:
            answer(batch, lost)
        return not last


def _commit_together(raw: sqlite3.Connection, store: Store, batch: list[Waiting]) -> MeshError | None:
    """Run a batch in one transaction; returns why all of it was lost, or None once it is durable."""
    try:
        raw.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            if not waiting.answer.cancelled():
                _run_in_savepoint(raw, store, waiting)
        raw.execute("COMMIT")
    except (sqlite3.Error, _Gone) as error:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        return _lost(error.__cause__ or error if isinstance(error, _Gone) else error)
    return None


class _Gone(Exception):
    """The transaction ended under an act: SQLite rolled all of it back."""


def _run_in_savepoint(raw: sqlite3.Connection, store: Store, waiting: Waiting) -> None:
    raw.execute("SAVEPOINT act")
    store.kept.clear()
    try:
        waiting.result = waiting.act(store)
    except BaseException as error:  # the caller gets it, whatever it is
        if not raw.in_transaction:
            raise _Gone from error
        raw.execute("ROLLBACK TO act")
        waiting.error = _refusal(error)
    raw.execute("RELEASE act")


def _refusal(error: BaseException) -> BaseException:
    """What the caller of one failed act is told: its own exception, or a typed one for the database's."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(origin, sqlite3.Error):
        return error
    refused = WriteRefused(reason=getattr(origin, "sqlite_errorname", type(origin).__name__))
    refused.__cause__ = error
    return refused


def _lost(cause: BaseException) -> MeshError:
    if isinstance(cause, MeshError):
        return cause
    origin = cause.orig if isinstance(cause, DBAPIError) else cause
    lost = BatchLost(reason=getattr(origin, "sqlite_errorname", type(origin).__name__))
    lost.__cause__ = cause
    return lost
