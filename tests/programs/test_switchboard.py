"""The hooks of the network in memory, which other tests rely on."""

import asyncio

import pytest

from mesh.transport.interface import Address, ConnectionLost, DialTimeout, Path, TransportTimeout
from mesh.transport.memory import Switchboard
from transport_ends import KEY_A, KEY_B, KEY_C, LIMIT_S, Ends, a_stream, connect, read_exactly, read_to_end, within

pytestmark = pytest.mark.anyio


def ends_on(board: Switchboard) -> Ends:
    return Ends(board.transport(KEY_A), board.transport(KEY_B), Address(KEY_B))


async def test_cutting_ends_both_sides_at_once_and_a_new_dial_works() -> None:
    board = Switchboard(Path("relayed", 20.0))
    ends = ends_on(board)
    near, far = await connect(ends)
    here, there = await a_stream(near, far)
    await here.write(b"unread", LIMIT_S)

    board.cut(KEY_A, KEY_B)

    assert near.closed
    assert far.closed
    for stream in (here, there):
        with pytest.raises(ConnectionLost):
            await stream.read(LIMIT_S)
    connections = await connect(ends)
    assert connections[0].path() == Path("relayed", 20.0)
    await a_stream(*connections)


async def test_what_is_held_arrives_in_order_when_released() -> None:
    board = Switchboard()
    near, far = await connect(ends_on(board))
    here, there = await a_stream(near, far)
    board.hold(KEY_A, KEY_B)

    await here.write(b"one", LIMIT_S)
    await here.write(b"two", LIMIT_S)
    await here.finish()
    await there.write(b"back", LIMIT_S)
    await near.close()
    with pytest.raises(TransportTimeout):
        await there.read(0.01)
    assert near.closed
    assert not far.closed

    assert board.deliver_one(KEY_A, KEY_B)
    assert await there.read(LIMIT_S) == b"one"
    assert board.deliver_one(KEY_A, KEY_B)
    assert board.deliver_one(KEY_A, KEY_B)
    assert await read_to_end(there) == b"two"
    board.release(KEY_A, KEY_B)
    await within(far.wait_closed())
    assert not board.deliver_one(KEY_A, KEY_B)


async def test_a_held_line_takes_no_more_than_its_window() -> None:
    board = Switchboard()
    here, there = await a_stream(*await connect(ends_on(board)))
    board.hold(KEY_A, KEY_B)
    writing = asyncio.create_task(here.write(bytes(8_000_000), LIMIT_S))
    await asyncio.wait([writing], timeout=0.01)
    assert not writing.done()
    board.release(KEY_A, KEY_B)
    await read_exactly(there, 8_000_000)
    await within(writing)


async def test_a_held_pair_cannot_be_dialled_until_released_and_others_can() -> None:
    board = Switchboard()
    ends = ends_on(board)
    board.hold(KEY_A, KEY_B)
    with pytest.raises(DialTimeout):
        await ends.near.dial(ends.address, 0.01)
    await a_stream(*await connect(Ends(ends.near, board.transport(KEY_C), Address(KEY_C))))

    dialling = asyncio.create_task(ends.near.dial(ends.address, LIMIT_S))
    await asyncio.sleep(0)
    board.release(KEY_A, KEY_B)
    await a_stream(await dialling, await within(ends.far.accept()))


async def test_a_device_that_comes_while_it_is_dialled_is_reached() -> None:
    board = Switchboard()
    near = board.transport(KEY_A)
    dialling = asyncio.create_task(near.dial(Address(KEY_B), LIMIT_S))
    await asyncio.sleep(0)
    far = board.transport(KEY_B)
    await a_stream(await within(dialling), await within(far.accept()))
