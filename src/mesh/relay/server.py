"""The relay's sockets: a WebSocket server around the pairing machine.

Everything on the path of a frame is synchronous: a message comes in, the machine says where it goes, it is handed to
that socket, one copy. No task per frame or connection, and no wait: what a receiver cannot take is dropped (its QUIC
recovers), so that no receiver ever slows a sender.

Touches: sockets, clock, randomness, this process's memory.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from blake3 import blake3
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol import relayed
from mesh.protocol.relayed import Buffer, Version
from mesh.protocol.signed import BadKey, BadToken, check_bytes
from mesh.relay.door import Door, Listener, bind
from mesh.relay.endpoints import answer
from mesh.relay.pairing import Close, Effect, Pairing, Pause, Send
from mesh.relay.reading import FIRST_BYTES, Reading
from mesh.relay.wire_log import BugsOnly
from mesh.units import MIB

BYTES_PER_S_MAX: Final = 256 * MIB
"""What one client may send each second: about half of what one core forwards, so that no client takes it all."""
BACKLOG_BYTES_MAX: Final = 8 * MIB
"""What may wait for one receiver; above it frames to it are dropped. Measured: more only adds delay."""
BACKLOG_BYTES_TOTAL: Final = 128 * MIB
"""What may wait for all receivers together; above it each gets an equal share, so that a crowd of slow (or hostile)
receivers cannot take the machine's memory. Looked at each tick."""
WRITE_STALLED_S: Final = 2.0
"""A client that takes nothing at all for so long while bytes wait for it is cut (the protocol's write timeout)."""
TICK_S: Final = 0.5
RESTART_TRY_MS: Final = 5000

_HEADER_ROOM: Final = bytes(14)  # picows writes the WebSocket header in front of the message, in place
_join: Final = bytearray().join
_BINARY: Final = WSMsgType.BINARY


class CannotListen(MeshError):
    """The relay cannot listen on this address. Choose a free port, or stop the program that holds it."""

    code = "relay.cannot_listen"
    kind = "unavailable"


