"""A job's result while it is made, for those inside the agent who hand it on: ``async for`` over its bytes.

    async with streamed(requester.run, ask) as answer:
        begun = await answer.begun()        # Begun; raises what the job failed with before its first byte
        async for content in answer:        # bytes as they come; ``answer.texts()``: text, no character is ever cut
            ...
        result = answer.result              # the whole Result, with charge, units and the payload

What is read too slowly holds up what the engine on the other device says. Leaving the block early cancels the job; what
had come by then is paid. A stream that breaks in the middle raises StreamBroken out of the loop, and is never begun
anew; where ``run`` is one of ``resuming`` it goes on elsewhere, and ``on_join`` is told. A workload that does not
stream gives nothing before its end: then ``begun`` is known from its result.

Touches: nothing.
"""

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from mesh.agent.asking.asked import Ask, Begun, Join, Reader, Result

Run = Callable[[Ask], Awaitable[Result]]


class Streamed:
    """One job's result as it comes. Made by ``streamed``; read by one reader."""

    def __init__(self) -> None:
        self.reader = Reader(self._put, self._begin)
        self.reader.joined = self._join
        self.on_join: Callable[[Join], None] = lambda join: None
        """Called where the text goes on in another job, between the pieces before and after it."""
        self._come: deque[bytes | Join] = deque()
        self._news = asyncio.Event()
        self._begun: Begun | None = None
        self._job: asyncio.Future[Result]

    @property
    def result(self) -> Result:
        """The whole result; only after the stream has ended."""
        return self._job.result()

    async def begun(self) -> Begun:
        """Where it is done and what it costs at most, with its first byte. Raises what the job failed with."""
        while self._begun is None and not self._job.done():
            await self._wait()
        if self._begun is not None:
            return self._begun
        result = self._job.result()
        attempt = result.attempts[-1].attempt if result.attempts else 1
        return Begun(result.job, attempt, result.device, result.path, result.charge, result.model)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._come:
            if self._job.done():
                self._job.result()  # raises what ended it
                raise StopAsyncIteration
            await self._wait()
        content = self._come.popleft()
        if isinstance(content, Join):
            self.on_join(content)
            return await anext(self)
        self.reader.took(len(content))
        return content

    async def texts(self) -> AsyncIterator[str]:
        """The stream as text; a character whose bytes come apart is given once it is whole."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async for content in self:
            if text := decoder.decode(content):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def follow(self, job: "asyncio.Future[Result]") -> None:
        """The job under way."""
        self._job = job
        job.add_done_callback(lambda _: self._news.set())

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _put(self, content: bytes) -> None:
        self._come.append(content)
        self._news.set()

    def _join(self, join: Join) -> None:
        self._come.append(join)

    def _begin(self, begun: Begun) -> None:
        self._begun = begun
        self._news.set()


@asynccontextmanager
async def streamed(run: Run, ask: Ask) -> AsyncIterator[Streamed]:
    """Do a job and read its result as it comes; leaving the block before its end cancels the job."""
    answer = Streamed()
    job = asyncio.ensure_future(run(ask._replace(reader=answer.reader)))
    answer.follow(job)
    try:
        yield answer
    finally:
        job.cancel()
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()  # who read it has seen it; who left does not care
