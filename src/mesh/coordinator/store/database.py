"""The store as programs use it: acts go to writers in threads of their own, queries to readers on one snapshot each.

``await database.write(act, …)`` is answered once what the act did is durable, and never before. Which engine that is
(a SQLite file, or PostgreSQL) nobody above knows.

Touches: threads; files or sockets (the database).
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from mesh.concurrency import expected
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.errors import StoreClosed
from mesh.errors import MeshError

T = TypeVar("T")
P = ParamSpec("P")

READERS = 4  # reader threads, each with a connection of its own


class Waiting:
    """An act that waits for its turn, and where its answer goes. ``alone``: nothing else may be written meanwhile.

    ``lane``: which others it may be done with at once, by ``several`` with the arguments of each; None: with none.
    ``begun``: the act itself was called.
    """

    __slots__ = ("act", "alone", "answer", "arguments", "begun", "error", "lane", "loop", "result", "several")

    def __init__(
        self,
        act: Callable[..., Any],
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        answer: "asyncio.Future[Any] | Future[Any]",
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        args, kwargs = arguments
        self.act: Callable[[Store], Any] = lambda store: act(store, *args, **kwargs)
        self.arguments = args
        self.answer = answer
        self.loop = loop
        self.alone = not getattr(act, "side_by_side", False)
        self.begun = False
        self.several: Callable[[Store, list[tuple[Any, ...]]], Any] | None = getattr(act, "several", None)
        self.lane = None if self.several is None or kwargs else (self.several, act.group(*args))  # type: ignore[attr-defined]
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, store: Store) -> Any:
        """Do the act."""
        self.begun = True
        return self.act(store)

    def deliver(self) -> None:
        """Give the caller what came of it."""
        if self.answer.done():
            return  # the caller was cancelled; what was committed stays committed
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class Database(ABC):
    """An open database. Make it with ``Database.open``; close it to flush."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closing = False
        self._gate = threading.Lock()  # orders the last write before the closing mark
        self._reading = threading.local()
        self._reader_connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="mesh-store-reader")

    @staticmethod
    def open(where: Path | str, *, progress: Callable[[str], None] | None = None) -> "Database":
        """Open a SQLite file (a path) or a PostgreSQL database (its URL), brought to the schema of this version.

        ``progress`` hears of each step. Raises StoreInUse where another process has the file, StoreNewer where a newer
        Mesh wrote it, StoreUnreachable, StoreTooOld.
        """
        say = progress or (lambda _: None)
        if isinstance(where, Path):
            from mesh.coordinator.store.sqlite import SqliteDatabase

            return SqliteDatabase.open_file(where, say)
        from mesh.coordinator.store.postgres import PostgresDatabase

        return PostgresDatabase.open_url(where, say)

    async def write(self, act: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an act; returns what it returned, once that is durable.

        Raises what the act raised (its changes undone), WriteRefused, BatchLost or StoreClosed.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = expected()
        self._put(Waiting(act, (args, kwargs), answer, loop))
        return await answer

    def write_and_wait(self, act: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``write`` for programs without an event loop (the demo, benchmarks, tests of rules on a real store)."""
        answer: Future[T] = Future()
        self._put(Waiting(act, (args, kwargs), answer, None))
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
        if self._shut():
            self._stop()
        self._readers.shutdown()
        while self._reader_connections:
            self._reader_connections.pop().close()
        self._released()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # --- what an engine does its own way ------------------------------------------------------------------------------

    @abstractmethod
    def _stop(self) -> None:
        """Let the writers finish what is queued, and end."""

    @abstractmethod
    def _released(self) -> None:
        """Give back what opening took."""

    @abstractmethod
    def _reader(self) -> Connection:
        """A connection that only reads."""

    @abstractmethod
    def _begin_reading(self, connection: Connection) -> None:
        """Begin a snapshot."""

    @abstractmethod
    def _end_reading(self, connection: Connection) -> None:
        """End it."""

    # --- what all engines share ---------------------------------------------------------------------------------------

    def _shut(self) -> bool:
        """Take no more; True for who shuts first."""
        with self._gate:
            first, self._closing = not self._closing, True
        return first

    def _put(self, waiting: Waiting) -> None:
        with self._gate:
            if self._closing:
                raise StoreClosed
            self._waiting.put(waiting)

    def _read_here(self, query: Callable[[Store], T]) -> T:
        connection: Connection | None = getattr(self._reading, "connection", None)
        if connection is None or connection.closed or connection.invalidated:
            connection = self._reading.connection = self._reader()
            self._reader_connections.append(connection)
        try:
            self._begin_reading(connection)
            return query(Store(connection))
        finally:
            self._end_reading(connection)


def answer(batch: list[Waiting], lost: MeshError | None) -> None:
    """Tell every caller; one wake-up per event loop. ``lost``: why nothing of the batch was kept."""
    for waiting in batch:
        if lost is not None:
            # One exception object per caller: a shared one would collect all their tracebacks.
            waiting.error = type(lost)(lost.message, **lost.facts)
            waiting.error.__cause__ = lost.__cause__
    loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.deliver()
        else:
            loops.setdefault(waiting.loop, []).append(waiting)
    for loop, mine in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(batch: list[Waiting]) -> None:
    for waiting in batch:
        waiting.deliver()
