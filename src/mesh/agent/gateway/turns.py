"""Whose request goes next: each key in turn, so that one busy program does not stand before all others.

Touches: nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.errors import MeshError

AT_ONCE = 128
"""Requests under way: twice what fills the batches of the engines that were measured (64 clients)."""

WAITING_MAX = 1024
"""Requests that wait, with their bodies in memory: only a bound, limits of keys refuse before."""


class GatewayFull(MeshError):
    """Too many requests wait at this gateway. Try again in a moment."""

    code = "gateway.full"
    kind = "too_many"


class Turns:
    """Lets so many requests go at once; who waits goes by keys in turn."""

    def __init__(self, at_once: int = AT_ONCE, waiting_max: int = WAITING_MAX) -> None:
        self._free = at_once
        self._waiting_max = waiting_max
        self._waiting = 0
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it inside the block. Raises GatewayFull."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._next()

    async def _wait(self, key: str) -> None:
        if self._waiting >= self._waiting_max:
            raise GatewayFull(retry_after_s=1.0)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, deque()).append(mine)
        self._waiting += 1
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._next()  # the turn came in the same moment: it is another's
            else:
                self._leave(key, mine)
            raise

    def _leave(self, key: str, mine: "asyncio.Future[None]") -> None:
        self._waiting -= 1
        self._lines[key].remove(mine)
        if not self._lines[key]:
            del self._lines[key]

    def _next(self) -> None:
        """Give a turn on: to the key whose line was not served for the longest time."""
        if not self._lines:
            self._free += 1
            return
        key = next(iter(self._lines))
        line = self._lines.pop(key)
        self._waiting -= 1
        line.popleft().set_result(None)
        if line:
            self._lines[key] = line  # to the end
