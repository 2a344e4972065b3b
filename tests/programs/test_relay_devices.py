"""Real devices (iroh) that refuse direct paths, through our relay."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nacl.signing import SigningKey

from mesh.ids import DeviceKey
from mesh.relay.server import Relay
from mesh.transport.interface import Address, DialTimeout, Stream, TransportTimeout
from mesh.transport.iroh import IrohConnection, IrohTransport, Options
from relay_client import a_key, a_relay, public

pytestmark = pytest.mark.anyio

A, B, C = a_key("device a"), a_key("device b"), a_key("device c")
LIMIT_S = 30.0


@asynccontextmanager
async def a_device(key: SigningKey, url: str) -> AsyncIterator[IrohTransport]:
    """A device that is reached through the relay only."""
    transport = await IrohTransport.open(bytes(key), Options([url], "127.0.0.1:0", direct=False))
    try:
        yield transport
    finally:
        await transport.close()


def at(key: SigningKey, url: str) -> Address:
    return Address(DeviceKey(public(key).hex()), (), url)


async def connect(near: IrohTransport, far: IrohTransport, url: str) -> tuple[IrohConnection, IrohConnection]:
    await far.wait_relay(LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        here, there = await asyncio.gather(near.dial(Address(far.key, (), url), LIMIT_S), far.accept())
    return here, there


async def read_exactly(stream: Stream, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = await stream.read(LIMIT_S)
        assert part, "the stream ended early"
        received += part
    return received


async def echo(here: IrohConnection, there: IrohConnection) -> tuple[Stream, Stream]:
    """A stream between the two, tried both ways."""
    asking = await here.open_stream(LIMIT_S)
    await asking.write(b"ping", LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        answering = await there.accept_stream()
    assert await read_exactly(answering, 4) == b"ping"
    await answering.write(b"pong", LIMIT_S)
    assert await read_exactly(asking, 4) == b"pong"
    return asking, answering


async def test_two_devices_of_a_network_meet_through_the_relay() -> None:
    async with a_relay({A: (1,), B: (1,)}) as (relay, url), a_device(A, url) as a, a_device(B, url) as b:
        here, there = await connect(a, b, url)
        assert (here.peer, there.peer) == (b.key, a.key)
        asking, answering = await echo(here, there)
        content = bytes(range(256)) * 16384  # 4 MiB
        async with asyncio.TaskGroup() as group:
            group.create_task(asking.write(content, LIMIT_S))
            received = group.create_task(read_exactly(answering, len(content)))
        assert received.result() == content
        assert here.path().kind == there.path().kind == "relayed"
        assert relay.pairing.counters.bytes_forwarded > len(content)
        assert relay.pairing.counters.closed == {}


async def test_a_connection_survives_a_restart_of_the_relay() -> None:
    networks = {A: (1,), B: (1,)}
    async with a_relay(networks) as (first, url), a_device(A, url) as a, a_device(B, url) as b:
        here, there = await connect(a, b, url)
        asking, answering = await echo(here, there)
        await first.stop()
        async with a_relay(networks, port=int(url.rpartition(":")[2])) as (second, _):
            await asking.write(b"still there?", LIMIT_S)
            assert await read_exactly(answering, 12) == b"still there?"
            await answering.write(b"yes", LIMIT_S)
            assert await read_exactly(asking, 3) == b"yes"
            assert second.handshakes["accepted"] >= 2
            assert not here.closed


async def test_devices_of_two_networks_do_not_find_each_other() -> None:
    async with a_relay({A: (1,), C: (2,)}) as (relay, url), a_device(A, url) as a, a_device(C, url) as c:
        await a.wait_relay(LIMIT_S)
        await c.wait_relay(LIMIT_S)
        with pytest.raises(DialTimeout):
            await a.dial(at(C, url), 1.0)
        assert relay.pairing.counters.frames_forwarded == 0
        assert relay.pairing.counters.dropped["no_route"] > 0


async def test_a_device_that_is_admitted_later_gets_in_by_itself() -> None:
    relay = Relay()
    async with a_relay({}, relay) as (_, url), a_device(A, url) as a:
        with pytest.raises(TransportTimeout):
            await a.wait_relay(1.0)
        assert relay.handshakes["accepted"] == 0
        relay.admissions([(a.key, (1,))], full=False)
        await a.wait_relay(LIMIT_S)
        assert relay.handshakes["accepted"] == 1


async def test_a_removed_device_reaches_nobody_any_more() -> None:
    async with a_relay({A: (1,), B: (1,)}) as (relay, url), a_device(A, url) as a, a_device(B, url) as b:
        here, there = await connect(a, b, url)
        await echo(here, there)
        relay.admissions([(b.key, ())], full=False)
        assert relay.pairing.connections == 1
        before = relay.pairing.counters.frames_forwarded
        with pytest.raises(DialTimeout):
            await a.dial(at(B, url), 1.0)
        assert relay.pairing.counters.frames_forwarded == before


@asynccontextmanager
async def far_away(url: str, each_way_s: float) -> AsyncIterator[str]:
    """The same relay, as one sees it over a long way: every piece arrives so much later."""
    host, _, port = url.removeprefix("http://").rpartition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                await asyncio.sleep(each_way_s)  # the long way itself
                writer.write(piece)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):
            await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer))

    serving: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@pytest.mark.parametrize("far_first", [True, False])
async def test_of_several_relays_a_device_is_reached_through_the_nearest(far_first: bool) -> None:
    async with (
        a_relay({A: (1,)}) as (_, near),
        a_relay({A: (1,)}) as (_, other),
        far_away(other, 0.15) as far,
    ):
        urls = [far, near] if far_first else [near, far]
        device = await IrohTransport.open(bytes(A), Options(urls, "127.0.0.1:0", direct=False))
        try:
            await device.wait_relay(LIMIT_S)
            async with asyncio.timeout(LIMIT_S):
                while (device.relay() or "").rstrip("/") != near:  # noqa: ASYNC110 - the binding tells nobody
                    await asyncio.sleep(0.05)
        finally:
            await device.close()
