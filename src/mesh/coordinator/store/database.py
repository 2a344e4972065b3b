"""The one writer, with group commit, and the readers beside it.

``await database.write(act, …)`` hands an act to the writer thread. The writer takes all acts that are waiting, runs
each in a savepoint of one transaction, commits once (one fsync for all of them), and only then answers the callers. It
never waits for a batch to fill: while one commit is at the disk, the next batch gathers by itself.

After an error of the database the transaction may be gone altogether, and with it acts that had already succeeded; then
every caller of the batch is told, and none of their effects happens.

Touches: files (the database and its lock), threads.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mesh.coordinator.store.connection import Store, driver, engine_for
from mesh.coordinator.store.errors import BatchLost, StoreClosed, WriteRefused
from mesh.coordinator.store.lock import FolderLock
from mesh.coordinator.store.migrate import to_head
from mesh.errors import MeshError

T = TypeVar("T")
P = ParamSpec("P")

BATCH_MAX = 64  # acts in one commit: 64 of ~0.4 ms keep the first caller's wait near 25 ms
READERS = 4  # reader threads, each with a connection of its own
CLOSE_S = 30.0  # a batch, an fsync on a slow disk and a checkpoint fit many times over


class _Waiting:
    """An act that waits for its turn, and where its answer goes."""

    __slots__ = ("act", "answer", "error", "loop", "result")

    def __init__(
        self,
        act: Callable[[Store], Any],
        answer: "asyncio.Future[Any] | Future[Any]",
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.act = act
        self.answer = answer
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None

    def deliver(self) -> None:
        if self.answer.done():
            return  # the caller was cancelled; what was committed stays committed
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class Database:
    """An open database. Make it with ``Database.open``; close it to flush and to release the folder."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self._path = path
        self._lock = lock
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = False
        self._gate = threading.Lock()  # orders the last write before the closing mark
        self._writer_engine = engine_for(path)
        self._reader_engine = engine_for(path, read_only=True)
        self._reading = threading.local()
        self._reader_connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="mesh-store-reader")
        self._writer = threading.Thread(target=self._write_forever, name="mesh-store-writer", daemon=True)

    @classmethod
    def open(cls, path: Path, *, progress: Callable[[str], None] | None = None) -> Self:
        """Lock the folder, bring the schema to this version (``progress`` hears of each step) and start the writer.

        Raises StoreInUse where another process has it, StoreNewer where a newer Mesh wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(path.with_name(path.name + ".lock"))
        lock.take()
        try:
            to_head(path, progress or (lambda _: None))
            database = cls(path, lock)
        except BaseException:
            lock.release()
            raise
        database._writer.start()
        return database

    async def write(self, act: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an act in the next batch; returns what it returned, once that is durable.

        Raises what the act raised (its changes undone), WriteRefused, BatchLost or StoreClosed.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._put(_Waiting(lambda store: act(store, *args, **kwargs), answer, loop))
        return await answer

    def write_and_wait(self, act: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``write`` for programs without an event loop (the demo, benchmarks, tests of rules on a real store)."""
        answer: Future[T] = Future()
        self._put(_Waiting(lambda store: act(store, *args, **kwargs), answer, None))
        return answer.result()

    async def read(self, query: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query on one consistent snapshot in a reader thread; it cannot write."""
        if self._closing:
            raise StoreClosed
        job = lambda: self._read_here(lambda store: query(store, *args, **kwargs))  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(self._readers, job)

    def read_and_wait(self, query: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``read`` for programs without an event loop."""
        if self._closing:
            raise StoreClosed
        return self._readers.submit(lambda: self._read_here(lambda store: query(store, *args, **kwargs))).result()

    def close(self) -> None:
        """Finish what is queued, then stop. Blocks; call it in a thread from async code. Safe to call twice."""
        with self._gate:
            first, self._closing = not self._closing, True
            if first:
                self._waiting.put(None)
        self._writer.join(CLOSE_S)
        self._readers.shutdown()
        while self._reader_connections:
            self._reader_connections.pop().close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _put(self, waiting: _Waiting) -> None:
        with self._gate:
            if self._closing:
                raise StoreClosed
            self._waiting.put(waiting)

    def _read_here(self, query: Callable[[Store], T]) -> T:
        connection: Connection | None = getattr(self._reading, "connection", None)
        if connection is None:
            connection = self._reading.connection = self._reader_engine.connect()
            self._reader_connections.append(connection)
        raw = driver(connection)
        raw.execute("BEGIN")
        try:
            return query(Store(connection))
        finally:
            raw.execute("ROLLBACK")

    def _write_forever(self) -> None:
        try:
            with self._writer_engine.connect() as connection:
                store, raw = Store(connection), driver(connection)
                while self._write_batch(raw, store):
                    pass
        finally:
            # However this thread ends, nobody is left waiting for it.
            with self._gate:
                self._closing = True
            while not self._waiting.empty():
                left = self._waiting.get()
                if left is not None:
                    _answer([left], StoreClosed())

    def _write_batch(self, raw: sqlite3.Connection, store: Store) -> bool:
        """Write what is waiting, at least one act; False once the mark of closing came."""
        batch: list[_Waiting] = []
        last = False
        while not last and (not batch or (len(batch) < BATCH_MAX and not self._waiting.empty())):
            following = self._waiting.get()
            if following is None:
                last = True
            else:
                batch.append(following)
        lost: BaseException | None = BatchLost(reason="writer")
        try:
            lost = _commit_together(raw, store, batch) if batch else None
        finally:
            _answer(batch, lost)
        return not last


def _commit_together(raw: sqlite3.Connection, store: Store, batch: list[_Waiting]) -> BaseException | None:
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
        return error.__cause__ if isinstance(error, _Gone) else error
    return None


class _Gone(Exception):
    """The transaction ended under an act: SQLite rolled all of it back."""


def _run_in_savepoint(raw: sqlite3.Connection, store: Store, waiting: _Waiting) -> None:
    raw.execute("SAVEPOINT act")
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


def _answer(batch: list[_Waiting], lost: BaseException | None) -> None:
    """Tell every caller; one wake-up per event loop."""
    for waiting in batch:
        if lost is not None:
            waiting.error = _lost(lost)
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.deliver()
        else:
            loops.setdefault(waiting.loop, []).append(waiting)
    for loop, mine in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(batch: list[_Waiting]) -> None:
    for waiting in batch:
        waiting.deliver()


def _lost(cause: BaseException) -> MeshError:
    """One exception object per caller: a shared one would collect all their tracebacks."""
    if isinstance(cause, MeshError):
        return type(cause)(cause.message, **cause.facts)
    origin = cause.orig if isinstance(cause, DBAPIError) else cause
    lost = BatchLost(reason=getattr(origin, "sqlite_errorname", type(origin).__name__))
    lost.__cause__ = cause
    return lost
