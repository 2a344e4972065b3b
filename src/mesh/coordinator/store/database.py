"""The store as programs use it: acts go to writers in threads of their own, queries to readers on one snapshot each.

``await database.write(act, …)`` is answered once what the act did is durable, and never before. Which engine that is
(a SQLite file, or PostgreSQL) nobody above knows.

Touches: threads.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection

from mesh.concurrency import expected
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.errors import StoreClosed
from mesh.coordinator.store.waiting import Waiting

T = TypeVar("T")
P = ParamSpec("P")

READERS = 4  # reader threads, each with a connection of its own


class Database(ABC):
    """An open database. Made by ``open_database``; close it to flush."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closing = False
        self._gate = threading.Lock()  # orders the last write before the closing mark
        self._reading = threading.local()
        self._reader_connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="mesh-store-reader")

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

    def _take(self, waiting: Waiting) -> None:
        """Line an act up for the writers."""
        self._waiting.put(waiting)

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
            self._take(waiting)

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
