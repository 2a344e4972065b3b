"""What of a session leaves when: what somebody waits for at once, what nobody waits for with it or a little later."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from examples import JOB, LOAD, SECRET, SPEC, SUBMIT_TOKEN

from mesh.agent.peers.stream import SessionStream
from mesh.ids import DeviceKey, JobId
from mesh.protocol import frames
from mesh.protocol.session import Session
from mesh.protocol.values import Usage
from mesh.transport.interface import Path
from mesh.transport.pair import connected
from waiting import LIMIT_S, until

pytestmark = pytest.mark.anyio

OTHER = JobId(JOB[:-1] + ("0" if JOB[-1] != "0" else "1"))
HELLO = frames.Hello("c.c.c")
SUBMIT = frames.Submit(JOB, 1, SUBMIT_TOKEN, SPEC, SECRET, None, b"x", 1)


class Greets:
    """Admits whoever says Hello."""

    def hello(self, stream, hello):
        stream.session.admit()

    def frame(self, stream, frame):
        pass

    def ended(self, stream, keys, error):
        pass


class Far:
    """The other end, read write by write."""

    def __init__(self, stream, side):
        self.stream, self.session = stream, Session(side)

    async def greet(self):
        assert await self.hear() == [HELLO]
        self.session.admit()
        await self.say(HELLO)

    async def say(self, *said):
        await self.stream.write(b"".join(self.session.send(frame) for frame in said), LIMIT_S)

    async def hear(self):
        """The frames that left in one write."""
        return self.session.receive(await self.stream.read(LIMIT_S))


@asynccontextmanager
async def session(side):
    """A session's stream on ``side``, and the far end of it."""
    near, far = connected(DeviceKey("a" * 64), DeviceKey("b" * 64), Path("direct"))
    stream = SessionStream(await near.open_stream(LIMIT_S), side, Greets())
    running = asyncio.ensure_future(stream.run())
    stream.send(HELLO)
    other = Far(await far.accept_stream(), "worker" if side == "asker" else "asker")
    await other.greet()
    await asyncio.wait_for(stream.settled.wait(), LIMIT_S)
    try:
        yield stream, other
    finally:
        running.cancel()
        await asyncio.wait((running,))
        await near.close()


async def test_a_submit_overtakes_what_nobody_waits_for_and_that_follows_by_itself():
    async with session("asker") as (stream, worker):
        done = frames.Acknowledged(OTHER, 1, "u.u.u")
        stream.send(done)
        stream.send(SUBMIT)
        assert await worker.hear() == [SUBMIT]
        assert await worker.hear() == [done]


async def test_what_is_no_news_to_wait_for_leaves_with_the_next_that_is():
    async with session("worker") as (stream, asker):
        await asker.say(SUBMIT)
        await until(lambda: stream.session.in_flight == 1)
        told = [frames.Accept(JOB, 1, 0.0, LOAD), frames.Started(JOB, 1, LOAD)]
        told.append(frames.Done(JOB, 1, Usage(1), "c.c.c", b"r", 1, LOAD))
        for frame in told:
            stream.send(frame)
        assert await asker.hear() == told
