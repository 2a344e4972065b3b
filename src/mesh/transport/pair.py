"""Two ends of one connection in this process: for dialling yourself, and under the transport that tests use.

It behaves as QUIC does: a stream is seen with the first thing said on it, a writer waits for its reader, an end of the
connection throws away what was not read. Everything said passes the connection's gate, in order; a closed gate is a
network that carries nothing.

Touches: nothing.
"""

import asyncio
import contextlib
import functools
import weakref
from collections import deque
from collections.abc import Callable

from mesh.ids import DeviceKey
from mesh.transport.inbox import Inbox, again
from mesh.transport.interface import READ_BYTES_MAX, ConnectionLost, Path, TransportError, TransportTimeout

WINDOW_BYTES = 1024 * 1024
"""What may be under way unread per stream and direction; about what QUIC allows a peer at first."""

UNBOUNDED = 1 << 62
"""Room of inboxes whose givers are held back by the window."""


class Gate:
    """Lets deliveries through in order, or keeps them until it is opened."""

    def __init__(self) -> None:
        """Start open."""
        self._open = True
        self._kept: deque[Callable[[], object]] = deque()

    def carry(self, deliver: Callable[[], object]) -> None:
        """Deliver now, or when the gate opens."""
        if self._open:
            deliver()
        else:
            self._kept.append(deliver)

    def shut(self) -> None:
        """Keep what comes from now on."""
        self._open = False

    def pass_one(self) -> bool:
        """Deliver the oldest thing kept, if there is one."""
        if self._kept:
            self._kept.popleft()()
            return True
        return False

    def open(self) -> None:
        """Deliver all that was kept, and everything from now on."""
        while self.pass_one():
            pass
        self._open = True

    def drop(self) -> None:
        """Forget what was kept."""
        self._kept.clear()


class _Flow:
    """One direction of one stream."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.arrived: Inbox[bytes] = Inbox(UNBOUNDED, len)
        self.taken = asyncio.Event()
        self.unread = 0
        self.over: TransportError | None = None

    async def send(self, content: bytes) -> None:
        for start in range(0, len(content), READ_BYTES_MAX):
            while self.unread >= WINDOW_BYTES and self.over is None:
                self.taken.clear()
                await self.taken.wait()
            if self.over is not None:
                raise again(self.over)
            piece = content[start : start + READ_BYTES_MAX]
            self.unread += len(piece)
            self.gate.carry(functools.partial(self.arrived.put, piece))

    async def receive(self, timeout_s: float | None) -> bytes:
        content = await self.arrived.take(timeout_s)
        self.unread -= len(content)
        self.taken.set()
        return content

    def end_sending(self, error: TransportError) -> None:
        """Let its writer write no more."""
        self.over = self.over or error
        self.taken.set()

    def end_receiving(self, error: TransportError) -> None:
        """Let its reader read no more; what was not read is gone."""
        self.arrived.end(error, drop=True)


class PairStream:
    """One end of a stream. If the last reference goes before both ends have finished, the stream is reset."""

    def __init__(self, outward: _Flow, inward: _Flow, announce: Callable[[], None] | None) -> None:
        """``announce`` makes the peer see the stream; None at the side that was shown it."""
        self._outward = outward
        self._inward = inward
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._read_all = self._finished = self._reset = False

    async def read(self, timeout_s: float | None = None) -> bytes:
        """Return what has arrived, ``b""`` at the peer's end."""
        if self._read_all:
            return b""
        content = await self._inward.receive(timeout_s)
        self._read_all = not content
        return content

    async def write(self, content: bytes, timeout_s: float) -> None:
        """Hand over all of ``content``."""
        try:
            async with asyncio.timeout(timeout_s), self._sending:
                self._check_writable()
                self._show()
                await self._outward.send(content)
        except TimeoutError as error:
            self._drop()
            raise TransportTimeout(waited_s=timeout_s) from error
        except asyncio.CancelledError:
            self._drop()
            raise

    async def finish(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        async with self._sending:
            self._check_writable()
            self._finished = True
            self._show()
            self._outward.gate.carry(functools.partial(self._outward.arrived.put, b""))

    async def reset(self) -> None:
        """Drop both directions at once."""
        self._drop()

    def _check_writable(self) -> None:
        if self._outward.over is not None:
            raise again(self._outward.over)
        if self._finished:
            raise ConnectionLost("The stream was finished before.")

    def _show(self) -> None:
        if self._announce is not None:
            self._outward.gate.carry(self._announce)
            self._announce = None

    def _drop(self) -> None:
        """End this side now, and the other when word of it gets through."""
        if self._reset:
            return
        self._reset = True
        self._show()
        here = ConnectionLost("The stream was reset here.")
        self._outward.end_sending(here)
        self._inward.end_receiving(here)
        gone = ConnectionLost("The other device dropped the stream.")
        self._outward.gate.carry(functools.partial(self._outward.end_receiving, gone))
        self._outward.gate.carry(functools.partial(self._inward.end_sending, gone))

    def __del__(self) -> None:
        if not self._reset and not (self._finished and self._read_all):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._drop)  # the collector runs in any thread


