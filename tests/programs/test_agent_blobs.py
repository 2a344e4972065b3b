"""Long payloads on streams of their own: in any order with their announcement, never more than was announced."""

import asyncio

import pytest

from mesh.agent.peers import blobs
from mesh.agent.peers.blobs import EARLY_MAX, Inbox
from mesh.ids import JobId
from mesh.protocol import frames
from mesh.protocol.frames import FrameError, FrameReader
from mesh.protocol.signed import public_key
from mesh.transport.interface import Address, ConnectionLost, TransportError
from mesh.transport.memory import Switchboard

pytestmark = pytest.mark.anyio

KEY = (JobId("J"), 1)


@pytest.fixture
async def ends():
    board = Switchboard()
    one, other = (board.transport(public_key(bytes([number]) * 32)) for number in (1, 2))
    dialled, accepted = await asyncio.gather(one.dial(Address(other.key), 30.0), other.accept())
    yield dialled, accepted
    await one.close()
    await other.close()


async def take_in(connection, inbox, arriving):
    """Read one blob stream's first frame and hand the rest to the inbox, as a connection does."""
    stream = await connection.accept_stream()
    reader = FrameReader()
    first = None
    while first is None:
        reader.feed(await stream.read(30.0))
        first = reader.next()
    arriving.append(asyncio.create_task(inbox.arrived(first, stream, reader.rest)))


async def settle(arriving):
    for task in arriving:
        task.cancel()
    await asyncio.gather(*arriving, return_exceptions=True)


@pytest.mark.parametrize("early", [True, False])
async def test_a_blob_arrives_whole_before_or_after_it_is_expected(ends, early):
    near, far = ends
    inbox, arriving, content = Inbox(), [], bytes(range(256)) * 4096
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        sending = group.create_task(blobs.send(near, KEY, content))
        if early:
            await take_in(far, inbox, arriving)
            received = await inbox.receive(KEY, len(content))
        else:
            receiving = group.create_task(inbox.receive(KEY, len(content)))
            await take_in(far, inbox, arriving)
            received = await receiving
        await sending
    assert received == content
    await settle(arriving)


@pytest.mark.parametrize("announced", [10, 1000])
async def test_another_size_than_was_announced_is_refused(ends, announced):
    near, far = ends
    inbox, arriving = Inbox(), []
    sending = asyncio.create_task(blobs.send(near, KEY, b"x" * 100))
    await take_in(far, inbox, arriving)
    with pytest.raises(FrameError):
        await inbox.receive(KEY, announced)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await settle(arriving)


async def test_a_blob_that_ends_early_is_a_loss(ends):
    near, far = ends
    inbox, arriving = Inbox(), []
    stream = await near.open_stream(30.0)
    await stream.write(frames.encode(frames.Blob(*KEY, 100)) + b"x" * 50, 30.0)
    await stream.finish()
    await take_in(far, inbox, arriving)
    with pytest.raises(ConnectionLost):
        await inbox.receive(KEY, 100)
    await settle(arriving)


async def test_blobs_that_nobody_expects_are_few_and_a_second_one_is_refused(ends):
    near, far = ends
    inbox, arriving, streams = Inbox(), [], []
    for number in [*range(EARLY_MAX), 0, EARLY_MAX]:
        stream = await near.open_stream(30.0)
        streams.append(stream)
        await stream.write(frames.encode(frames.Blob(JobId(f"J{number}"), 1, 5)) + b"hello", 30.0)
        await take_in(far, inbox, arriving)
    for refused in streams[-2:]:
        with pytest.raises(TransportError):
            while await refused.read(30.0):
                pass
    await streams[0].finish()
    assert await inbox.receive((JobId("J0"), 1), 5) == b"hello"
    await settle(arriving)
