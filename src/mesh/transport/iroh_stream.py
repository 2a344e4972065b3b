"""One stream of the binding made safe: cancelled reads lose nothing, a write that is given up resets, no false ends.

The binding's halves come in as arguments, with the function that awaits its calls and puts its errors in our words.

Touches: the event loop.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable
from typing import Any, Protocol

from mesh.transport.inbox import Inbox, Tasks
from mesh.transport.interface import READ_BYTES_MAX, ConnectionLost, TransportError, TransportTimeout

WRITE_BYTES_MAX = READ_BYTES_MAX
"""The most that one call to the binding writes: each call copies its bytes while the event loop waits."""

UNREAD_BYTES_MAX = READ_BYTES_MAX
"""What may wait unread per stream before the peer is slowed down: one more read on top stays in flight."""

CODE_RESET = 3
"""The application error code that a peer is told when a stream is dropped."""


class SendHalf(Protocol):
    """What the binding gives for sending."""

    async def write_all(self, buf: bytes) -> None:
        """Send all; loses track of how much when cancelled."""

    async def finish(self) -> None:
        """Send the end."""

    async def reset(self, error_code: int) -> None:
        """Drop it; blocks while a write is pending."""


class ReceiveHalf(Protocol):
    """What the binding gives for receiving."""

    async def read(self, size_limit: int) -> bytes:
        """Receive some; loses it when cancelled."""

    async def stop(self, error_code: int) -> None:
        """Drop it; blocks while a read is pending."""


class Called(Protocol):
    """Await a call of the binding; raise its errors as TransportErrors."""

    async def __call__(self, call: Awaitable[Any]) -> Any:
        """Return what the call returns."""


class _Halves:
    """Both halves with what is pending on them. It outlives the stream while it is being dropped."""

    def __init__(self, send: SendHalf, receive: ReceiveHalf, called: Called) -> None:
        self.send = send
        self.receive = receive
        self.called = called
        self.sending = asyncio.Lock()
        self.reading: asyncio.Task[None] | None = None
        self.read_all = self.finished = self.dropped = False

    async def read(self) -> bytes:
        content: bytes = await self.called(self.receive.read(READ_BYTES_MAX))
        return content

    async def drop(self) -> None:
        """Reset both. Each has one lock inside the binding, so the pending calls must have ended first."""
        if self.reading is not None and not self.reading.done():
            self.reading.cancel()
            await asyncio.wait([self.reading])
        async with self.sending:
            for end in (self.send.reset, self.receive.stop):
                with contextlib.suppress(TransportError):  # it had ended already
                    await self.called(end(CODE_RESET))


class IrohStream:
    """One stream. If the last reference goes before both ends have finished, the stream is reset."""

    def __init__(self, send: SendHalf, receive: ReceiveHalf, tasks: Tasks, called: Called) -> None:
        """Take over both halves; ``tasks`` are those of the connection."""
        self._halves = _Halves(send, receive, called)
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._inbox: Inbox[bytes] = Inbox(UNREAD_BYTES_MAX, len)
        self._write_limit: asyncio.Timeout | None = None
        # Not __del__: in a cycle the halves' own would run as well, and free in Rust what dropping still needs. This
        # holds them until it is called.
        weakref.finalize(self, _leave, self._loop, tasks, self._halves).atexit = False

    async def read(self, timeout_s: float | None = None) -> bytes:
        """Return what has arrived, ``b""`` at the peer's end."""
        halves = self._halves
        if halves.read_all:
            return b""
        if halves.reading is None and not halves.dropped:
            halves.reading = self._tasks.pump(halves.read, self._inbox, is_last=_is_end)
        content = await self._inbox.take(timeout_s)
        halves.read_all = not content
        return content

    async def write(self, content: bytes, timeout_s: float) -> None:
        """Hand over all of ``content``, in pieces; the binding takes them as fast as the peer does."""
        try:
            async with asyncio.timeout(timeout_s) as limit, self._halves.sending:
                await self._write(content, limit)
        except TimeoutError as error:
            self._check_writable()  # reset() ends a pending write by running out its limit
            self._start_reset()
            raise TransportTimeout(waited_s=timeout_s) from error
        except asyncio.CancelledError:
            self._start_reset()  # part of it has been sent; a clean end later would hide that
            raise

    async def finish(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        async with self._halves.sending:
            self._check_writable()
            self._halves.finished = True
            await self._halves.called(self._halves.send.finish())

    async def reset(self) -> None:
        """Drop both directions at once."""
        if not self._halves.dropped:
            await asyncio.wait((self._start_reset(),))  # whose end the connection's may be

    async def _write(self, content: bytes, limit: asyncio.Timeout) -> None:
        self._check_writable()
        self._write_limit = limit
        try:
            for start in range(0, len(content), WRITE_BYTES_MAX):
                piece = content[start : start + WRITE_BYTES_MAX]
                await self._halves.called(self._halves.send.write_all(piece))
                if len(content) > WRITE_BYTES_MAX:
                    await asyncio.sleep(0)  # a write that the binding takes at once takes no turn of the loop
        finally:
            self._write_limit = None

    def _start_reset(self) -> "asyncio.Task[None]":
        self._halves.dropped = True
        self._inbox.end(ConnectionLost("The stream was reset here."), drop=True)
        if self._write_limit is not None:
            self._write_limit.reschedule(self._loop.time())
        return self._tasks.start(self._halves.drop())

    def _check_writable(self) -> None:
        if self._halves.dropped:
            raise ConnectionLost("The stream was reset here.")
        if self._halves.finished:
            raise ConnectionLost("The stream was finished before.")


def _leave(loop: asyncio.AbstractEventLoop, tasks: Tasks, halves: _Halves) -> None:
    """Nobody holds the stream any more. The binding would end it as if all had been said."""
    if halves.dropped or (halves.finished and halves.read_all):
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the connection with it
        loop.call_soon_threadsafe(_drop, tasks, halves)


def _drop(tasks: Tasks, halves: _Halves) -> None:
    tasks.start(halves.drop())


def _is_end(content: bytes) -> bool:
    return not content
