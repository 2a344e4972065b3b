"""A relay client for tests, on the `websockets` library: another implementation than the relay's own.

Touches: sockets.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import websockets.asyncio.client
from blake3 import blake3
from nacl.signing import SigningKey
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from mesh.ids import DeviceKey
from mesh.protocol import relayed
from mesh.protocol.relayed import FromRelay, Version
from mesh.relay.server import Relay

LIMIT_S = 30.0
_FENCE = b"\xff" * relayed.PING_BYTES


def a_key(name: str) -> SigningKey:
    """A key that belongs to a name."""
    return SigningKey(name.encode().ljust(32, b"."))


def public(key: SigningKey) -> bytes:
    return bytes(key.verify_key)


def derive_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


class Denied(Exception):
    """The relay refused the handshake, with this reason."""


class RelayClient:
    """One connection: what it sends, and what it hears."""

    def __init__(self, socket: websockets.asyncio.client.ClientConnection, version: Version) -> None:
        self.socket = socket
        self.version: Version = version

    async def prove(self, key: bytes, signature: bytes) -> None:
        """Answer the challenge. Raises Denied."""
        await self.socket.send(relayed.client_auth(key, signature))
        reason = relayed.read_verdict(await self._raw())
        if reason is not None:
            raise Denied(reason)

    async def challenge(self) -> bytes:
        """The relay's first word."""
        return relayed.read_challenge(await self._raw())

    async def send(self, frame: bytes) -> None:
        await self.socket.send(frame)

    async def hear(self) -> FromRelay:
        """The next frame; the relay's pings are answered on the way."""
        while True:
            message = relayed.decode_from_relay(await self._raw(), self.version)
            if not isinstance(message, relayed.Ping):
                return message
            await self.send(relayed.pong(message.echo))

    async def heard(self) -> list[FromRelay]:
        """All that has come until the relay answers a ping: what it did for earlier frames has come before that."""
        await self.send(relayed.ping(_FENCE))
        messages: list[FromRelay] = []
        while (message := await self.hear()) != relayed.Pong(_FENCE):
            messages.append(message)
        return messages

    async def ended(self) -> int:
        """Wait until the relay ends the connection; returns the WebSocket close code."""
        try:
            while True:
                await self._raw()
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006

    async def _raw(self) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            message = await self.socket.recv()
        assert isinstance(message, bytes)
        return message


@asynccontextmanager
async def upgraded(url: str, version: Version = 2) -> AsyncIterator[RelayClient]:
    """A WebSocket to a relay, nothing proven yet."""
    names = [Subprotocol(name) for name, number in relayed.SUBPROTOCOLS if number == version]
    address = url.replace("http", "ws", 1) + "/relay"
    async with websockets.asyncio.client.connect(
        address, subprotocols=names, compression=None, proxy=None, close_timeout=1.0, ping_interval=None
    ) as socket:
        assert socket.subprotocol == names[0]
        yield RelayClient(socket, version)


@asynccontextmanager
async def connected(url: str, key: SigningKey, version: Version = 2) -> AsyncIterator[RelayClient]:
    """A client that the relay has accepted."""
    async with upgraded(url, version) as client:
        digest = relayed.challenge_digest(await client.challenge(), derive_key)
        await client.prove(public(key), key.sign(digest).signature)
        yield client


@asynccontextmanager
async def a_relay(
    networks: dict[SigningKey, Iterable[int]], relay: Relay | None = None, port: int = 0
) -> AsyncIterator[tuple[Relay, str]]:
    """A relay that runs and admits these keys, with its URL."""
    relay = relay or Relay()
    relay.admissions(((DeviceKey(public(key).hex()), numbers) for key, numbers in networks.items()), full=True)
    port = await relay.start("127.0.0.1", port)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(relay.run())
        try:
            yield relay, f"http://127.0.0.1:{port}"
        finally:
            running.cancel()
            await relay.stop()
