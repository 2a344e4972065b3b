"""How this device is reached: the relays of the newest State, and the addresses under which their observers see it.

Behind NAT a device does not know its own address. It asks each relay's observer, from the very socket that its peers
will speak to, at the start, each minute, and when the network changes; what it hears it lets its peers try, and shows
to the coordinator. Between two questions a byte now and then keeps the router's mapping in use; no connection stays, as
that would cost the observer 100 KiB. An address that no observer has confirmed for a while is withdrawn.

Touches: sockets (through the transport), the clock.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

from mesh.agent.membership import Membership
from mesh.agent.peers.relay_watch import RelayWatch
from mesh.errors import MeshError
from mesh.protocol import signed
from mesh.protocol.papers import OBSERVE, OBSERVED_BYTES_MAX, Observed, RelayInfo
from mesh.transport.interface import Address, Connection, Transport, TransportError

ASK_EVERY_S = 60.0
"""At most; devices differ by up to a sixth, so that they do not all come at once after their relay was away."""
TOUCH_EVERY_S = 20.0
"""Routers forget a mapping after 30 s without a packet at the earliest, most after minutes."""
ASK_S = 5.0
"""An observer on another continent answers a fresh connection within a second."""
AGAIN_S, AGAIN_S_MAX = 1.0, 60.0
STALE_S = 180.0
"""Three questions unanswered: the address may belong to somebody else by now."""
OBSERVERS_MAX = 3
"""Of the list's first relays. More would teach nothing: one is enough, two show a NAT that maps by destination."""

log = structlog.get_logger()


class Heard(NamedTuple):
    """What an observer said: the address, the signed paper, and when (seconds of the loop's clock)."""

    address: str
    paper: str
    at_s: float


