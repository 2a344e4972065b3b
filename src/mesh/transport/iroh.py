"""Transport over iroh: QUIC to a device key, direct where a path can be found, else through a relay.

The only module that imports iroh. What is sharp in the binding stays here: its calls are never cancelled by a caller's
limit (``inbox``), a write that was given up resets its stream, everything is closed in the order it needs.

Touches: sockets (UDP, and TCP to the relay), threads of the binding, the event loop.
"""

import asyncio
import contextlib
import ipaddress
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar, cast

import iroh
from iroh.iroh_ffi import uniffi_set_event_loop

from mesh.ids import DeviceKey
from mesh.transport.inbox import Inbox, Tasks
from mesh.transport.interface import Address, ConnectionLost, DialTimeout, TransportError, TransportTimeout
from mesh.transport.iroh_connection import CLOSE_LIMIT_S, CODE_BUSY, CODE_NOT_ADMITTED, IrohConnection
from mesh.transport.iroh_patch import deafen, patch_bytes, patch_calls, patch_freeing, touch

ALPN = b"mesh/1"
"""What this protocol is called in the handshake; a peer that speaks another one is refused there."""

CONNECTIONS_WAITING_MAX = 64
"""Admitted connections not yet accepted; after that new ones are closed at once."""

NEXT_RELAY_S = 1.0
"""A dial through the relay where a device was last tries the next one after so long, beside it: a relayed connect over
two continents takes 2 s, and who lost their relay is still met within the 5 s that a dial has."""

HANDSHAKES_MAX = 64
"""Handshakes at a time. More are ignored: a real peer sends its first packet again within a second."""

HANDSHAKE_LIMIT_S = 10.0
"""A peer that takes longer is dropped: three retransmissions at most fit in, whatever the distance."""

DETAIL_LENGTH_MAX = 200
"""Of the binding's words, which may hold words of the peer."""

_SOURCE_PLACE = re.compile(r"\s*\(/\S+\)")

LOOK_S = 1.0
"""How often a waiter for another way to be reached looks at our own addresses and relay. The binding's callback for the
network is called without end and without a change (it took 60 % of a core): it is not used."""

T = TypeVar("T")


class EndpointFailed(TransportError):
    """This device could not open or change its network endpoint. Check the addresses in the facts and try again."""

    code = "transport.endpoint"


class Options(NamedTuple):
    """How this end is reached.

    ``relays`` are ``http://host:port`` URLs. ``bind`` is the IPv4 ``ip:port`` to listen on; an IPv6 socket is bound
    beside it. With ``direct`` off nothing is received but through the relay; meant for trials, as the
    binding may bind anew when the system's network changes.
    """

    relays: Sequence[str] = ()
    bind: str | None = None
    direct: bool = True


def everyone(key: DeviceKey) -> bool:
    """Admit any peer that proves its key."""
    return True


async def _called(call: Awaitable[T], kind: type[TransportError] = ConnectionLost) -> T:
    """Await the binding; its errors become ours (their ``str`` is empty, so kind and message are asked for)."""
    try:
        return await call
    except iroh.IrohError as error:
        raise translated(error, kind) from error


def translated(error: iroh.IrohError, kind: type[TransportError] = ConnectionLost) -> TransportError:
    """Put the binding's error in our words; its own go along as facts, without the places in its source."""
    detail = " ".join(_SOURCE_PLACE.sub("", error.message()).split())
    return kind(cause=error.kind().name.lower(), detail=detail[:DETAIL_LENGTH_MAX])


def _parsable(addresses: Iterable[str]) -> list[str]:
    """Leave out what is not ``ip:port``: one bad hint must not spoil the others."""
    found = []
    for text in addresses:
        ip, _, port = text.rpartition(":")
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(ip.removeprefix("[").removesuffix("]"))
            if 0 < int(port) < 65536:
                found.append(text)
    return found


