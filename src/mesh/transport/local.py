"""Dialling yourself, in process: any transport with that added. A device's own jobs take the same way as all others.

Touches: the event loop.
"""

import asyncio
from collections.abc import Iterable, Sequence

from mesh.ids import DeviceKey
from mesh.transport.inbox import Inbox, Tasks
from mesh.transport.interface import Address, Connection, DialTimeout, Path, Transport, TransportError
from mesh.transport.pair import connected

CONNECTIONS_WAITING_MAX = 64
"""As for connections from outside: a caller that dials faster than it accepts waits in ``dial``."""


class LocalTransport:
    """Answers ``dial(own key)`` with a connection in memory and leaves the rest to ``inner``."""

    def __init__(self, inner: Transport) -> None:
        """Wrap ``inner``, and own it: closing this closes it."""
        self.inner = inner
        self._incoming: Inbox[Connection] = Inbox(CONNECTIONS_WAITING_MAX)
        self._own: set[Connection] = set()
        self._tasks = Tasks()
        self._merging = False

    @property
    def key(self) -> DeviceKey:
        """The key of this very device."""
        return self.inner.key

    async def dial(self, address: Address, timeout_s: float) -> Connection:
        """Connect to this device itself in process, to any other through ``inner``."""
        if address.key != self.key:
            return await self.inner.dial(address, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._incoming.has_room()
        except TimeoutError as error:
            raise DialTimeout(waited_s=timeout_s) from error
        near, far = connected(self.key, self.key, Path("local", 0.0))
        if not self._incoming.put(far):
            raise TransportError("The transport was closed here.")
        self._own.add(near)
        self._tasks.start(self._forget(near))
        return near

    async def accept(self) -> Connection:
        """Wait for the next connection, from outside or from this device."""
        if not self._merging:
            self._merging = True
            self._tasks.pump(self.inner.accept, self._incoming)
        return await self._incoming.take()

    def addresses(self) -> Sequence[str]:
        """The ``ip:port`` texts that ``inner`` listens on."""
        return self.inner.addresses()

    def relay(self) -> str | None:
        """The relay of ``inner``."""
        return self.inner.relay()

    async def use_relays(self, urls: Iterable[str]) -> None:
        """Let ``inner`` use these relays."""
        await self.inner.use_relays(urls)

    async def publish(self, addresses: Iterable[str]) -> None:
        """Let peers of ``inner`` try these addresses too."""
        await self.inner.publish(addresses)

    def touch(self, address: str) -> None:
        """Let ``inner`` keep its mapping in use."""
        self.inner.touch(address)

    async def reach_changed(self) -> None:
        """Wait for a change that ``inner`` sees."""
        await self.inner.reach_changed()

    async def close(self) -> None:
        """Close the connections in process, then ``inner``."""
        self._incoming.end(TransportError("The transport was closed here."))
        for connection in tuple(self._own):
            await connection.close("closing")
        await self.inner.close()
        await self._tasks.stop()

    async def _forget(self, connection: Connection) -> None:
        await connection.wait_closed()
        self._own.discard(connection)