class Reach:
    """Keeps relays and observed addresses current while ``run`` runs."""

    def __init__(self, transport: Transport, membership: Membership, *, observe: bool) -> None:
        """``observe`` off: no direct paths are wanted, so nobody is asked."""
        self.on_change: Callable[[], Awaitable[None]]
        """Told when what ``Hello`` says about reaching this device has changed; set by the wiring."""
        self._transport = transport
        self._membership = membership
        self._observe = observe
        self._heard: dict[str, Heard] = {}
        self._asked_as = transport.key
        """Under which key observers are asked: what they sign is about that one, and its own socket."""
        self._asking: dict[RelayInfo, asyncio.Task[None]] = {}
        self._failed: dict[str, float] = {}
        self._ask_again = asyncio.Event()
        self._news = asyncio.Event()
        self._used: tuple[str, ...] = ()
        self._relay_watch = RelayWatch(transport.use_relays, lambda: self.relay)
        self._told: object = None

    @property
    def relay(self) -> str | None:
        """The URL of the relay through which this device is reached."""
        relays = self.relays
        now = self._transport.relay()
        return next((url for url in relays if _same(url, now)), relays[0] if relays else None)

    @property
    def relays(self) -> tuple[str, ...]:
        """The URLs of all relays of the network."""
        state = self._membership.state
        return () if state is None else tuple(relay.url for relay in state.relays)

    @property
    def papers(self) -> tuple[str, ...]:
        """What observers have signed about this device."""
        return tuple(heard.paper for heard in self._heard.values())

    @property
    def observed(self) -> tuple[str, ...]:
        """The addresses under which the world sees this device."""
        return tuple(dict.fromkeys(heard.address for heard in self._heard.values()))

    @property
    def observes(self) -> bool:
        """Whether observers are asked at all: not where no direct paths are wanted."""
        return self._observe

    async def ask_now(self, timeout_s: float) -> dict[str, str]:
        """Ask every observer anew: the addresses that they see, by the URL of their relay; silent ones are left out."""
        asked_at = asyncio.get_running_loop().time()
        state = self._membership.state
        urls = [relay.url for relay in self._observers(() if state is None else state.relays)]
        self._ask_soon()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not all(self._heard_since(url, asked_at) or self._failed.get(url, 0) >= asked_at for url in urls):
                    await self._news.wait()
        return {url: self._heard[url].address for url in urls if self._heard_since(url, asked_at)}

    def _heard_since(self, url: str, at_s: float) -> bool:
        heard = self._heard.get(url)
        return heard is not None and heard.at_s >= at_s

    def _ask_soon(self) -> None:
        self._ask_again.set()
        self._ask_again = asyncio.Event()

    def _tell_askers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Follow the State's relays, and the machine's network, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._relay_watch.run())
            while True:
                self._membership.changed.clear()
                state = self._membership.state
                await self._follow(() if state is None else state.relays, group)
                await self._membership.changed.wait()

    async def _follow(self, relays: tuple[RelayInfo, ...], group: asyncio.TaskGroup) -> None:
        urls = tuple(relay.url for relay in relays)
        if urls != self._used:
            self._used = urls
            await self._relay_watch.follow(urls)
        observers = self._observers(relays)
        another_end = self._transport.key != self._asked_as
        self._asked_as = self._transport.key
        for relay in [relay for relay in self._asking if another_end or relay not in observers]:
            self._asking.pop(relay).cancel()
            self._heard.pop(relay.url, None)
            self._failed.pop(relay.url, None)
        for relay in observers:
            if relay not in self._asking:
                self._asking[relay] = group.create_task(self._keep_asking(relay))
        await self._tell()

    def _observers(self, relays: tuple[RelayInfo, ...]) -> list[RelayInfo]:
        """The relays whose observers are asked."""
        return [relay for relay in relays if relay.key and relay.observer][:OBSERVERS_MAX] if self._observe else []

    async def _watch(self) -> None:
        """The network changed, or another relay was chosen: ask anew, tell anew."""
        while True:
            await self._transport.reach_changed()
            self._ask_soon()
            self._relay_watch.look_again_now()
            await self._tell()

    async def _tell(self) -> None:
        await self._transport.publish(self.observed)
        now = (self.relay, self.observed, tuple(self._transport.addresses()))
        if now != self._told:
            self._told = now
            await self.on_change()

    # --- one observer -------------------------------------------------------------------------------------------------

    async def _keep_asking(self, relay: RelayInfo) -> None:
        failures = 0
        while True:
            again = self._ask_again  # taken before the question: a wish that comes meanwhile is not lost
            try:
                async with asyncio.timeout(ASK_S):
                    await self._took(relay, await self._question(relay))
                failures = 0
            except (MeshError, TimeoutError, OSError) as error:
                log.info("observer.silent", relay=relay.url, reason=_reason(error))
                failures += 1
                self._failed[relay.url] = asyncio.get_running_loop().time()
                self._tell_askers()
                await self._forget_stale(relay)
            if failures:
                await _wait(again, min(AGAIN_S_MAX, AGAIN_S * (1 << min(failures - 1, 10))))
            else:
                await self._keep_warm(relay, again)

    async def _question(self, relay: RelayInfo) -> Heard:
        assert relay.key is not None and relay.observer is not None
        connection = await self._transport.dial(Address(relay.key, (await _resolved(relay.observer),)), ASK_S)
        try:
            return await ask(connection, relay)
        finally:
            await connection.close()

    async def _keep_warm(self, relay: RelayInfo, again: asyncio.Event) -> None:
        """Until it is time for the next question, or the network changes."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + ASK_EVERY_S * (1 - int(self._transport.key[:2], 16) / 256 / 6)
        while (left_s := until_s - loop.time()) > 0 and not await _wait(again, min(left_s, TOUCH_EVERY_S)):
            assert relay.observer is not None
            with suppress(OSError):
                self._transport.touch(await _resolved(relay.observer))

    async def _took(self, relay: RelayInfo, heard: Heard) -> None:
        before = self._heard.get(relay.url)
        self._heard[relay.url] = heard
        self._tell_askers()
        if before is None or before.address != heard.address:
            log.info("observer.says", relay=relay.url, address=heard.address)
        await self._tell()

    async def _forget_stale(self, relay: RelayInfo) -> None:
        heard = self._heard.get(relay.url)
        if heard is not None and asyncio.get_running_loop().time() - heard.at_s > STALE_S:
            del self._heard[relay.url]
            await self._tell()


async def ask(connection: Connection, relay: RelayInfo) -> Heard:
    """Ask an observer under which address it sees us. Raises TransportError, BadToken, TimeoutError."""
    assert relay.key is not None
    stream = await connection.open_stream(ASK_S)
    await stream.write(OBSERVE, ASK_S)
    await stream.finish()
    answer = b""
    while piece := await stream.read(ASK_S):
        answer += piece
        if len(answer) > OBSERVED_BYTES_MAX:
            await stream.reset()
            raise TransportError("The observer said too much.")
    paper = signed.verify(answer.decode("ascii", "replace"), Observed, relay.key, "")
    if not _is_address(paper.address):
        raise TransportError("The observer named no address.")
    return Heard(paper.address, answer.decode("ascii"), asyncio.get_running_loop().time())


async def _wait(event: asyncio.Event, limit_s: float) -> bool:
    """Whether it came within the limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            return await event.wait()
    return False


async def _resolved(place: str) -> str:
    """``host:port`` with the host as an IP address. Raises OSError for a name that nobody knows."""
    host, _, port = place.rpartition(":")
    with suppress(ValueError):
        ipaddress.ip_address(host.strip("[]"))
        return place
    found = await asyncio.get_running_loop().getaddrinfo(host, int(port), family=socket.AF_INET, type=socket.SOCK_DGRAM)
    return f"{found[0][4][0]}:{port}"


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        return 0 < int(port) < 65536
    except ValueError:
        return False


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.rstrip("/") == other.rstrip("/")


def _reason(error: Exception) -> str:
    return error.wire_code if isinstance(error, MeshError) else type(error).__name__
