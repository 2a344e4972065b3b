"""What every transport promises, asked of each of them: in memory, in process, and iroh over loopback."""

import asyncio
import gc
import hashlib
import random
from collections.abc import AsyncIterator

import pytest

from mesh.ids import DeviceKey
from mesh.transport.interface import Address, Connection, ConnectionLost, DialTimeout, TransportError, TransportTimeout
from mesh.units import KIB, MIB
from transport_ends import (
    KEY_C,
    LIMIT_S,
    SEED_A,
    Ends,
    a_stream,
    connect,
    ends_of,
    iroh_end,
    read_exactly,
    read_to_end,
    within,
)

pytestmark = pytest.mark.anyio

BIG = 32 * MIB
"""More than any window: a write of this does not end unread."""


@pytest.fixture(params=["memory", "local", "iroh"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def ends(kind: str) -> AsyncIterator[Ends]:
    async with ends_of(kind) as made:
        yield made


@pytest.fixture
async def pair(ends: Ends) -> tuple[Connection, Connection]:
    return await connect(ends)


Pair = tuple[Connection, Connection]


async def test_each_end_knows_the_other_and_the_path(kind: str, ends: Ends, pair: Pair) -> None:
    near, far = pair
    assert (near.peer, far.peer) == (ends.far.key, ends.near.key)
    assert near.path().kind == far.path().kind == ("local" if kind == "local" else "direct")
    assert not near.closed
    assert not far.closed


async def test_large_content_arrives_whole_in_both_directions_at_once(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    content = random.Random(1).randbytes(BIG)

    async with asyncio.TaskGroup() as group:
        group.create_task(here.write(content, LIMIT_S))
        group.create_task(there.write(content[::-1], LIMIT_S))
        received = group.create_task(read_exactly(there, BIG))
        returned = group.create_task(read_exactly(here, BIG))

    assert hashlib.sha256(received.result()).digest() == hashlib.sha256(content).digest()
    assert hashlib.sha256(returned.result()).digest() == hashlib.sha256(content[::-1]).digest()


async def test_cancelled_reads_lose_nothing(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    content = random.Random(2).randbytes(64 * 400)
    unsent = [content[start : start + 64] for start in range(0, len(content), 64)]
    dice = random.Random(3)
    received = bytearray()
    cancelled = 0

    while cancelled < 400:
        reading = asyncio.create_task(there.read(LIMIT_S))
        await asyncio.sleep(0)
        if unsent and dice.random() < 0.5:
            await here.write(unsent.pop(0), LIMIT_S)
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        reading.cancel()
        try:
            received += await reading
        except asyncio.CancelledError:
            cancelled += 1
    await here.write(b"".join(unsent), LIMIT_S)
    received += await read_exactly(there, len(content) - len(received))

    assert bytes(received) == content


async def test_a_read_that_times_out_loses_nothing(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    with pytest.raises(TransportTimeout):
        await there.read(0.01)
    await here.write(b"later", LIMIT_S)
    assert await read_exactly(there, 5) == b"later"


async def test_cancelled_accepts_lose_no_stream(pair: Pair) -> None:
    near, far = pair
    dice = random.Random(4)
    opened = []
    seen = []

    async def open_all() -> None:
        for number in range(60):
            stream = await near.open_stream(LIMIT_S)
            await stream.write(number.to_bytes(2), LIMIT_S)
            opened.append(stream)

    async with asyncio.TaskGroup() as group:
        group.create_task(open_all())
        while len(seen) < 60:
            accepting = asyncio.create_task(far.accept_stream())
            for _ in range(dice.randrange(1, 6)):
                await asyncio.sleep(0)
            accepting.cancel()
            try:
                seen.append(await accepting)
            except asyncio.CancelledError:
                assert accepting.cancelled()

    numbers = [int.from_bytes(await read_exactly(stream, 2)) for stream in seen]
    assert numbers == list(range(60))


async def test_cancelled_accepts_lose_no_connection(ends: Ends) -> None:
    accepting = asyncio.create_task(ends.far.accept())
    await asyncio.sleep(0)
    dialled = await ends.near.dial(ends.address, LIMIT_S)
    accepting.cancel()
    try:
        accepted = await accepting
    except asyncio.CancelledError:
        accepted = await within(ends.far.accept())
    await a_stream(dialled, accepted)


async def test_a_writer_waits_for_its_reader_and_a_limit_resets_the_stream(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    with pytest.raises(TransportTimeout):
        await here.write(bytes(BIG), 0.3)
    with pytest.raises(ConnectionLost):
        await read_to_end(there)  # not a clean end: that would hide the missing part
    with pytest.raises(ConnectionLost):
        await here.write(b"more", LIMIT_S)
    with pytest.raises(ConnectionLost):
        await here.finish()


async def test_a_cancelled_write_resets_the_stream(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    writing = asyncio.create_task(here.write(bytes(BIG), LIMIT_S))
    await read_exactly(there, 64 * KIB)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    with pytest.raises(ConnectionLost):
        await here.finish()
    with pytest.raises(ConnectionLost):
        await read_to_end(there)


async def test_a_stream_that_is_dropped_unfinished_is_not_mistaken_for_complete(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    await here.write(b"half of it", LIMIT_S)
    assert await read_exactly(there, 10) == b"half of it"
    del here
    with pytest.raises(ConnectionLost):
        await there.read(LIMIT_S)


async def test_a_stream_that_is_dropped_within_a_cycle_is_reset_too(pair: Pair) -> None:
    """A cycle's finalizers run in any order: what the stream needs for its reset must not be freed before."""
    here, there = await a_stream(*pair)
    here.itself = here  # type: ignore[attr-defined]
    del here
    gc.collect()
    with pytest.raises(ConnectionLost):
        await there.read(LIMIT_S)


async def test_after_finish_the_peer_reads_the_end_and_may_still_answer(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    await here.write(b"question", LIMIT_S)
    await here.finish()
    assert await read_to_end(there) == b"question"
    assert await there.read(LIMIT_S) == b""
    await there.write(b"answer", LIMIT_S)
    await there.finish()
    assert await read_to_end(here) == b"answer"
    with pytest.raises(ConnectionLost):
        await here.write(b"more", LIMIT_S)


async def test_a_finished_stream_without_content_is_seen(pair: Pair) -> None:
    near, far = pair
    empty = await near.open_stream(LIMIT_S)
    await empty.finish()
    assert await (await within(far.accept_stream())).read(LIMIT_S) == b""


async def test_a_stream_is_seen_with_its_first_write(pair: Pair) -> None:
    near, far = pair
    silent = await near.open_stream(LIMIT_S)
    accepting = asyncio.create_task(far.accept_stream())
    await asyncio.wait([accepting], timeout=0.05)
    assert not accepting.done()
    await silent.write(b"now", LIMIT_S)
    assert await read_exactly(await within(accepting), 3) == b"now"


async def test_reset_ends_both_directions_though_a_read_and_a_write_are_pending(pair: Pair) -> None:
    here, there = await a_stream(*pair)
    writing = asyncio.create_task(here.write(bytes(BIG), LIMIT_S))
    reading = asyncio.create_task(here.read(LIMIT_S))
    await read_exactly(there, 64 * KIB)

    await within(here.reset())

    for pending in (writing, reading):
        with pytest.raises(ConnectionLost):
            await within(pending)
    with pytest.raises(ConnectionLost):
        await read_to_end(there)
    with pytest.raises(ConnectionLost):
        await there.write(bytes(BIG), LIMIT_S)
    await a_stream(*pair)  # the connection lives on


async def test_closing_ends_the_peers_reads_writes_and_accepts(pair: Pair) -> None:
    near, far = pair
    here, there = await a_stream(near, far)
    reading = asyncio.create_task(there.read(LIMIT_S))
    accepting = asyncio.create_task(far.accept_stream())
    await asyncio.sleep(0)

    await within(near.close("job.done"))
    await within(far.wait_closed())
    await within(near.wait_closed())

    assert near.closed
    assert far.closed
    for pending in (reading, accepting):
        with pytest.raises(ConnectionLost):
            await within(pending)
    for stream in (here, there):
        with pytest.raises(ConnectionLost):
            await stream.write(b"x", LIMIT_S)
        with pytest.raises(ConnectionLost):
            await stream.read(LIMIT_S)
    for end in pair:
        with pytest.raises(ConnectionLost):
            await end.open_stream(LIMIT_S)
        with pytest.raises(ConnectionLost):
            await within(end.accept_stream())
        await within(end.close())  # again: nothing happens
    assert near.path().kind == far.path().kind  # the last one known


async def test_a_read_or_accept_that_begins_as_the_connection_ends_does_not_hang(ends: Ends) -> None:
    for wait in range(12):
        near, far = await connect(ends)
        here, _ = await a_stream(near, far)
        await far.close("job.done")
        for _ in range(wait):
            await asyncio.sleep(0)
        with pytest.raises(ConnectionLost):
            await within(here.read(LIMIT_S))
        with pytest.raises(ConnectionLost):
            await within(near.accept_stream())


async def test_many_streams_at_once_keep_to_themselves(pair: Pair) -> None:
    near, far = pair

    async def answer() -> None:
        async with asyncio.TaskGroup() as answers:
            for _ in range(150):
                answers.create_task(echo(await far.accept_stream()))

    async def echo(stream: object) -> None:
        await stream.write(await read_to_end(stream), LIMIT_S)  # type: ignore[attr-defined]
        await stream.finish()  # type: ignore[attr-defined]

    async def ask(number: int) -> None:
        stream = await near.open_stream(LIMIT_S)
        content = number.to_bytes(4) * 500
        await stream.write(content, LIMIT_S)
        await stream.finish()
        assert await read_to_end(stream) == content

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(answer())
        for number in range(150):
            group.create_task(ask(number))


async def test_connections_of_one_pair_are_apart(ends: Ends) -> None:
    first, second = await connect(ends), await connect(ends)
    await first[0].close()
    await within(first[1].wait_closed())
    await a_stream(*second)


async def test_a_closed_transport_accepts_no_more_and_its_peers_notice(kind: str) -> None:
    async with ends_of(kind) as ends:
        near, _ = await connect(ends)
        accepting = asyncio.create_task(ends.far.accept())
        await asyncio.sleep(0)
        await within(ends.far.close())
        with pytest.raises(TransportError):
            await within(accepting)
        with pytest.raises(TransportError):
            await within(ends.far.accept())
        await within(near.wait_closed())


@pytest.mark.parametrize("kind", ["memory", "iroh"])
async def test_an_absent_device_is_silence_until_the_limit(kind: str) -> None:
    async with ends_of(kind) as ends:
        absent = KEY_C
        if kind == "iroh":
            other = await iroh_end(b"\x03" * 32)
            absent, nowhere = other.key, tuple(other.addresses())
            await other.close()
        began = asyncio.get_running_loop().time()
        with pytest.raises(DialTimeout):
            await ends.near.dial(Address(absent, nowhere if kind == "iroh" else ()), 0.3)
        assert 0.29 <= asyncio.get_running_loop().time() - began < 2.0


@pytest.mark.parametrize("kind", ["memory", "iroh"])
async def test_a_peer_that_is_not_admitted_is_closed_before_its_bytes_are_read(kind: str) -> None:
    asked: list[DeviceKey] = []

    def nobody(key: DeviceKey) -> bool:
        asked.append(key)
        return False

    async with ends_of(kind, nobody) as ends:
        accepting = asyncio.create_task(ends.far.accept())
        near = await ends.near.dial(ends.address, LIMIT_S)
        await within(near.wait_closed())
        with pytest.raises(ConnectionLost):
            await near.open_stream(LIMIT_S)
        assert asked == [ends.near.key]
        assert not accepting.done()
        accepting.cancel()


@pytest.mark.parametrize("kind", ["memory", "iroh"])
async def test_without_a_local_transport_around_it_nobody_dials_themselves(kind: str) -> None:
    async with ends_of(kind) as ends:
        with pytest.raises(TransportError):
            await ends.near.dial(Address(ends.near.key, tuple(ends.near.addresses())), 1.0)


async def test_dialling_yourself_beside_iroh_and_accepting_both_kinds() -> None:
    from mesh.transport.local import LocalTransport

    own = LocalTransport(await iroh_end(SEED_A))
    other = await iroh_end(b"\x04" * 32)
    try:
        inner = await connect(Ends(own, own, Address(own.key)))
        outer = await connect(Ends(other, own, Address(own.key, tuple(own.addresses()))))
        assert [end.path().kind for end in (*inner, *outer)] == ["local", "local", "direct", "direct"]
        await a_stream(*inner)
        await a_stream(*outer)
        await own.close()
        assert inner[0].closed
        assert inner[1].closed
    finally:
        await own.close()
        await other.close()
