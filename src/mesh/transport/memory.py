"""A network in memory for tests: transports on a switchboard whose lines can be cut, held and released at will.

Touches: the event loop.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from mesh.ids import DeviceKey
from mesh.transport.inbox import Inbox
from mesh.transport.interface import Address, DialTimeout, Path, TransportError
from mesh.transport.pair import UNBOUNDED, Gate, PairConnection, connected


class _Line(NamedTuple):
    """A connection between two devices; each end with its key and the gate of what it says."""

    near: PairConnection
    far: PairConnection
    gates: dict[DeviceKey, Gate]


class Switchboard:
    """Joins the transports made on it. Its hooks act on the lines of two devices, in both directions."""

    def __init__(self, path: Path = Path("direct", 1.0)) -> None:
        """``path`` is what connections say of themselves."""
        self.path = path
        self._transports: dict[DeviceKey, MemoryTransport] = {}
        self._lines: dict[frozenset[DeviceKey], list[_Line]] = {}
        self._held: set[frozenset[DeviceKey]] = set()
        self._waiters: set[asyncio.Event] = set()

    def transport(self, key: DeviceKey, admits: Callable[[DeviceKey], bool] = lambda key: True) -> "MemoryTransport":
        """Make the transport of a device; a second one with this key takes the place of the first."""
        made = MemoryTransport(self, key, admits)
        self._transports[key] = made
        self._wake()
        return made

    def cut(self, one: DeviceKey, other: DeviceKey) -> None:
        """End their connections at both sides at once; what was under way is lost. New ones can be dialled."""
        for line in self._of(one, other):
            for gate in line.gates.values():
                gate.drop()
            line.near.lose("cut")
            line.far.lose("cut")

    def hold(self, one: DeviceKey, other: DeviceKey) -> None:
        """Carry nothing between them until ``release``; both believe that they are connected. Dials wait."""
        self._held.add(frozenset((one, other)))
        for line in self._of(one, other):
            for gate in line.gates.values():
                gate.shut()

    def release(self, one: DeviceKey, other: DeviceKey) -> None:
        """Deliver what was held, in order, and carry again."""
        self._held.discard(frozenset((one, other)))
        for line in self._of(one, other):
            for gate in line.gates.values():
                gate.open()
        self._wake()

    def deliver_one(self, sender: DeviceKey, receiver: DeviceKey) -> bool:
        """Deliver the oldest thing held that ``sender`` said; False if there is none."""
        return any(line.gates[sender].pass_one() for line in self._of(sender, receiver))

    async def join(self, dialler: DeviceKey, accepter: DeviceKey) -> PairConnection:
        """Wait until the other device is there and reachable, and connect to it (``MemoryTransport.dial``)."""
        pair = frozenset((dialler, accepter))
        while pair in self._held or accepter not in self._transports:
            waiter = asyncio.Event()
            self._waiters.add(waiter)
            try:
                await waiter.wait()
            finally:
                self._waiters.discard(waiter)
        gates = Gate(), Gate()
        near, far = connected(dialler, accepter, self.path, gates)
        lines = [line for line in self._lines.get(pair, []) if not (line.near.closed and line.far.closed)]
        self._lines[pair] = [*lines, _Line(near, far, dict(zip((dialler, accepter), gates, strict=True)))]
        await self._transports[accepter].take_in(far)
        return near

    def leave(self, leaving: "MemoryTransport") -> Iterator[PairConnection]:
        """Take a transport off the board; yields its ends of the connections that it still has."""
        if self._transports.get(leaving.key) is leaving:
            del self._transports[leaving.key]
        for pair, lines in self._lines.items():
            if leaving.key in pair:
                for line in lines:
                    yield line.far if line.near.peer == leaving.key else line.near

    def _of(self, one: DeviceKey, other: DeviceKey) -> list[_Line]:
        return self._lines.get(frozenset((one, other)), [])

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.set()


class MemoryTransport:
    """One device's end on a switchboard. Like iroh it refuses to dial itself."""

    def __init__(self, board: Switchboard, key: DeviceKey, admits: Callable[[DeviceKey], bool]) -> None:
        """Made by ``Switchboard.transport``."""
        self._board = board
        self._key = key
        self._admits = admits
        self._incoming: Inbox[PairConnection] = Inbox(UNBOUNDED)

    @property
    def key(self) -> DeviceKey:
        """The key of this very device."""
        return self._key

    async def dial(self, address: Address, timeout_s: float) -> PairConnection:
        """Connect to another device on the board; an absent or unreachable one is silence."""
        if address.key == self._key:
            raise TransportError("A device reaches itself in process.")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._board.join(self._key, address.key)
        except TimeoutError as error:
            raise DialTimeout(waited_s=timeout_s) from error

    async def accept(self) -> PairConnection:
        """Wait for the next admitted connection."""
        return await self._incoming.take()

    def addresses(self) -> Sequence[str]:
        """None: keys are enough here."""
        return ()

    def relay(self) -> str | None:
        """None, likewise."""
        return None

    async def use_relays(self, urls: Iterable[str]) -> None:
        """There are none here."""

    async def publish(self, addresses: Iterable[str]) -> None:
        """Nobody needs addresses here."""

    def touch(self, address: str) -> None:
        """Nothing is between the ends."""

    async def reach_changed(self) -> None:
        """Wait for good: the board stays."""
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Close every connection and leave the board."""
        self._incoming.end(TransportError("The transport was closed here."), drop=True)
        for connection in tuple(self._board.leave(self)):
            await connection.close("closing")

    async def take_in(self, connection: PairConnection) -> None:
        """Queue a connection for ``accept``, or close it if its peer is not admitted."""
        if not self._admits(connection.peer):
            await connection.close("not_admitted")
        elif not self._incoming.put(connection):
            await connection.close("closing")