class Relay:
    """One relay: ``start``, feed it ``admissions``, ``run`` its clock, ``stop``."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        bytes_per_s: float = BYTES_PER_S_MAX,
        backlog_total: int = BACKLOG_BYTES_TOTAL,
    ) -> None:
        """The limits are arguments so that tests and benchmarks can reach or lift them."""
        self.pairing = Pairing(randomness=os.urandom, bytes_per_s=bytes_per_s)
        self.door = Door()
        self.clock = clock
        self.handshakes: dict[str, int] = {"accepted": 0, "denied": 0}
        self.backlog_max = BACKLOG_BYTES_MAX
        """What may wait for one receiver now."""
        self._backlog_total = backlog_total
        self._links: dict[int, _Link] = {}
        self._servers: list[asyncio.Server] = []
        self._next_conn = 0
        self._started_at = clock()

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 picks a free one. Returns the port. Raises CannotListen."""
        try:
            bound = bind(host, port)
            port = bound.getsockname()[1]
            await self.serve(bound)
        except OSError as error:
            raise CannotListen(host=host, port=port, errno=error.errno) from error
        return port

    async def serve(self, bound: socket.socket) -> None:
        """Listen on a bound socket as well, which becomes the relay's own."""
        server = await ws_create_server(
            self._route,
            sock=Listener(bound, door=self.door, clock=self.clock),
            websocket_handshake_timeout=None,  # the door's limit covers the whole establishment
            enable_auto_pong=False,  # its pongs would ignore the backlog's limit
            max_frame_size=relayed.FRAME_BYTES_MAX,
            read_buffer_init_size=FIRST_BYTES,
            logger_name=BugsOnly(structlog.get_logger()),
        )
        self._servers.append(server)

    async def run(self) -> None:
        """Keep the relay's time until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock()
            self.door.tick(now)
            self._look_at_backlogs(now)
            for link in self._links.values():
                link.reading.look()
            self.perform(self.pairing.tick(now))

    async def stop(self) -> None:
        """Tell the clients, stop listening, cut every connection."""
        self.perform(self.pairing.stopping(reconnect_in_ms=0, try_for_ms=RESTART_TRY_MS))
        for server in self._servers:
            server.close()
        for link in list(self._links.values()):
            link.end(graceful=False)
        self.door.cut_all()
        await asyncio.sleep(0)  # the loop closes what was cut

    def admissions(self, changes: Iterable[tuple[DeviceKey, Iterable[int]]], *, full: bool) -> None:
        """Who may connect, and which networks each is in; whoever is no longer admitted is cut at once."""
        raw = ((bytes.fromhex(key), numbers) for key, numbers in changes)
        self.perform(self.pairing.admissions(raw, full=full))

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` says."""
        return {
            "status": "ok",
            "up_s": round(self.clock() - self._started_at, 1),
            "connections": self.pairing.connections,
            "half_open": self.door.half_open,
            "half_open_cut": self.door.cut,
            "handshakes": self.handshakes,
            **self.pairing.counters.public(),
        }

    def perform(self, effects: Iterable[Effect]) -> None:
        """Do what the machine decided."""
        for effect in effects:
            link = self._links.get(effect.conn)
            if link is None:
                continue
            if isinstance(effect, Send):
                self._send(link, effect)
            elif isinstance(effect, Close):
                link.end(graceful=False)
            else:
                link.pause(effect)

    def establish(self, link: "_Link", auth: relayed.ClientAuth, challenge: bytes) -> bool:
        """Check a client's answer to its challenge; an admitted key's connection joins the machine.

        The signature is checked before the admission, and both refusals read alike: who cannot prove a key learns
        nothing about it.
        """
        refused: str | None
        digest = relayed.challenge_digest(challenge, _derive_key)
        try:
            check_bytes(digest, auth.signature, DeviceKey(auth.key.hex()))
        except BadKey:
            refused = "bad_key"
        except BadToken:
            refused = "bad_proof"
        else:
            refused = None if self.pairing.admits(auth.key) else "unknown_key"
        self.handshakes["accepted" if refused is None else "denied"] += 1
        if refused is not None:
            self.pairing.counters.closed[refused] += 1
            return False
        self.door.left(link.descriptor)
        self._links[link.conn] = link
        link.send(relayed.ACCEPTED_FRAME)
        self.perform(self.pairing.connected(link.conn, auth.key, link.version, self.clock()))
        return True

    def frame(self, conn: int, frame: Buffer) -> None:
        """A client's message after the handshake."""
        self.perform(self.pairing.frame(conn, frame, self.clock()))

    def over(self, conn: int) -> None:
        """A connection has ended, whoever ended it."""
        if self._links.pop(conn, None) is not None:
            self.perform(self.pairing.closed(conn))

    def _look_at_backlogs(self, now: float) -> None:
        waiting = [link.waiting for link in self._links.values() if link.waiting]
        crowded = sum(waiting) > self._backlog_total
        self.backlog_max = min(BACKLOG_BYTES_MAX, self._backlog_total // len(waiting) if crowded else BACKLOG_BYTES_MAX)
        for link in [link for link in self._links.values() if link.stalled(now)]:
            self.pairing.counters.closed["stalled"] += 1
            link.end(graceful=False)

    def _send(self, link: "_Link", effect: Send) -> None:
        counters = self.pairing.counters
        if not link.send(effect.head, effect.body):
            counters.dropped["full"] += 1
        elif effect.body:
            counters.frames_forwarded += 1
            counters.bytes_forwarded += len(effect.head) + len(effect.body)

    def _route(self, request: WSUpgradeRequest) -> Any:
        return answer(request, health=self.health, listen=self._listen)

    def _listen(self, version: Version) -> "_Link":
        self._next_conn += 1
        return _Link(self, self._next_conn, version)


class _Link(WSListener):
    """One client's WebSocket: handshake, then messages to the relay."""

    def __init__(self, relay: Relay, conn: int, version: Version) -> None:
        self.conn = conn
        self.version: Version = version
        self.descriptor = -1
        self._relay = relay
        self._challenge: bytes | None = os.urandom(relayed.CHALLENGE_BYTES)
        self._fragments: bytearray | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._ended = False
        self._sent = 0
        self._taken = -1
        self._taken_at = 0.0

    # --- called by picows ---------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done: the relay speaks first."""
        self._transport = transport
        self._socket = transport.underlying_transport
        inner = self._socket.get_protocol()
        assert isinstance(inner, asyncio.BufferedProtocol)
        self.reading = Reading(inner)
        self._socket.set_protocol(self.reading)
        self.descriptor = self._socket.get_extra_info("socket").fileno()
        assert self._challenge is not None
        self.send(relayed.challenge_frame(self._challenge))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A WebSocket frame arrived; its view is valid during this call only."""
        if self._ended:
            return
        if frame.msg_type == _BINARY and frame.fin:
            message = frame.get_payload_as_memoryview()
            if self._challenge is None:
                self._relay.frame(self.conn, message)
            else:
                self._prove(message)
        else:
            self._rare_frame(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed."""
        self._ended = True
        self._relay.over(self.conn)

    def pause_writing(self) -> None:
        """Nothing: the backlog is looked at before each message instead."""

    def resume_writing(self) -> None:
        """Nothing, likewise."""

    # --- called by the relay ------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that this client has not taken yet (beyond what the kernel holds)."""
        return self._socket.get_write_buffer_size()

    def send(self, head: bytes, body: Buffer = b"") -> bool:
        """Hand a message to the socket; False where too much waits already and it was dropped."""
        if self._ended or self.waiting > self._relay.backlog_max:
            return False
        message = _join((_HEADER_ROOM, head, body))
        self._sent += len(message)
        self._transport.send_reuse_external_bytearray(_BINARY, message, len(_HEADER_ROOM))
        return True

    def stalled(self, now: float) -> bool:
        """Whether bytes wait and none was taken for ``WRITE_STALLED_S``."""
        waiting = self.waiting
        taken = self._sent - waiting
        if waiting == 0 or taken != self._taken:
            self._taken = taken
            self._taken_at = now
            return False
        return now - self._taken_at >= WRITE_STALLED_S

    def pause(self, effect: Pause) -> None:
        """Read nothing for a while. What was read already is still forwarded, so the last word counts."""
        if self._resuming is None:
            self._socket.pause_reading()
        else:
            self._resuming.cancel()
        self._resuming = asyncio.get_running_loop().call_later(effect.seconds, self._resume)

    def end(self, *, graceful: bool, code: WSCloseCode = WSCloseCode.GOING_AWAY) -> None:
        """End the connection: at once, or after what waits was sent (the door's limit bounds that for strangers)."""
        if self._ended:
            return
        self._ended = True
        self._transport.send_close(code)
        self._transport.disconnect(graceful=graceful)
        self._relay.over(self.conn)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _prove(self, message: Buffer) -> None:
        challenge, self._challenge = self._challenge, None
        assert challenge is not None
        try:
            auth = relayed.read_client_auth(message)
        except relayed.BadFrame:
            self.end(graceful=False, code=WSCloseCode.PROTOCOL_ERROR)
            return
        if not self._relay.establish(self, auth, challenge):
            self.send(relayed.denied_frame("This key is not admitted here."))
            self.end(graceful=True, code=WSCloseCode.POLICY_VIOLATION)

    def _rare_frame(self, frame: WSFrame) -> None:
        """Whatever is not a whole binary message: control frames, texts (ignored), and messages in fragments."""
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self.end(graceful=True, code=WSCloseCode.OK)
        elif kind == WSMsgType.PING:
            if self.waiting <= self._relay.backlog_max:
                self._transport.send_pong(frame.get_payload_as_bytes())
        elif self._challenge is not None:
            self.end(graceful=False, code=WSCloseCode.PROTOCOL_ERROR)  # a handshake has no other frames
        elif kind == _BINARY:
            self._fragments = bytearray(frame.get_payload_as_memoryview())
        elif kind == WSMsgType.CONTINUATION and self._fragments is not None:
            self._fragments += frame.get_payload_as_memoryview()
            if len(self._fragments) > relayed.FRAME_BYTES_MAX:
                self.end(graceful=False, code=WSCloseCode.MESSAGE_TOO_BIG)
            elif frame.fin:
                message, self._fragments = self._fragments, None
                self._relay.frame(self.conn, message)

    def _resume(self) -> None:
        self._resuming = None
        if not self._ended:
            self._socket.resume_reading()


def _derive_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()
