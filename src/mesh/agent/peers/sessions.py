"""Connections to other devices and the session streams on them: dialled once, kept warm, closed when a device leaves.

A connection from a key that no member's device has is closed before a byte of it is read. Each pair keeps one session
stream per direction of asking; either end's connection serves both.

Touches: the transport (through its argument).
"""

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

import structlog

from mesh.agent.membership import Membership, PeerRefused
from mesh.agent.peers import blobs
from mesh.agent.peers.blobs import Inbox
from mesh.agent.peers.ends import Ends
from mesh.agent.peers.stream import SessionStream
from mesh.concurrency import Spawn, spawner
from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame, FrameError
from mesh.protocol.link import PathSeen
from mesh.protocol.papers import Certificate
from mesh.protocol.session import Key
from mesh.protocol.signed import BadToken
from mesh.protocol.values import PATHS_MAX, PathKind
from mesh.transport.interface import (
    Address,
    Connection,
    ConnectionLost,
    DialTimeout,
    Path,
    Stream,
    TransportError,
)

DIAL_S = 5.0
"""An absent peer is silence: a relayed connect over two continents takes 2 s."""
HELLO_S = 5.0
"""A peer that opened a stream must say Hello within this."""
LOOK_S = 1.0
"""How old a path that is written into a job's record may be."""
STREAMS_MAX = 32
"""Streams of one peer that are read at once; more wait in the transport."""

log = structlog.get_logger()


class PeerRemoved(TransportError):
    """The other device was removed from the network while it worked. The job is tried elsewhere if it can be."""

    code = "peer.removed"


class Frames(Protocol):
    """Who acts on what peers say: the requester on answers, the worker on what is asked."""

    def frame(self, peer: "PeerConnection", stream: SessionStream, frame: AnyFrame) -> None:
        """A frame of an admitted peer."""
        ...

    def ended(self, peer: "PeerConnection", keys: list[Key], error: MeshError) -> None:
        """A session stream is gone, and with it these attempts."""
        ...


