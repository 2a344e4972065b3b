"""The device's (or relay's) end of the link: connect, prove both ways, beat, reconnect, and pass messages on.

TLS is pinned by the SHA-256 of the certificate that the join link carried: the check is part of the TLS handshake, so
nothing is sent to anybody else, and there is no fallback. Without a pin the proofs bind to the URL's origin. Messages
go to ``on_event`` in the order they came, on the event loop and without a queue between: a permit costs no extra hop.

Touches: sockets, the clock, randomness (nonces, jitter).
"""

import asyncio
import hashlib
import random
import secrets
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from mesh.concurrency import ended
from mesh.errors import MeshError, from_wire
from mesh.ids import DeviceId, DeviceKey
from mesh.protocol import link, signed
from mesh.protocol.papers import LinkProof
from mesh.protocol.succession import COORDINATOR, ChainBroken, follow
from mesh.protocol.values import Condition
from mesh.transport.clock import CoordinatorClock

BACK_OFF_S = 0.5
BACK_OFF_S_MAX = 30.0
"""Full jitter up to 30 s: a restarted coordinator gets its devices back spread out, and soon."""
MISSED_BEATS_MAX = 2
"""A beat unanswered for two more (the third is due: 15 s) ends the link, before the device counts as offline (20 s)."""
CONNECT_S = 10.0
"""TCP, TLS and the upgrade together; a coordinator that needs longer is retried."""
SEND_S = 10.0
"""A coordinator that takes nothing for 10 s is gone; the link is opened anew."""


REMOVED = "device.removed"
"""The code with which a coordinator refuses a device that was removed while it was away: it is told once, and ends."""


class LinkDown(MeshError):
    """The coordinator cannot be reached now. Jobs on your own devices go on; the rest waits until it is back."""

    code = "link.down"
    kind = "unreachable"


class PinMismatch(MeshError):
    """The server is not the coordinator that your link named. Ask who sent you the link; do not go on."""

    code = "link.pin_mismatch"
    kind = "forbidden"


class LinkTarget(NamedTuple):
    """Which coordinator to reach, and what of it is pinned."""

    url: str
    coordinator: DeviceKey
    tls_sha256: str | None
    device: DeviceId
    more: tuple[str, ...] = ()
    """Further URLs, tried in turn; only where a certificate is pinned, which is what the proofs are then bound to."""

    @property
    def binding(self) -> str:
        """What both proofs are bound to: the pinned TLS hash, or the URL's origin."""
        return self.tls_sha256 or origin(self.url)


class Up(NamedTuple):
    """The link stands: both sides have proven themselves."""

    welcome: link.Welcome


class Down(NamedTuple):
    """The link ended; it is tried again in ``retry_s``. ``code`` says why."""

    code: str
    retry_s: float


Event = Up | Down | link.FromCoordinator
Handler = Callable[[Event], Awaitable[None] | None]


