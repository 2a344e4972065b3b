"""Through the relay: when direct paths are refused, when the relay comes late, goes, or does not know us."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest

from mesh.ids import DeviceKey
from mesh.protocol.signed import public_key
from mesh.relay.server import Relay
from mesh.transport.interface import Address, DialTimeout, TransportTimeout
from mesh.transport.iroh import IrohTransport
from mesh.units import MIB
from transport_ends import LIMIT_S, SEED_A, SEED_B, Ends, a_stream, connect, iroh_end, read_exactly, within

pytestmark = pytest.mark.anyio

KEYS = public_key(SEED_A), public_key(SEED_B)

Open = Callable[..., Awaitable[IrohTransport]]


class Relayed(NamedTuple):
    relay: Relay
    url: str


@contextlib.asynccontextmanager
async def a_relay(port: int = 0, admitted: tuple[DeviceKey, ...] = KEYS) -> AsyncIterator[Relayed]:
    relay = Relay()
    port = await relay.start("127.0.0.1", port)
    relay.admissions([(key, (1,)) for key in admitted], full=True)
    clock = asyncio.create_task(relay.run())
    try:
        yield Relayed(relay, f"http://127.0.0.1:{port}")
    finally:
        clock.cancel()
        await asyncio.wait([clock])
        await relay.stop()


@pytest.fixture
async def relayed() -> AsyncIterator[Relayed]:
    async with a_relay() as made:
        yield made


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens transports that are closed after the test."""
    async with contextlib.AsyncExitStack() as closing:

        async def open_one(seed: bytes, **options: object) -> IrohTransport:
            transport = await iroh_end(seed, **options)
            closing.push_async_callback(transport.close)
            return transport

        yield open_one


@pytest.mark.parametrize("refusing", ["dialler", "accepter", "both"])
async def test_with_direct_paths_refused_all_goes_through_the_relay(
    relayed: Relayed, opened: Open, refusing: str
) -> None:
    near = await opened(SEED_A, relays=(relayed.url,), direct=refusing == "accepter")
    far = await opened(SEED_B, relays=(relayed.url,), direct=refusing == "dialler")
    await asyncio.gather(near.wait_relay(LIMIT_S), far.wait_relay(LIMIT_S))

    ends = Ends(near, far, Address(far.key, tuple(far.addresses()), relayed.url))
    connections = await connect(ends)
    here, there = await a_stream(*connections)
    for _ in range(20):  # long past the exchange of addresses inside the connection
        await here.write(bytes(MIB), LIMIT_S)
        await read_exactly(there, MIB)

    assert [end.path().kind for end in connections] == ["relayed", "relayed"]
    assert relayed.relay.pairing.counters.bytes_forwarded > 20 * MIB
    assert (near if refusing == "dialler" else far).addresses() == () or refusing == "accepter"


async def test_a_relayed_connection_becomes_direct_where_it_can(relayed: Relayed, opened: Open) -> None:
    near = await opened(SEED_A, relays=(relayed.url,))
    far = await opened(SEED_B, relays=(relayed.url,))
    await asyncio.gather(near.wait_relay(LIMIT_S), far.wait_relay(LIMIT_S))
    connections = await connect(Ends(near, far, Address(far.key, (), relayed.url)))
    here, there = await a_stream(*connections)
    async with asyncio.timeout(LIMIT_S):
        while {end.path().kind for end in connections} != {"direct"}:
            await here.write(b"?", LIMIT_S)
            await there.read(LIMIT_S)


async def test_a_relay_may_be_named_after_the_start_and_taken_away(relayed: Relayed, opened: Open) -> None:
    far = await opened(SEED_B, direct=False)
    with pytest.raises(TransportTimeout):
        await far.wait_relay(0.1)
    await far.use_relays([relayed.url])
    await far.wait_relay(LIMIT_S)
    near = await opened(SEED_A, direct=False)  # dialling needs no relay of one's own: the address names it
    connections = await connect(Ends(near, far, Address(far.key, (), relayed.url)))
    await a_stream(*connections)
    await far.use_relays([])
    await a_stream(*connections)  # what lives stays up


async def test_a_relay_that_does_not_admit_us_is_silence(opened: Open) -> None:
    async with a_relay(admitted=KEYS[:1]) as relayed:
        near = await opened(SEED_A, relays=(relayed.url,), direct=False)
        far = await opened(SEED_B, relays=(relayed.url,), direct=False)
        await near.wait_relay(LIMIT_S)
        with pytest.raises(TransportTimeout):
            await far.wait_relay(0.5)
        with pytest.raises(DialTimeout):
            await near.dial(Address(far.key, (), relayed.url), 0.3)


async def test_a_relayed_connection_survives_a_restart_of_the_relay(opened: Open) -> None:
    async with a_relay() as first:
        near = await opened(SEED_A, relays=(first.url,), direct=False)
        far = await opened(SEED_B, relays=(first.url,), direct=False)
        await asyncio.gather(near.wait_relay(LIMIT_S), far.wait_relay(LIMIT_S))
        connections = await connect(Ends(near, far, Address(far.key, (), first.url)))
        here, there = await a_stream(*connections)
    await here.write(b"while it is away", LIMIT_S)
    async with a_relay(port=int(first.url.rpartition(":")[2])):
        assert await within(read_exactly(there, 16)) == b"while it is away"
        await there.write(b"and back", LIMIT_S)
        assert await within(read_exactly(here, 8)) == b"and back"
        await near.close()
        await far.close()
