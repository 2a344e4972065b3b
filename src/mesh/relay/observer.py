"""The observer: tells a device under which address the world sees it, so that devices behind NAT find each other.

It is an iroh endpoint with the relay's key. It answers over a connection whose handshake is done, to keys that the
relay admits and to nobody else: a forged source address gets no packet out of it but the handshake's own, and an answer
names only the address that this very device's packets came from and went to.

Touches: sockets (UDP), clock (through ``now_ms``).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol import signed
from mesh.protocol.papers import OBSERVE, Observed
from mesh.transport.interface import Stream, TransportError
from mesh.transport.iroh import IrohTransport, Options
from mesh.transport.iroh_connection import IrohConnection

QUESTION_S: Final = 5.0
"""A device that opened a stream has asked within this, and has taken its answer."""
LINGER_S: Final = 10.0
"""A device asks, hears and hangs up. Who stays without a question is cut: an open connection costs 100 KiB here,
what is remembered of a closed one (for a minute) 14 KiB."""


class CannotObserve(MeshError):
    """The relay cannot open its UDP port. Choose a free port, or stop the program that holds it."""

    code = "relay.cannot_observe"
    kind = "unavailable"


class Observer:
    """Answers admitted devices. Make it with ``open``."""

    def __init__(
        self, transport: IrohTransport, seed: bytes, admits: Callable[[DeviceKey], bool], now_ms: Callable[[], int]
    ) -> None:
        """Take over a bound transport (``open`` does it)."""
        self.answered = 0
        self._transport = transport
        self._seed = seed
        self._admits = admits
        self._now_ms = now_ms
        self._connections: dict[DeviceKey, IrohConnection] = {}

    @classmethod
    async def open(
        cls, seed: bytes, bind: str, admits: Callable[[DeviceKey], bool], now_ms: Callable[[], int]
    ) -> "Observer":
        """Listen on ``bind``, an ``ip:port`` text. Raises CannotObserve."""
        try:
            transport = await IrohTransport.open(seed, Options(bind=bind), admits)
        except TransportError as error:
            raise CannotObserve(address=bind) from error
        return cls(transport, seed, admits, now_ms)

    @property
    def key(self) -> DeviceKey:
        """The relay's key."""
        return self._transport.key

    @property
    def port(self) -> int:
        """The UDP port that it listens on."""
        return int(self._transport.addresses()[0].rpartition(":")[2])

    @property
    def devices(self) -> int:
        """How many devices are connected."""
        return len(self._connections)

    async def run(self) -> None:
        """Answer until cancelled. A device keeps one connection: a newer one ends the one before."""
        async with asyncio.TaskGroup() as group:
            while True:
                connection = await self._transport.accept()
                before = self._connections.pop(connection.peer, None)
                if before is not None:
                    group.create_task(before.close("replaced"))
                self._connections[connection.peer] = connection
                group.create_task(self._serve(connection))

    def recheck(self) -> None:
        """The list of admitted keys changed: whoever is on it no more is cut."""
        for key, connection in self._connections.items():
            if not self._admits(key):
                connection.abort(0, "not_admitted")

    async def close(self) -> None:
        """Close every connection and the endpoint."""
        await self._transport.close()

    async def _serve(self, connection: IrohConnection) -> None:
        """One stream after the other, each with one question."""
        try:
            while True:
                async with asyncio.timeout(LINGER_S):
                    stream = await connection.accept_stream()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUESTION_S):
                        await self._answer(connection, stream)
        except (TransportError, TimeoutError):
            return  # it hung up, or should have
        finally:
            if self._connections.get(connection.peer) is connection:
                del self._connections[connection.peer]
            await connection.close()

    async def _answer(self, connection: IrohConnection, stream: Stream) -> None:
        asked = b""
        while len(asked) < len(OBSERVE):
            piece = await stream.read()
            if not piece:
                break
            asked += piece
        address = connection.seen_at()
        if asked != OBSERVE or address is None or not self._admits(connection.peer):
            await stream.reset()
            return
        paper = Observed(network="", key=connection.peer, address=address, time_ms=self._now_ms())
        await stream.write(signed.sign(paper, self._seed).encode(), QUESTION_S)
        await stream.finish()
        self.answered += 1
