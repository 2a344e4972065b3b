"""Live links: which devices are connected, and how something is said to them without waiting for them.

Touches: nothing (sockets are behind the ``write`` it is given).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from mesh.coordinator.telling.running import RunningJobs
from mesh.coordinator.telling.topics import Topic
from mesh.ids import DeviceId, NetworkId
from mesh.protocol import link
from mesh.protocol.link import Message

OUTBOX_MAX = 1024
"""Messages that wait for a device that takes them slowly; more, and it is cut: it reconnects and gets the whole."""
WRITE_S = 10.0
"""A device that takes nothing for 10 s counts as gone."""


class Ended(Exception):
    """The link is over; raised to stop what serves it."""


class Link:
    """One device's (or relay's) connection. ``network`` is "" for relays."""

    def __init__(self, device: DeviceId, network: NetworkId, *, seen_from: str | None) -> None:
        self.device = device
        self.network = network
        self.seen_from = seen_from
        self.shown: set[DeviceId] | None = set()
        """The devices whose certificates this one was told, nothing at first; None: all of its network's."""
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue(OUTBOX_MAX)
        self._cut = False

    def say(self, message: Message) -> None:
        """Queue a message; a device that lets too many pile up is cut."""
        if self._cut:
            return
        try:
            self._outbox.put_nowait(link.encode(message))
        except asyncio.QueueFull:
            self.cut()

    def end(self) -> None:
        """End the link once what was said is out."""
        if not self._cut:
            try:
                self._outbox.put_nowait(None)
            except asyncio.QueueFull:
                self.cut()

    def cut(self) -> None:
        """End the link at once, whatever is still unsaid."""
        self._cut = True
        while not self._outbox.empty():
            self._outbox.get_nowait()
        self._outbox.put_nowait(None)

    async def write_out(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write what is said until the end. Always raises: Ended, or TimeoutError for a device that takes nothing."""
        while (raw := await self._outbox.get()) is not None:
            async with asyncio.timeout(WRITE_S):
                await write(raw)
        raise Ended


class LiveLinks:
    """The links that stand, one per device."""

    def __init__(self) -> None:
        self.running = RunningJobs()
        self._by_device: dict[DeviceId, Link] = {}
        self.changed: Callable[[NetworkId, Topic], None] = lambda network, topic: None
        """Told that something about a network is new to people who look at it; set by the wiring."""

    def add(self, fresh: Link) -> Link | None:
        """A device connected; returns the link that this one replaces."""
        before = self._by_device.get(fresh.device)
        self._by_device[fresh.device] = fresh
        return before

    def drop(self, ended: Link) -> bool:
        """A link ended; False where a newer one of the same device stands."""
        if self._by_device.get(ended.device) is not ended:
            return False
        del self._by_device[ended.device]
        return True

    def of(self, device: DeviceId) -> Link | None:
        """A device's link."""
        return self._by_device.get(device)

    def in_network(self, network: NetworkId) -> Iterator[Link]:
        """The links of a network's devices."""
        return (each for each in list(self._by_device.values()) if each.network == network)

    def all(self) -> list[Link]:
        """Every link."""
        return list(self._by_device.values())