class PairConnection:
    """One end of the connection. Made two at a time by ``connected``."""

    def __init__(self, peer: DeviceKey, path: Path, outward: Gate, inward: Gate) -> None:
        """Hold one end; ``connected`` joins it to the other."""
        self._peer = peer
        self._path = path
        self._outward = outward
        self._inward = inward
        self._other: PairConnection | None = None
        self._streams: Inbox[PairStream] = Inbox(UNBOUNDED)
        self._sending: weakref.WeakSet[_Flow] = weakref.WeakSet()
        self._receiving: weakref.WeakSet[_Flow] = weakref.WeakSet()
        self._ended = asyncio.Event()

    @property
    def peer(self) -> DeviceKey:
        """The key of the other side."""
        return self._peer

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._ended.is_set()

    def path(self) -> Path:
        """The path that this connection was made with."""
        return self._path

    async def open_stream(self, timeout_s: float) -> PairStream:
        """Open a stream; it never waits."""
        if self._other is None:
            raise ConnectionLost("The connection has ended.")
        outward, inward = _Flow(self._outward), _Flow(self._inward)
        for end, sends, receives in ((self, outward, inward), (self._other, inward, outward)):
            end._sending.add(sends)
            end._receiving.add(receives)
        # The far end is made when it is announced: before, nobody holds it.
        announce = functools.partial(_announce, self._other._streams, inward, outward)
        return PairStream(outward, inward, announce)

    async def accept_stream(self) -> PairStream:
        """Wait for the peer's next stream."""
        return await self._streams.take()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await self._ended.wait()

    async def close(self, reason: str = "") -> None:
        """End this side now, and the other when word of it gets through."""
        other = self._other
        self.lose(reason)
        if other is not None:
            self._outward.carry(functools.partial(other.lose, reason))

    def lose(self, reason: str) -> None:
        """End this side now: every stream, every waiter."""
        if self._ended.is_set():
            return
        error = ConnectionLost(reason=reason) if reason else ConnectionLost()
        self._other = None
        self._streams.end(error, drop=True)
        for flow in list(self._sending):
            flow.end_sending(error)
        for flow in list(self._receiving):
            flow.end_receiving(error)
        self._ended.set()


def _announce(streams: Inbox[PairStream], outward: _Flow, inward: _Flow) -> None:
    streams.put(PairStream(outward, inward, announce=None))


def connected(
    dialler: DeviceKey, accepter: DeviceKey, path: Path, gates: tuple[Gate, Gate] | None = None
) -> tuple[PairConnection, PairConnection]:
    """Make both ends: the dialler's, the accepter's. ``gates`` carry what each of them says."""
    there, back = gates or (Gate(), Gate())
    near = PairConnection(accepter, path, there, back)
    far = PairConnection(dialler, path, back, there)
    near._other, far._other = far, near
    return near, far
