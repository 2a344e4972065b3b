"""What arrives waits here: taken in order, bounded by size, ended by an error; taking is safe to cancel.

The binding below loses data when one of its calls is cancelled. So nothing here cancels it: a pump makes one call after
the other and fills an inbox, and limits and cancellation meet only the inbox.

Touches: nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from mesh.transport.interface import ConnectionLost, TransportError, TransportTimeout

T = TypeVar("T")

TURNS_FIRST = 3
"""Turns of the loop that whoever waits for an item gets before the next is fetched: it hands it on, and that one may
once more. Asking the binding for more takes as long as checking a signature, and nobody waits for that."""


class Inbox(Generic[T]):
    """Items for one or several takers. After ``end`` the rest is handed out, then the error is raised for good."""

    def __init__(self, room: int, size: Callable[[T], int] = lambda item: 1) -> None:
        """``room`` is in the unit of ``size``; one item may exceed it, so at most ``room`` plus one item waits."""
        self._room = room
        self._size = size
        self._items: deque[T] = deque()
        self._held = 0
        self._error: TransportError | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def full(self) -> bool:
        """Whether a well-behaved giver should wait."""
        return self._held >= self._room

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return self._error is not None

    def put(self, item: T) -> bool:
        """Add an item without waiting; after the end it is dropped and False is returned."""
        if self._error is not None:
            return False
        self._items.append(item)
        self._held += self._size(item)
        self._wake()
        return True

    def end(self, error: TransportError, drop: bool = False) -> None:
        """Let nothing more in; the first end counts. ``drop`` also throws away what waits."""
        if drop:
            self._items.clear()
            self._held = 0
        if self._error is None:
            self._error = again(error)  # with a traceback it would hold the frames that hold this
        self._wake()

    async def has_room(self) -> None:
        """Wait until there is room, or the end."""
        while self.full and self._error is None:
            await self._change()

    async def take(self, timeout_s: float | None = None) -> T:
        """Return the oldest item. Raises TransportTimeout, or what ``end`` was given."""
        if not self._items:
            await self._arrival(timeout_s)
        item = self._items.popleft()
        self._held -= self._size(item)
        self._wake()
        return item

    async def _arrival(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            return await self._any()
        try:
            async with asyncio.timeout(timeout_s) as limit:
                await self._any()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TransportTimeout(waited_s=timeout_s) from error

    async def _any(self) -> None:
        while not self._items:
            if self._error is not None:
                raise again(self._error)
            await self._change()

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        # All are woken: a waiter that is cancelled at the same moment then takes nobody's turn with it.
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def again(error: TransportError) -> TransportError:
    """Copy an error without its traceback and cause: each raise has its own, and what is kept holds no frames."""
    return type(error)(error.message, **error.facts)


class Tasks:
    """The background tasks of one object: kept alive, and ended together."""

    def __init__(self) -> None:
        """Start with none. ``over`` is what inboxes end with whose pumps were cancelled."""
        self.over: TransportError = ConnectionLost("The connection was closed here.")
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run ``work`` until it is done or ``stop`` is called."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def pump(
        self, fetch: Callable[[], Awaitable[T]], inbox: Inbox[T], is_last: Callable[[T], bool] = lambda item: False
    ) -> "asyncio.Task[None]":
        """Move what ``fetch`` returns into ``inbox``, one call at a time, until it raises a TransportError."""
        task = self.start(_pump(fetch, inbox, is_last))
        # Not in the coroutine: a task that is cancelled before its first step never enters it.
        task.add_done_callback(lambda _: inbox.end(self.over))
        return task

    def cancel(self) -> None:
        """Ask all but the current task to end."""
        for task in self._running - {asyncio.current_task()}:
            task.cancel()

    async def stop(self) -> None:
        """Cancel all but the current task and wait for their ends."""
        self.cancel()
        others = self._running - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)


async def _pump(fetch: Callable[[], Awaitable[T]], inbox: Inbox[T], is_last: Callable[[T], bool]) -> None:
    try:
        while not inbox.ended:
            await inbox.has_room()
            item = await fetch()
            inbox.put(item)
            if is_last(item):
                return
            for _ in range(TURNS_FIRST):
                await asyncio.sleep(0)
    except TransportError as error:
        inbox.end(error)