def origin(url: str) -> str:
    """Scheme, host and port of a URL, in lower case: ``http://127.0.0.1:8400``."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def pinned_context(sha256: str) -> ssl.SSLContext:
    """A TLS context that talks to one certificate only, named by the SHA-256 (hex) of its DER form."""

    class Pinned(ssl.SSLObject):
        """TLS that compares the certificate inside the handshake: before that no byte of ours is sent."""

        def do_handshake(self) -> None:
            super().do_handshake()
            der = self.getpeercert(binary_form=True) or b""
            if not secrets.compare_digest(hashlib.sha256(der).hexdigest(), sha256):
                raise ssl.SSLCertVerificationError("the certificate is not the pinned one")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # a self-made certificate names nobody; the pin is stronger than a name
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslobject_class = Pinned
    return context


class LinkClient:
    """Keeps one link open for as long as ``run`` runs."""

    def __init__(
        self, target: LinkTarget, seed: bytes, clock: CoordinatorClock, condition: Callable[[], Condition]
    ) -> None:
        """``seed`` signs the proof; ``condition`` is asked for every beat."""
        self.target = target
        self.clock = clock
        self._seed = seed
        self._succession: str | None = None
        self.proved: str | None = None
        """The statement that was shown when the link was opened, if one was."""
        self._condition = condition
        self._socket: ClientConnection | None = None
        self._beat_number = 0
        self._beats: dict[int, float] = {}
        self._beat_now = asyncio.Event()
        self._failures = 0
        self._place = 0
        """Which of the target's URLs is tried."""

    @property
    def up(self) -> bool:
        """Whether messages can be sent now."""
        return self._socket is not None

    def require_up(self) -> None:
        """Raise LinkDown unless messages can be sent now."""
        if self._socket is None:
            raise LinkDown

    def show(self, seed: bytes, succession: str) -> None:
        """Prove the next key from now on, with the statement by which it follows: it may or may not count yet."""
        self._seed, self._succession = seed, succession

    def prove_with(self, seed: bytes) -> None:
        """Prove this key from now on."""
        self._seed, self._succession = seed, None

    async def send(self, message: link.Message) -> None:
        """Send one message. Raises LinkDown."""
        socket = self._socket
        if socket is None:
            raise LinkDown
        try:
            async with asyncio.timeout(SEND_S):
                await socket.send(link.encode(message), text=True)
        except (ConnectionClosed, TimeoutError) as error:
            socket.transport.abort()
            raise LinkDown from error

    def beat_soon(self) -> None:
        """Send the next beat at once: the condition changed in a way that placement must know."""
        self._beat_now.set()

    async def run(self, on_event: Handler) -> None:
        """Connect, pass events on, and connect again, until cancelled or until the device is removed."""
        while True:
            code = await self._once(on_event)
            if code in (LinkDown.code, PinMismatch.code) and self.target.tls_sha256 is not None:
                self._place = (self._place + 1) % (1 + len(self.target.more))
            delay = 0.0 if self._failures == 0 else _jitter(self._failures)
            self._failures += 1
            await _call(on_event, Down(code, delay))
            if code in (link.Removed.__name__.lower(), REMOVED):
                return
            await asyncio.sleep(delay)

    async def _once(self, on_event: Handler) -> str:
        """One connection from start to end; returns the code of its end."""
        try:
            async with self._connecting() as socket:
                welcome = await self._handshake(socket)
                self._socket = socket
                up_at = self.clock.boot_s()
                self._beats.clear()
                await _call(on_event, Up(welcome))
                code = await self._converse(socket, on_event)
                if self.clock.boot_s() - up_at > link.BEAT_S:  # one that ends at once must not be opened in a loop
                    self._failures = 0
                return code
        except ssl.SSLCertVerificationError:
            return PinMismatch.code
        except MeshError as error:
            return error.wire_code
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ConnectionClosed):
            return LinkDown.code
        finally:
            self._socket = None

    def _connecting(self) -> connect:
        scheme, _, rest = origin((self.target.url, *self.target.more)[self._place]).partition("://")
        pin = self.target.tls_sha256
        if pin is not None and scheme != "https":
            raise PinMismatch  # a pin on plain http: somebody took the TLS away
        context = None
        if scheme == "https":
            context = ssl.create_default_context() if pin is None else pinned_context(pin)
        return connect(
            f"{'wss' if scheme == 'https' else 'ws'}://{rest}{link.LINK_PATH}",
            compression=None,  # messages are small; a shared compression window would mix secrets and others' text
            proxy=None,
            open_timeout=CONNECT_S,
            close_timeout=2.0,
            ping_interval=None,  # our own beats are answered with the time, and are the life sign
            max_size=link.CHALLENGE_BYTES_MAX,
            max_queue=64,
            user_agent_header=None,
            ssl=context,
        )

    async def _handshake(self, socket: ClientConnection) -> link.Welcome:
        """Prove both ways. Raises LinkError, BadToken, PinMismatch, TimeoutError."""
        async with asyncio.timeout(link.HANDSHAKE_S):
            challenge = link.decode_from_coordinator(await socket.recv())
            if not isinstance(challenge, link.Challenge):
                raise _said(challenge)
            coordinator = self._same(challenge)
            nonce = secrets.token_hex(link.NONCE_BYTES)
            mine = LinkProof(
                network="",
                side="device",
                device=self.target.device,
                coordinator=coordinator,
                coordinator_nonce=challenge.nonce,
                device_nonce=nonce,
                binding=self.target.binding,
            )
            socket.protocol.max_message_size = link.MESSAGE_BYTES_MAX  # Welcome carries State and certificate
            asked_at = self.clock.boot_s()
            shown, proof = self._succession, signed.sign(mine, self._seed)
            prove = link.Prove(self.target.device, nonce, proof, succession=shown)
            await socket.send(link.encode(prove), text=True)
            welcome = link.decode_from_coordinator(await socket.recv())
            if not isinstance(welcome, link.Welcome):
                raise _said(welcome)
        theirs = signed.verify(welcome.proof, LinkProof, coordinator, "")
        if theirs != msgspec.structs.replace(mine, side="coordinator"):
            raise PinMismatch
        self.clock.sample(welcome.time_ms, asked_at)
        self.proved = shown
        self.target = self.target._replace(coordinator=coordinator)  # whoever has an earlier key is not it any more
        return welcome

    def _same(self, challenge: link.Challenge) -> DeviceKey:
        """The key of the coordinator that speaks: the pinned one, or one that follows it. Raises PinMismatch."""
        try:
            follow(self.target.coordinator, challenge.successions, COORDINATOR, to=challenge.coordinator)
        except ChainBroken as error:
            raise PinMismatch from error
        return challenge.coordinator

    async def _converse(self, socket: ClientConnection, on_event: Handler) -> str:
        """Pass messages on until the link ends; returns the code of the end."""
        beats = asyncio.create_task(self._keep_beating(socket))
        try:
            async for raw in socket:
                message = link.decode_from_coordinator(raw)
                if isinstance(message, link.BeatAnswer):
                    asked_at = self._beats.pop(message.number, None)
                    if asked_at is not None:
                        self.clock.sample(message.time_ms, asked_at)
                    continue
                await _call(on_event, message)
                if isinstance(message, link.Removed):
                    return link.Removed.__name__.lower()
            return LinkDown.code
        finally:
            await ended(beats)

    async def _keep_beating(self, socket: ClientConnection) -> None:
        """A beat now and every 5 s; a link whose beats go unanswered is cut, so that it is opened anew."""
        while True:
            self._beat_now.clear()
            oldest = min(self._beats.values(), default=None)
            if oldest is not None and self.clock.boot_s() - oldest >= MISSED_BEATS_MAX * link.BEAT_S:
                socket.transport.abort()
                return
            self._beat_number += 1
            self._beats[self._beat_number] = self.clock.boot_s()
            with suppress(LinkDown):
                await self.send(link.Beat(self._beat_number, self._condition()))
            with suppress(TimeoutError):
                async with asyncio.timeout(link.BEAT_S):
                    await self._beat_now.wait()


async def _call(on_event: Handler, event: Event) -> None:
    waiting = on_event(event)
    if waiting is not None:
        await waiting


def _said(message: link.FromCoordinator) -> MeshError:
    """What to raise when something else than the next word of the handshake came."""
    if isinstance(message, link.Problem):
        return from_wire(message.error)
    return link.LinkError("The coordinator spoke out of turn.", reason="order")


def _jitter(failures: int) -> float:
    ceiling = min(BACK_OFF_S_MAX, BACK_OFF_S * (1 << min(failures, 10)))
    return ceiling * random.random()  # noqa: S311 - spreads load, guards nothing
