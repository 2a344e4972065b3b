"""The WebSocket end of the links: prove both ways, then pass messages between a device and what answers it.

Before the proof a stranger may say one message of 4 KiB within 5 s, and only so many strangers are heard at once. After
it a device that is silent for 20 s is gone.

Touches: sockets (through ASGI), clock and randomness (through ``parts``).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from mesh.coordinator.links.conversation import Conversations
from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.store import devices
from mesh.coordinator.telling.live import Ended, Link, LiveLinks
from mesh.devices.presence import OFFLINE_AFTER_S
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, NetworkId
from mesh.protocol import link, signed
from mesh.protocol.link import HANDSHAKE_BYTES_MAX, HANDSHAKE_S, NONCE_BYTES, Challenge, Problem, Prove, Welcome
from mesh.protocol.papers import LinkProof
from mesh.protocol.succession import ChainBroken, KeyOf, Succession, read
from mesh.protocol.unreadable import batch_of

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

STRANGERS_MAX = 256
"""Handshakes at once; 10,000 devices that come back within 30 s need about 2."""
STRANGERS_OF_ONE_ADDRESS_MAX = 64
"""Handshakes at once from one address, so that one stranger cannot keep everybody out; a proxy is one address too."""
WORKING_MAX = 32
"""Messages of one device that are worked on at once; further ones wait in its socket."""
SHORT_BYTES_MAX = 64 * 1024
"""Longest message that is no Report: a Hello with 64 offers is about 12 KiB; some of it goes on to other devices."""
TRUST = "mesh.trust"
"""The ASGI extension that lets the other end of a WebSocket say more than a stranger may."""
POLICY_VIOLATION, GOING_AWAY = 1008, 1001

log = structlog.get_logger()


class UnknownDevice(MeshError):
    """This coordinator does not know that device. Let it join with a new invite."""

    code = "link.unknown_device"
    kind = "forbidden"


class DeviceRemoved(MeshError):
    """This device was removed from the network. Ask an admin for a new invite."""

    code = "device.removed"
    kind = "gone"


class ProofRefused(MeshError):
    """The proof does not fit this coordinator, this device and this connection. Join again if it keeps failing."""

    code = "link.proof_refused"
    kind = "forbidden"


class KeyReplaced(MeshError):
    """This device has a newer key: what runs here is an older copy of its folder. Stop it, or let it join anew."""

    code = "link.key_replaced"
    kind = "forbidden"


class TooManyStrangers(MeshError):
    """The coordinator is busy with others that connect. The device tries again by itself."""

    code = "link.busy"
    kind = "unavailable"


class Replaced(MeshError):
    """This device has connected again elsewhere. If that is a copy of its folder, let one of the two join anew."""

    code = "link.replaced"
    kind = "conflict"


class _Known(NamedTuple):
    device: DeviceId
    key: DeviceKey
    network: NetworkId
    seen: Seen | None


class Links:
    """An ASGI application for ``/v1/link``."""

    def __init__(self, parts: Parts, live: LiveLinks, conversations: Conversations) -> None:
        self._parts = parts
        self._live = live
        self._conversations = conversations
        self._strangers: Counter[str] = Counter()

    @property
    def strangers(self) -> int:
        """Connections that have not proven anything yet."""
        return self._strangers.total()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        try:
            fresh, known = await self._handshake(scope, receive, send)
        except MeshError as error:
            log.info("link.refused", code=error.wire_code)
            await _last_word(send, error)
            return
        except (TimeoutError, Ended):
            await _close(send, POLICY_VIOLATION)
            return
        await self._serve(fresh, known, receive, send)

    async def _handshake(self, scope: dict[str, Any], receive: Receive, send: Send) -> tuple[Link, _Known]:
        """Challenge, proof, welcome. Raises MeshError with the reason for the device, TimeoutError, Ended."""
        client = scope.get("client")
        source = client[0] if client else ""
        if self._strangers.total() >= STRANGERS_MAX or self._strangers[source] >= STRANGERS_OF_ONE_ADDRESS_MAX:
            raise TooManyStrangers
        self._strangers[source] += 1
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                nonce = self._parts.random_bytes(NONCE_BYTES).hex()
                keys, chain = self._parts.keys, self._parts.snapshot.histories[""].chain
                me, seed = keys.public, keys.seed  # of this handshake, also when the key is replaced meanwhile
                await _write(send, link.encode(Challenge(me, nonce, successions=chain)))
                raw = await _read(receive)
                if len(raw) > HANDSHAKE_BYTES_MAX:
                    raise link.LinkError(bytes=len(raw))
                prove = link.decode_from_device(raw)
                if not isinstance(prove, Prove):
                    raise link.LinkError(reason="order")
                known, answer = await self._check(prove, me, nonce)
                if TRUST in scope.get("extensions", {}):
                    scope["extensions"][TRUST]["call"]()
                fresh = Link(known.device, known.network, seen_from=source or None)
                await _write(send, link.encode(await self._welcome(known, signed.sign(answer, seed))))
                return fresh, known
        finally:
            self._strangers[source] -= 1
            if not self._strangers[source]:
                del self._strangers[source]

    async def _check(self, prove: Prove, me: DeviceKey, nonce: str) -> tuple[_Known, LinkProof]:
        """Who this is, and the proof to sign in return. Raises UnknownDevice, DeviceRemoved, ProofRefused, KeyReplaced.

        A device whose next key may not have been taken yet proves that one, and shows the statement that makes it so.
        """
        known, removed = await self._find(prove.device)
        expected = LinkProof(
            network="",
            side="device",
            device=known.device,
            coordinator=me,
            coordinator_nonce=nonce,
            device_nonce=prove.nonce,
            binding=self._parts.site.binding,
        )
        turn = None if prove.succession is None else _turn(known, prove.succession)
        proof = _proven(prove.proof, known, known.key if turn is None else turn.new)
        if proof != expected or len(prove.nonce) != 2 * NONCE_BYTES:
            raise ProofRefused(reason="content")
        if removed:
            raise DeviceRemoved
        if turn is not None and turn.old == known.key:
            assert prove.succession is not None
            await self._conversations.rotating.device(known.device, known.network, prove.succession)
        mine = LinkProof(
            network="",
            side="coordinator",
            device=expected.device,
            coordinator=expected.coordinator,
            coordinator_nonce=nonce,
            device_nonce=prove.nonce,
            binding=expected.binding,
        )
        return known, mine

    async def _find(self, device: DeviceId) -> tuple[_Known, bool]:
        """The key to check against, and whether its device was removed: only the device itself is told that."""
        seen = self._parts.snapshot.device(device)
        if seen is not None:
            return _Known(device, seen.kept.key, seen.kept.network, seen), False
        relay = self._conversations.relays.key(device)
        if relay is not None:
            return _Known(device, relay, NetworkId(""), None), False
        kept = await self._parts.database.read(devices.get, device)
        if kept is None:
            raise UnknownDevice
        return _Known(device, kept.key, kept.network, None), True

    async def _welcome(self, known: _Known, proof: str) -> Welcome:
        if known.seen is None:
            return Welcome(proof, self._parts.now_ms(), known.network)
        if known.seen.kept.standing != "active":
            return Welcome(proof, self._parts.now_ms(), known.network, device_state="pending")
        certificate = known.seen.certificate
        return Welcome(
            proof,
            self._parts.now_ms(),
            known.network,
            state=await self._conversations.news.state(known.network),
            certificate=None if certificate is None else certificate.signed,
            successions=self._parts.snapshot.histories[known.network].chain,
        )

    async def _serve(self, fresh: Link, known: _Known, receive: Receive, send: Send) -> None:
        """Serve a link to its end. What it brought is worked on to the end of that, also when the link is over before:
        what is committed must have its consequences.
        """
        async with asyncio.TaskGroup() as working:
            await self._both_ways(fresh, known, receive, send, working)

    async def _both_ways(
        self, fresh: Link, known: _Known, receive: Receive, send: Send, working: asyncio.TaskGroup
    ) -> None:
        """Both directions until one ends."""
        before = self._live.add(fresh)
        if before is not None:
            before.say(Problem(Replaced().wire()))
            before.end()
        log.info("link.up", device=known.device)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fresh.write_out(lambda raw: _write(send, raw)))
                self._conversations.opened(fresh, known.seen)
                group.create_task(self._listen(fresh, working, receive))
        except* (Ended, TimeoutError, OSError):
            pass  # every ordinary way for a link to end; anything else is a bug and is logged by the server
        finally:
            newest = self._live.drop(fresh)
            self._conversations.closed(fresh, known.seen, newest=newest)
            log.info("link.down", device=known.device)
            await _close(send, GOING_AWAY)

    async def _listen(self, fresh: Link, working: asyncio.TaskGroup, receive: Receive) -> None:
        """Take messages in; what needs the database runs beside, so that one batch can hold many."""
        free = asyncio.Semaphore(WORKING_MAX)

        async def work(message: link.FromDevice) -> None:
            try:
                await self._conversations.answer(fresh, message)
            finally:
                free.release()

        while True:
            async with asyncio.timeout(OFFLINE_AFTER_S):
                raw = await _read(receive)
            try:
                message = link.decode_from_device(raw)
                if len(raw) > SHORT_BYTES_MAX and not isinstance(message, link.Report):
                    raise link.LinkError(bytes=len(raw))
            except link.LinkError as error:
                error.facts |= {} if (batch := batch_of(raw)) is None else {"batch": batch}
                fresh.say(Problem(error.wire()))
                continue
            if not self._conversations.hear(fresh, message):
                await free.acquire()
                working.create_task(work(message))


def _turn(known: _Known, statement: str) -> Succession:
    """The change of key that a device shows; it concerns the key that counts, or made it. Raises ProofRefused."""
    try:
        turn = read(statement, KeyOf("device", known.device, known.network))
    except ChainBroken as error:
        raise ProofRefused(reason="succession") from error
    if known.key not in (turn.old, turn.new):
        raise ProofRefused(reason="succession")
    return turn


def _proven(token: str, known: _Known, key: DeviceKey) -> LinkProof:
    """The proof that a device signed with a key. Raises ProofRefused, or KeyReplaced to who has an earlier one."""
    try:
        return signed.verify(token, LinkProof, key, "")
    except signed.BadToken as error:
        for former in () if known.seen is None else known.seen.kept.former:
            with suppress(signed.BadToken):
                signed.verify(token, LinkProof, former.key, "")
                raise KeyReplaced from error
        raise ProofRefused(reason="signature") from error


async def _read(receive: Receive) -> bytes | str:
    event = await receive()
    if event["type"] != "websocket.receive":
        raise Ended
    text: str | None = event.get("text")
    return text if text is not None else bytes(event["bytes"])


async def _write(send: Send, raw: bytes) -> None:
    await send({"type": "websocket.send", "text": raw.decode()})


async def _last_word(send: Send, error: MeshError) -> None:
    await _write(send, link.encode(Problem(error.wire())))
    await _close(send, POLICY_VIOLATION)


async def _close(send: Send, code: int) -> None:
    try:
        async with asyncio.timeout(1.0):
            await send({"type": "websocket.close", "code": code})
    except (RuntimeError, OSError, TimeoutError):
        pass  # it was closed from the other side, or nobody takes the last word