class IrohTransport:
    """This device's end. Make it with ``open``; all of a process's transports live in one event loop."""

    def __init__(self, endpoint: iroh.Endpoint, admits: Callable[[DeviceKey], bool], options: Options) -> None:
        """Take over a bound endpoint (``open`` does it)."""
        self._endpoint = endpoint
        self._admits = admits
        self._options = options
        self._key = DeviceKey(str(endpoint.id()))
        self._relays = set(options.relays)
        self._published: set[str] = set()
        self._tasks = Tasks()
        self._incoming: Inbox[IrohConnection] = Inbox(CONNECTIONS_WAITING_MAX)
        self._connections: set[IrohConnection] = set()
        self._shaking = 0
        self._reached_at = self._reached()
        self._tasks.start(self._take_in())

    @classmethod
    async def open(
        cls, seed: bytes, options: Options = Options(), admits: Callable[[DeviceKey], bool] = everyone
    ) -> "IrohTransport":
        """Bind an endpoint whose id is the public key of the device's Ed25519 ``seed`` (32 bytes).

        ``admits`` is asked for each incoming peer, key proven, before anything that it sent on a stream is looked at.
        Raises BindingUnsuitable, EndpointFailed.
        """
        patch_bytes(iroh)
        patch_freeing(iroh, _LOOP.call)
        patch_calls(iroh)
        _LOOP.enter()
        try:
            relays = iroh.RelayMap.empty()
            for url in options.relays:
                relays.insert(iroh.RelayConfig(url=url))
            # Without a preset and a mode the binding would use public servers of its makers.
            bound = iroh.EndpointOptions(
                preset=iroh.preset_minimal(),
                relay_mode=iroh.RelayMode.custom(relays),
                secret_key=seed,
                alpns=[ALPN],
                bind_addr=options.bind,
            )
            endpoint = await iroh.Endpoint.bind(bound)
            if not options.direct:
                deafen(endpoint.bound_sockets())
        except iroh.IrohError as error:
            _LOOP.leave()
            raise translated(error, EndpointFailed) from error
        except BaseException:
            _LOOP.leave()
            raise
        return cls(endpoint, admits, options)

    @property
    def key(self) -> DeviceKey:
        """The key of this very device."""
        return self._key

    async def dial(self, address: Address, timeout_s: float) -> IrohConnection:
        """Connect to another device. An absent one is silence, so the limit is what ends it."""
        try:
            async with asyncio.timeout(timeout_s):
                return self._adopt(await self._connect(address))
        except TimeoutError as error:
            raise DialTimeout(waited_s=timeout_s) from error
        except iroh.IrohError as error:
            raise translated(error, TransportError) from error

    async def _connect(self, address: Address) -> iroh.Connection:
        """Try the relay where the device should be, then also the others one by one: it may have lost its own."""
        direct = _parsable(address.direct) if self._options.direct else []
        peer = iroh.EndpointId.from_string(address.key)
        waiting = [address.relay, *(url for url in address.other_relays if url != address.relay)]
        tries: list[asyncio.Future[iroh.Connection]] = []
        try:
            while True:
                if waiting:
                    target = iroh.EndpointAddr(peer, waiting.pop(0), direct)
                    tries.append(asyncio.ensure_future(self._endpoint.connect(target, ALPN)))
                await asyncio.wait(
                    tries, timeout=NEXT_RELAY_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for one in [one for one in tries if one.done()]:
                    if one.exception() is None or (len(tries) == 1 and not waiting):
                        return one.result()
                    tries.remove(one)
        finally:
            for one in tries:
                one.cancel()

    async def accept(self) -> IrohConnection:
        """Wait for the next admitted connection."""
        return await self._incoming.take()

    def addresses(self) -> Sequence[str]:
        """The ``ip:port`` texts that this end listens on; none where direct paths are refused."""
        return tuple(self._endpoint.addr().direct_addresses()) if self._options.direct else ()

    def relay(self) -> str | None:
        """The relay that this end is connected to now."""
        return self._endpoint.addr().relay_url()

    async def wait_relay(self, timeout_s: float) -> None:
        """Wait until a relay has let this end in. Why it does not is told to nobody; raises TransportTimeout."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._endpoint.online()
        except TimeoutError as error:
            raise TransportTimeout("No relay has answered. Check its address.", waited_s=timeout_s) from error

    async def use_relays(self, urls: Iterable[str]) -> None:
        """Use these relays from now on; connections that live stay up."""
        wanted = set(urls)
        for url in self._relays - wanted:
            await _called(self._endpoint.remove_relay(url), EndpointFailed)
        for url in wanted - self._relays:
            await _called(self._endpoint.insert_relay(iroh.RelayConfig(url=url)), EndpointFailed)
        self._relays = wanted

    async def publish(self, addresses: Iterable[str]) -> None:
        """Let peers try these ``ip:port`` texts too: our addresses as observed from outside. Replaces earlier ones."""
        wanted = set(addresses) if self._options.direct else set()
        for address in self._published - wanted:
            await _called(self._endpoint.remove_external_addr(address), EndpointFailed)
        for address in wanted - self._published:
            await _called(self._endpoint.add_external_addr(address), EndpointFailed)
        self._published = wanted

    def touch(self, address: str) -> None:
        """Send one byte that means nothing, so that routers keep our mapping in use."""
        touch(self._endpoint.bound_sockets(), address)

    async def reach_changed(self) -> None:
        """Wait until this machine's network is another, or the relay."""
        while self._reached_at == (now := self._reached()):  # noqa: ASYNC110 - see the constant
            await asyncio.sleep(LOOK_S)
        self._reached_at = now

    def _reached(self) -> tuple[frozenset[str], str | None]:
        address = self._endpoint.addr()
        return frozenset(address.direct_addresses()) - self._published, address.relay_url()

    async def close(self) -> None:
        """Close the connections, then the endpoint; only then may the loop end."""
        if self._incoming.ended:
            return
        self._incoming.end(TransportError("The transport was closed here."), drop=True)
        try:
            await asyncio.gather(*(connection.close("closing") for connection in tuple(self._connections)))
            # Past the limit the endpoint is dropped as it is: an unanswered dial would keep it for 3 s.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._endpoint.close()
        finally:
            try:
                await self._tasks.stop()
            finally:
                _LOOP.leave()

    def _adopt(self, raw: iroh.Connection) -> IrohConnection:
        connection = IrohConnection(raw, _called)
        self._connections.add(connection)
        self._tasks.start(self._forget(connection))
        return connection

    async def _forget(self, connection: IrohConnection) -> None:
        await connection.wait_closed()
        self._connections.discard(connection)

    async def _take_in(self) -> None:
        while (incoming := await self._endpoint.accept_next()) is not None:
            if self._shaking >= HANDSHAKES_MAX:
                await incoming.ignore()
            else:
                self._shaking += 1
                self._tasks.start(self._shake(incoming))

    async def _shake(self, incoming: iroh.Incoming) -> None:
        """Finish one handshake; a peer that is not admitted is told so and its streams are never opened."""
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                raw = await (await incoming.accept()).connect()
        except (iroh.IrohError, TimeoutError):
            return  # nobody's news: no key was proven
        finally:
            self._shaking -= 1
        if not self._admits(DeviceKey(str(raw.remote_id()))):
            raw.close(CODE_NOT_ADMITTED, b"not_admitted")
        elif self._incoming.full or self._incoming.ended:
            raw.close(CODE_BUSY, b"busy")
        else:
            self._incoming.put(self._adopt(raw))


class _Loop:
    """The one event loop that the binding calls back into, from the first open transport to the last."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._users = 0

    def enter(self) -> None:
        """Count one more transport in the running loop. Raises TransportError if another loop has one."""
        loop = asyncio.get_running_loop()
        if self._users and self._loop is not loop:
            raise TransportError("Another event loop of this process has a transport open.")
        self._loop = loop
        self._thread = threading.get_ident()
        self._users += 1
        uniffi_set_event_loop(cast(asyncio.BaseEventLoop, loop))

    def call(self, work: Callable[[], None]) -> None:
        """Do ``work`` now in the loop's thread, soon from any other."""
        loop = self._loop
        if loop is None or threading.get_ident() == self._thread:
            work()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
                loop.call_soon_threadsafe(work)

    def leave(self) -> None:
        """Count one less; after the last one another loop may come."""
        self._users -= 1
        if not self._users:
            self._loop = None
            uniffi_set_event_loop(cast(asyncio.BaseEventLoop, None))


_LOOP = _Loop()
