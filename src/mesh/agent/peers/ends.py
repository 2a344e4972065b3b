"""This device's ends: one transport per key of its that is good, the newest first.

A device is reached under its key, so a device whose key was replaced listens under both for a day: who knows only the
old one still finds it, and what runs over the old end runs on. It calls others from its newest end.

Touches: sockets (through its transports).
"""

import asyncio
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from mesh.ids import DeviceKey
from mesh.transport.inbox import Inbox, Tasks
from mesh.transport.interface import Address, Connection, Transport, TransportError

CONNECTIONS_WAITING_MAX = 64
"""As in each transport: more wait there."""


class Ends:
    """A transport made of several; connections know at which end they are (``key_of``)."""

    def __init__(self, first: Transport) -> None:
        """``first`` is the newest until ``add``; all of them are closed by ``close``."""
        self._ends: list[Transport] = [first]
        self._incoming: Inbox[Connection] = Inbox(CONNECTIONS_WAITING_MAX)
        self._keys: WeakKeyDictionary[Connection, DeviceKey] = WeakKeyDictionary()
        self._tasks = Tasks()
        self._taking: dict[DeviceKey, asyncio.Task[None]] = {}
        self._relays: tuple[str, ...] | None = None
        self._turned = asyncio.Event()

    @property
    def key(self) -> DeviceKey:
        """The newest key."""
        return self._ends[0].key

    @property
    def keys(self) -> tuple[DeviceKey, ...]:
        """All keys under which this device is reached, the newest first."""
        return tuple(end.key for end in self._ends)

    def key_of(self, connection: Connection) -> DeviceKey:
        """Under which of its keys this device is the end of a connection."""
        return self._keys.get(connection, self.key)

    async def add(self, end: Transport, *, newest: bool) -> None:
        """Listen at one more end; as the newest it is the one that calls others from then on."""
        if end.key in self.keys:
            await end.close()
            return
        if self._relays is not None:
            await end.use_relays(self._relays)
        self._ends.insert(0 if newest else len(self._ends), end)
        if self._taking:
            self._take_from(end)
        if newest:
            self._turned.set()
            self._turned = asyncio.Event()

    async def retire(self, key: DeviceKey) -> None:
        """Close an end that is not the newest, with all that still runs over it."""
        for end in [end for end in self._ends[1:] if end.key == key]:
            self._ends.remove(end)
            taking = self._taking.pop(key, None)
            if taking is not None:
                taking.cancel()
            await end.close()

    async def dial(self, address: Address, timeout_s: float, own: DeviceKey | None = None) -> Connection:
        """Connect to a device from an end of ours, the newest if none is named."""
        end = next((one for one in self._ends if one.key == (own or address.key)), self._ends[0])
        connection = await end.dial(address, timeout_s)
        self._keys[connection] = end.key
        return connection

    async def accept(self) -> Connection:
        """Wait for the next connection at any end."""
        for end in self._ends:
            if end.key not in self._taking:
                self._take_from(end)
        return await self._incoming.take()

    def addresses(self) -> Sequence[str]:
        """The ``ip:port`` texts of the newest end."""
        return self._ends[0].addresses()

    def relay(self) -> str | None:
        """The relay of the newest end."""
        return self._ends[0].relay()

    async def use_relays(self, urls: Iterable[str]) -> None:
        """Let every end be reached through these relays."""
        self._relays = tuple(urls)
        for end in list(self._ends):
            await end.use_relays(self._relays)

    async def publish(self, addresses: Iterable[str]) -> None:
        """Let peers of the newest end try these addresses too: they were observed at its socket."""
        await self._ends[0].publish(addresses)

    async def reach_changed(self) -> None:
        """Wait until the newest end is reached otherwise, or another end is the newest."""
        waits = [asyncio.ensure_future(self._ends[0].reach_changed()), asyncio.ensure_future(self._turned.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def touch(self, address: str) -> None:
        """Keep the newest end's mapping in use."""
        self._ends[0].touch(address)

    async def close(self) -> None:
        """Close all ends."""
        self._incoming.end(TransportError("The transport was closed here."))
        for end in list(self._ends):
            await end.close()
        await self._tasks.stop()

    def _take_from(self, end: Transport) -> None:
        self._taking[end.key] = self._tasks.start(self._take_in(end))

    async def _take_in(self, end: Transport) -> None:
        """Move an end's connections into ours; the last end's failing is ours."""
        try:
            while not self._incoming.ended:
                await self._incoming.has_room()
                connection = await end.accept()
                self._keys[connection] = end.key
                self._incoming.put(connection)
        except TransportError as error:
            if self._ends == [end]:
                self._incoming.end(error)