class PeerConnection:
    """One connection to one device, with at most one asking stream of ours and those that the peer opened."""

    def __init__(self, connection: Connection, sessions: "Sessions", own: DeviceKey) -> None:
        """``own``: under which of its keys this device is its end."""
        self.connection = connection
        self.own = own
        self.blobs = Inbox()
        self.certificate: Certificate | None = None
        self.admitted = asyncio.Event()
        self.suspect = False
        self.settled = False
        """Under an earlier key of ours, since the other side knows no newer one."""
        self._sessions = sessions
        self._asking: SessionStream | None = None
        self._opening = asyncio.Lock()
        self._looked_at = -math.inf
        self._path = Path("direct")
        self._streams = asyncio.Semaphore(STREAMS_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def key(self) -> DeviceKey:
        """The peer's proven key."""
        return self.connection.peer

    @property
    def usable(self) -> bool:
        """Whether a job may be sent over it."""
        return not (self.connection.closed or self.suspect)

    @property
    def asking_now(self) -> SessionStream | None:
        """Our session stream, if it is open."""
        return None if self._asking is None or self._asking.closed else self._asking

    @property
    def path_kind(self) -> PathKind:
        """How packets travel, as of the last second."""
        return self._seen_path().kind

    @property
    def rtt_s(self) -> float | None:
        """A round trip, as of the last second; None until it was measured."""
        rtt_ms = self._seen_path().rtt_ms
        return None if rtt_ms is None else rtt_ms / 1000

    def _seen_path(self) -> Path:
        """The path, looked at once a second: that takes longer than signing a Submit."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at > LOOK_S:
            self._looked_at, self._path = now, self.connection.path()
        return self._path

    async def asking(self) -> SessionStream:
        """Our session stream, opened and greeted if need be. Raises TransportError, PeerRefused."""
        async with self._opening:
            if self._asking is None or self._asking.closed:
                stream = SessionStream(await self.connection.open_stream(DIAL_S), "asker", self)
                self._asking = stream
                self._spawn(self._pump(stream, b""))
                stream.send(self._sessions.hello(self.own))
                try:
                    async with asyncio.timeout(HELLO_S):
                        await stream.settled.wait()
                except TimeoutError as error:
                    stream.fail(DialTimeout())
                    raise DialTimeout("The device answered, but did not say who it is.") from error
                if not stream.session.admitted:
                    raise stream.failure or ConnectionLost()
            return self._asking

    async def serve(self) -> None:
        """Take the peer's streams until the connection ends."""
        try:
            while True:
                await self._streams.acquire()
                stream = await self.connection.accept_stream()
                self._spawn(self._first_words(stream))
        except TransportError:
            return  # the usual end of a connection
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def send_blob(self, key: Key, content: bytes) -> None:
        """Send an attempt's payload or result on a stream of its own. Raises TransportError."""
        await blobs.send(self.connection, key, content)

    async def close(self, reason: str) -> None:
        """End the connection and everything on it."""
        self.suspect = True
        await self.connection.close(reason)

    async def cut(self) -> None:
        """The device was removed: what is asked of it ends now, with that reason."""
        if self.asking_now is not None:
            self.asking_now.fail(PeerRemoved())
        await self.close("revoked")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._sessions.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _first_words(self, stream: Stream) -> None:
        """Read a stream's first frame: Hello opens a session, Blob brings a payload. Everything else ends it all."""
        try:
            reader, raw = frames.FrameReader(frames.HELLO_BYTES_MAX), b""
            first: AnyFrame | None = None
            async with asyncio.timeout(HELLO_S):
                while first is None:
                    piece = await stream.read()
                    if not piece:
                        return
                    raw += piece
                    reader.feed(piece)
                    first = reader.next()
            if isinstance(first, frames.Hello):
                await self._pump(SessionStream(stream, "worker", self), raw)
                return
            if not isinstance(first, frames.Blob):
                raise FrameError("A stream must open with Hello or Blob.", reason="order")
            async with asyncio.timeout(HELLO_S):
                await self.admitted.wait()
            if self.certificate is not None:
                await self.blobs.arrived(first, stream, reader.rest)
        except (FrameError, TimeoutError):
            await self.close("protocol")
        except TransportError:
            return
        finally:
            self._streams.release()

    async def _pump(self, stream: SessionStream, raw: bytes) -> None:
        with suppress(TransportError):
            await stream.run(raw)
        if isinstance(stream.failure, FrameError | PeerRefused | BadToken):
            log.info("peer.refused", reason=stream.failure.wire_code)
            await self.close(stream.failure.wire_code)

    # --- what streams tell ----------------------------------------------------------------------------------------

    def hello(self, stream: SessionStream, hello: frames.Hello) -> None:
        """Check the peer's certificate and take its State if that is newer; then let frames through."""
        membership = self._sessions.membership
        if hello.state is not None:
            membership.adopt_state(hello.state, trusted=False)
        self.certificate = membership.check_certificate(hello.certificate, self.key)
        if stream.session.side == "worker":
            stream.send(self._sessions.hello(self.own))
        stream.session.admit()
        self.admitted.set()

    def frame(self, stream: SessionStream, frame: AnyFrame) -> None:
        """Pass a frame on to whom it concerns."""
        side = self._sessions.requester if stream.session.side == "asker" else self._sessions.worker
        side.frame(self, stream, frame)

    def ended(self, stream: SessionStream, keys: list[Key], error: MeshError) -> None:
        """Tell whom the lost attempts concern. A peer that fell silent is dialled anew the next time."""
        self.suspect = self.suspect or (bool(keys) and stream.session.side == "asker")
        side = self._sessions.requester if stream.session.side == "asker" else self._sessions.worker
        side.ended(self, keys, error)


class Sessions:
    """All connections of this device."""

    def __init__(self, transport: Ends, membership: Membership) -> None:
        """``requester`` and ``worker`` are set by the wiring before ``run``."""
        self.membership = membership
        self.requester: Frames
        self.worker: Frames
        self.running = asyncio.Event()
        self._transport = transport
        self._peers: dict[DeviceKey, list[PeerConnection]] = {}
        self._dialling: dict[DeviceKey, asyncio.Lock] = {}
        self.spawn: Spawn
        membership.on_revoked = self._close_all

    def hello(self, own: DeviceKey) -> frames.Hello:
        """What this device says first on every session; ``own``: the key under which it is the end of that one."""
        return frames.Hello(self.membership.certificate_for(own), self.membership.state_token)

    def connected(self, key: DeviceKey) -> PeerConnection | None:
        """A live connection to a device, the newest first; those under this device's newest key before others."""
        usable = [peer for peer in reversed(self._peers.get(key, [])) if peer.usable]
        return next((peer for peer in usable if peer.own == self._transport.key), usable[0] if usable else None)

    def paths(self) -> tuple[PathSeen, ...]:
        """The round trips of the live connections, as of the last second: at most PATHS_MAX of them."""
        seen = []
        for key in list(self._peers)[-PATHS_MAX:]:
            peer = self.connected(key)
            if peer is not None and peer.certificate is not None and peer.rtt_s is not None:
                seen.append(PathSeen(peer.certificate.device, rtt_ms=round(peer.rtt_s * 1000, 3)))
        return tuple(seen)

    async def reach(self, address: Address) -> PeerConnection:
        """A connection to a device: a warm one, or a new one. Raises DialTimeout, TransportError, PeerRefused."""
        peer = self.connected(address.key)
        if peer is not None and self._stays(peer):
            return peer
        lock = self._dialling.setdefault(address.key, asyncio.Lock())
        async with lock:
            peer = self.connected(address.key)
            if peer is None or not self._stays(peer):
                if not self.membership.known(address.key):
                    raise PeerRefused
                await self._drop_suspects(address.key)
                peer = await self._dial(address, peer)
        return peer

    def _stays(self, peer: PeerConnection) -> bool:
        """Whether new work may go over a connection: one under an earlier key of ours ends with that key."""
        return peer.own == self._transport.key or peer.settled

    async def _dial(self, address: Address, warm: PeerConnection | None) -> PeerConnection:
        """Call a device under our newest key; one that does not know it yet, and hangs up, under an earlier one."""
        newest, *former = self._transport.keys
        connection = await self._transport.dial(address, DIAL_S, newest)
        peer = self._add(connection, newest)
        if not former:
            return peer
        try:
            await peer.asking()  # only its answer shows that it lets this key in
            return peer
        except DialTimeout:
            raise
        except TransportError as error:
            refused = error
        for own in former:
            with suppress(TransportError):
                usable = warm is not None and warm.usable and warm.own == own
                older = warm if usable else self._add(await self._transport.dial(address, DIAL_S, own), own)
                assert older is not None
                await older.asking()
                older.settled = True
                return older
        raise refused

    async def _drop_suspects(self, key: DeviceKey) -> None:
        """End what fell silent before dialling anew: the binding would send the dial along the same dead path."""
        for peer in [peer for peer in self._peers.get(key, []) if peer.suspect]:
            await peer.close("silent")

    async def run(self) -> None:
        """Accept connections until cancelled. A task of any connection that fails by a bug of ours ends it all."""
        async with asyncio.TaskGroup() as group:
            self.spawn = spawner(group)
            self.running.set()
            while True:
                connection = await self._transport.accept()
                if self.membership.known(connection.peer):
                    self._add(connection, self._transport.key_of(connection))
                else:
                    group.create_task(connection.close("stranger"))

    def _add(self, connection: Connection, own: DeviceKey) -> PeerConnection:
        peer = PeerConnection(connection, self, own)
        self._peers.setdefault(connection.peer, []).append(peer)
        self.spawn(self._serve(peer))
        return peer

    async def _serve(self, peer: PeerConnection) -> None:
        try:
            await peer.serve()
        finally:
            left = self._peers.get(peer.key, [])
            if peer in left:
                left.remove(peer)
            if not left:
                self._peers.pop(peer.key, None)
                self._dialling.pop(peer.key, None)
            await peer.connection.close()

    def _close_all(self, keys: frozenset[DeviceKey]) -> None:
        """These devices were removed: cut what is live with them, now."""
        for key in keys:
            for peer in self._peers.get(key, []):
                peer.suspect = True
                self.spawn(peer.cut())
