"""One session stream between two devices: the protocol's machine with a transport under it.

Frames that are said close together leave in one write; whatever arrives in one read is handled in one go. While
anything is in flight the asker beats every second and the worker answers each beat, so that three seconds of silence
show a peer that is frozen long before the transport notices.

Touches: the transport (through its argument), the clock.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from mesh.agent.peers.shown import Shown
from mesh.errors import MeshError
from mesh.ids import PermitId
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame
from mesh.protocol.session import Key, Session, Side
from mesh.transport.interface import Stream, TransportError

WRITE_S = 10.0
"""A peer that takes nothing for 10 s is lost, whatever its connection says."""
JOIN_S = 0.02
"""What is no news to wait for (Accept, Started, Progress, Acknowledged) rides with the next frame within 20 ms: every
write costs both ends more than a short job's bookkeeping, and most short jobs are done by then. A requester misses an
Accept only after 50 ms. A Submit takes none of it along: by itself it mostly fits in one packet, and nobody waits for
an Acknowledged, which is three times as long."""
_RELAXED = (frames.Accept, frames.Started, frames.Progress, frames.Acknowledged)
SERIES_MAX = 64
"""Series that both ends of a stream remember: a token is half of a short job's bytes. With more they are shown anew."""
OUTGOING_BYTES_MAX = 8 * 1024 * 1024
"""What may wait to be written before the peer counts as lost: 20 of the longest frames."""


class PeerSilent(TransportError):
    """The other device stopped answering in the middle of a job. The job is tried elsewhere if it can be."""

    code = "session.silent"
    kind = "timed_out"


class PeerSlow(TransportError):
    """The other device takes data too slowly. It is treated as lost."""

    code = "session.slow"


class Listener(Protocol):
    """What a session stream tells its owner; all calls come on the event loop."""

    def hello(self, stream: "SessionStream", hello: frames.Hello) -> None:
        """The peer's Hello came: check it and admit, or raise."""
        ...

    def frame(self, stream: "SessionStream", frame: AnyFrame) -> None:
        """A frame that fits came."""
        ...

    def ended(self, stream: "SessionStream", keys: list[Key], error: MeshError) -> None:
        """The stream is gone; ``keys`` are the attempts that were open."""
        ...


class SessionStream:
    """One stream, one side. ``run`` pumps it until it ends; ``send`` never waits."""

    def __init__(self, stream: Stream, side: Side, listener: Listener) -> None:
        self.session = Session(side)
        self.closed = False
        self.settled = asyncio.Event()
        """Set once the peer is admitted, or the stream has ended before that."""
        self.failure: MeshError | None = None
        """Why it ended, once it has."""
        self.beat: Callable[[], frames.Beat] = frames.Beat
        """Of an asker's side: what it says every second."""
        self.permits: dict[PermitId, Shown] = {}
        """Of a worker's side: the series under which jobs come on this stream."""
        self._told: set[PermitId] = set()
        self._stream = stream
        self._listener = listener
        self._outgoing: list[bytes] = []
        self._relaxed: list[bytes] = []
        self._outgoing_bytes = 0
        self._wake = asyncio.Event()
        self._heard_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._joining: asyncio.TimerHandle | None = None

    def send(self, frame: AnyFrame) -> None:
        """Queue a frame for the next write. Nothing happens on a stream that has ended."""
        if self.closed:
            return
        content = self.session.send(frame)
        self._outgoing_bytes += len(content)
        if isinstance(frame, _RELAXED):
            self._relaxed.append(content)
            if self._joining is None:
                self._joining = asyncio.get_running_loop().call_later(JOIN_S, self._flush)
        else:
            if not isinstance(frame, frames.Submit):
                self._flush()
            self._outgoing.append(content)
            self._wake.set()
        if self._outgoing_bytes > OUTGOING_BYTES_MAX:
            self.fail(PeerSlow())
        if isinstance(frame, frames.Submit):
            self._watch()

    def token_once(self, permit: PermitId, token: str) -> str | None:
        """The token of a series' permit for a Submit: only with its first job on this stream."""
        if permit in self._told:
            return None
        if len(self._told) == SERIES_MAX:
            self._told.clear()
        self._told.add(permit)
        return token

    def tell_again(self, permit: PermitId) -> None:
        """A Submit under a permit was turned away, perhaps before its token was kept: show it again."""
        self._told.discard(permit)

    def keep(self, permit: PermitId, shown: Shown) -> None:
        """Remember a series that was shown and checked here: those shown last, as the other end counts them too."""
        self.permits.pop(permit, None)
        self.permits[permit] = shown
        if len(self.permits) > SERIES_MAX:
            del self.permits[next(iter(self.permits))]

    def _flush(self) -> None:
        """Let what may wait leave now."""
        if self._joining is not None:  # a later flush would part what comes next
            self._joining.cancel()
            self._joining = None
        if self._relaxed:
            self._outgoing += self._relaxed
            self._relaxed.clear()
            self._wake.set()

    def fail(self, error: MeshError) -> None:
        """End the stream for this reason as soon as its pumps notice."""
        if self.failure is None:
            self.failure = error
        self.closed = True
        self._wake.set()

    async def run(self, first: bytes = b"") -> None:
        """Pump until the stream ends; ``first`` was read from it already. Tells the listener how it ended."""
        error: MeshError = TransportError("The session was closed.", reason="closed")
        ends: Sequence[BaseException | None] = ()
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(first))
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.closed = True
            for timer in (self._timer, self._joining):
                if timer is not None:
                    timer.cancel()
            for task in (writer, reader):
                task.cancel()
            try:
                ends = await asyncio.gather(writer, reader, return_exceptions=True)
            finally:  # also when the connection's own end cancels this in the middle: nobody may wait for ever
                self.failure = self.failure or _mesh_error(ends) or error
                self.settled.set()
                self._listener.ended(self, self.session.abandon(), self.failure)
            await self._stream.reset()
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, MeshError):
                raise end

    async def _write(self) -> None:
        while True:
            while not self._outgoing:
                if self.failure is not None:
                    raise self.failure
                self._wake.clear()
                await self._wake.wait()
            joined = b"".join(self._outgoing)
            self._outgoing.clear()
            self._outgoing_bytes -= len(joined)
            await self._stream.write(joined, WRITE_S)

    async def _read(self, content: bytes) -> None:
        while True:
            for frame in self.session.receive(content):
                self._heard_s = asyncio.get_running_loop().time()
                if isinstance(frame, frames.Hello):
                    self._listener.hello(self, frame)
                    self.settled.set()
                    for early in self.session.receive(b""):
                        self._listener.frame(self, early)
                else:
                    self._listener.frame(self, frame)
            content = await self._stream.read()
            if not content:
                return

    def _watch(self) -> None:
        """Start the beats if none are running: they run only while something is in flight."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._heard_s = loop.time()
            self._timer = loop.call_later(frames.BEAT_S, self._beat)

    def _beat(self) -> None:
        self._timer = None
        if self.closed or self.session.in_flight == 0:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard_s >= frames.SUSPECT_AFTER_S:
            self.fail(PeerSilent())
            return
        self.send(self.beat())
        self._timer = loop.call_later(frames.BEAT_S, self._beat)


def _mesh_error(ends: Sequence[BaseException | None]) -> MeshError | None:
    for end in ends:
        if isinstance(end, MeshError):
            return end
    return None
