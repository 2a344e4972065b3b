"""Measuring the network around this device: coordinator, clock, relays, and what their observers see.

Everything is asked at once and every wait is bounded, so that the whole is over within ten seconds whatever is silent.
The agent measures with all it knows; the command line can do the same without an agent, and then knows less.

Touches: sockets, clock, the machine's list of network interfaces; agent.db (reads, where no agent runs).
"""

import asyncio
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
import psutil

from mesh import __version__
from mesh.agent import identity
from mesh.agent.coordination import Coordination
from mesh.agent.membership import Membership
from mesh.agent.peers.reach import Reach
from mesh.agent.store import Store
from mesh.concurrency import expected
from mesh.devices import facts
from mesh.devices.nat import classify
from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.papers import RelayInfo
from mesh.sdk.answers import About
from mesh.sdk.following import the_same
from mesh.sdk.home import CoordinatorRecord, Home, HomeRecord, HomeUnreadable
from mesh.sdk.pinning import WrongCertificate, pinned_context, untrusted, vouched_context
from mesh.transport.clock import CoordinatorClock

T = TypeVar("T")
PART_S = 6.0
"""Longest that one part may take: name, connection, TLS and two requests to a distant server take under 3 s."""
CONNECT_S = 3.0
"""A TCP connection around the world takes 0.3 s; one lost packet adds 1 s."""
KNOCKS_MAX = 8
RELAYS_MAX = 16
ANSWER_BYTES_MAX = 4096
"""Answers to these questions have under 300 bytes; more is not read."""
USUAL_PORT = {"https": 443, "http": 80}


class Known(NamedTuple):
    """What is known before anything is measured. ``relays`` and ``certificate`` None: not known."""

    record: HomeRecord
    relays: tuple[RelayInfo, ...] | None = None
    certificate: facts.CertificateFacts | None = None
    agent: facts.AgentFacts | None = None
    ask_observers: Callable[[], Awaitable[dict[str, str]]] | None = None
    """Asks the observers from the very socket that peers speak to: only the running agent has it."""


async def measure(known: Known) -> facts.NetworkFacts:
    """Measure all that can be. Nothing is raised for what does not answer: that is the finding."""
    record = known.record
    relays = None if known.relays is None else known.relays[:RELAYS_MAX]
    async with asyncio.TaskGroup() as group:
        coordinator = None if record.coordinator is None else group.create_task(_coordinator(record.coordinator))
        pings = [group.create_task(_ping_relay(relay.url)) for relay in relays or ()]
        heard = None if known.ask_observers is None else group.create_task(_heard(known.ask_observers))
    seen = {} if heard is None else heard.result()
    asked = zip(relays or (), pings, strict=True)
    return facts.NetworkFacts(
        software=__version__,
        joined=record.device is not None,
        coordinator=None if coordinator is None else coordinator.result(),
        relays=None if relays is None else tuple(_relay(relay, ping.result(), seen) for relay, ping in asked),
        agent=known.agent,
        certificate=known.certificate,
        local_ips=own_ips(),
    )


def inside(record: HomeRecord, membership: Membership, coordination: Coordination, reach: Reach) -> Known:
    """What the running agent knows."""
    return Known(
        record,
        None if membership.state is None else membership.state.relays,
        certificate_of(membership),
        facts.AgentFacts(coordination.up, coordination.last_down, reach.observes),
        (lambda: reach.ask_now(PART_S)) if reach.observes else None,
    )


async def outside(home: Home) -> Known:
    """What a home says while no agent runs for it. Raises nothing for a home that is new or damaged."""
    try:
        record = home.read()
    except HomeUnreadable:
        return Known(HomeRecord())
    if record.device is None or not _mine(home.agent_db):
        return Known(record)
    try:
        key = identity.load(home).key
    except MeshError:  # the certificate is not taken up then; the relays are
        key = DeviceKey("")
    membership = Membership(record.device, key, CoordinatorClock())
    store = Store(home.agent_db)
    with suppress(MeshError, msgspec.MsgspecError):  # what is damaged is not known
        store.open()
        try:
            await membership.recall(store)
        finally:
            await store.close()
    return Known(record, None if membership.state is None else membership.state.relays, certificate_of(membership))


def _mine(path: Path) -> bool:
    """Whether a file is there and this user's: opening another's database would leave files that are in the way."""
    with suppress(OSError):
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    return False


def certificate_of(membership: Membership) -> facts.CertificateFacts | None:
    """This device's certificate, as far as it is known."""
    mine = membership.device(membership.me)
    if mine is None:
        return None
    return facts.CertificateFacts(mine.certificate.issued_ms, mine.certificate.expires_ms, membership.clock.now_ms())


def own_ips() -> tuple[str, ...]:
    """The IP addresses of this machine's interfaces."""
    families = (socket.AF_INET, socket.AF_INET6)
    return tuple(one.address for all_ in psutil.net_if_addrs().values() for one in all_ if one.family in families)


# --- the coordinator --------------------------------------------------------------------------------------------------


async def _coordinator(record: CoordinatorRecord) -> facts.CoordinatorFacts:
    """Try all its URLs; the first that answers speaks for it, and the others only for whether they answer."""
    found = await asyncio.gather(*(_at(url, record) for url in record.urls[:KNOCKS_MAX]))
    good = [one for one in found if one.failure is None]
    best = next(iter(good + [one for one in found if one.failure != "unreachable"]), found[0])
    knocks = [
        knock if one.failure is None else facts.Knock(knock.address)
        for one in (best, *(one for one in found if one is not best))
        for knock in one.knocks
    ]
    return msgspec.structs.replace(best, knocks=tuple(knocks) if good else best.knocks)


async def _at(url: str, record: CoordinatorRecord) -> facts.CoordinatorFacts:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or USUAL_PORT.get(parts.scheme, 443)
    found = facts.CoordinatorFacts(
        url=url,
        place=classify(host),
        https=parts.scheme == "https",
        pinned=record.tls_sha256 is not None,
    )
    try:
        async with asyncio.timeout(PART_S):
            knocks = await _knock(host, port)
            found = msgspec.structs.replace(found, knocks=knocks, place=_place(found.place, knocks))
            if not any(knock.connect_ms is not None for knock in knocks):
                return msgspec.structs.replace(found, failure="unreachable")
            return await _about(record, found)
    except WrongCertificate:
        return msgspec.structs.replace(found, failure="wrong_certificate")
    except (TimeoutError, OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        return msgspec.structs.replace(found, failure="untrusted" if untrusted(error) else "unreachable")


async def _about(record: CoordinatorRecord, found: facts.CoordinatorFacts) -> facts.CoordinatorFacts:
    """Ask who it is, twice: the second answer comes over an open connection and gives round trip and clock."""
    pin = record.tls_sha256
    verify = await in_thread(lambda: pinned_context(found.url, pin, CONNECT_S) if pin else vouched_context())
    async with httpx2.AsyncClient(base_url=found.url, verify=verify, timeout=CONNECT_S, trust_env=False) as http:
        await _get(http, "/v1/about")
        asked_at, asked_wall_s = time.monotonic(), time.time()
        status, content = await _get(http, "/v1/about")
        took_s = time.monotonic() - asked_at
    try:
        about = msgspec.json.decode(content, type=About)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.structs.replace(found, failure="odd_answer")
    if status != httpx2.codes.OK:
        return msgspec.structs.replace(found, failure="odd_answer")
    return msgspec.structs.replace(
        found,
        failure=None if _is_known(record, about) else "other_key",
        rtt_ms=took_s * 1000,
        clock_offset_s=asked_wall_s + took_s / 2 - about.time_ms / 1000,
        version=about.version,
    )


def _is_known(record: CoordinatorRecord, about: About) -> bool:
    try:
        the_same(record.key, about)
    except WrongCertificate:
        return False
    return True


def _place(named: facts.AddressClass, knocks: Sequence[facts.Knock]) -> facts.AddressClass:
    """Where the coordinator is: a name is where its first address is."""
    return classify(knocks[0].address) if named == "name" and knocks else named


async def _knock(host: str, port: int) -> tuple[facts.Knock, ...]:
    """Try every address of a host. Raises OSError for a name that nobody knows."""
    found = await in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))[:KNOCKS_MAX]
    return tuple(await asyncio.gather(*(_connect(address, port) for address in addresses)))


async def _connect(address: str, port: int) -> facts.Knock:
    started = time.monotonic()
    shown = f"[{address}]:{port}" if ipaddress.ip_address(address.partition("%")[0]).version == 6 else None
    shown = shown or f"{address}:{port}"
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return facts.Knock(shown)
    took_ms = (time.monotonic() - started) * 1000
    writer.transport.abort()
    return facts.Knock(shown, took_ms)


# --- relays -----------------------------------------------------------------------------------------------------------


def _relay(relay: RelayInfo, rtt_ms: float | None, seen: dict[str, str]) -> facts.RelayFacts:
    https = urlsplit(relay.url).scheme == "https"
    return facts.RelayFacts(relay.url, https, rtt_ms, relay.observer if relay.key else None, seen.get(relay.url))


async def _ping_relay(url: str) -> float | None:
    """Milliseconds of a request over an open connection; None for a relay that does not answer."""
    with suppress(TimeoutError, OSError, httpx2.HTTPError, httpx2.InvalidURL):
        async with (
            asyncio.timeout(PART_S),
            httpx2.AsyncClient(base_url=url, timeout=CONNECT_S, trust_env=False) as http,
        ):
            await _get(http, "/ping")
            started = time.monotonic()
            status, _ = await _get(http, "/ping")
            if status == httpx2.codes.OK:
                return (time.monotonic() - started) * 1000
    return None


async def _heard(ask: Callable[[], Awaitable[dict[str, str]]]) -> dict[str, str]:
    with suppress(TimeoutError):
        async with asyncio.timeout(PART_S + 1):  # the question has its own limit below this
            return await ask()
    return {}


# --- ways to ask ------------------------------------------------------------------------------------------------------


async def _get(http: httpx2.AsyncClient, path: str) -> tuple[int, bytes]:
    """Status and body of an answer, of which no more is read than such an answer can have."""
    content = b""
    async with http.stream("GET", path) as response:
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > ANSWER_BYTES_MAX:
                break
    return response.status_code, content[:ANSWER_BYTES_MAX]


async def in_thread(work: Callable[[], T]) -> T:
    """Do blocking work beside the loop, and leave it behind if it takes too long.

    A name server that is silent holds ``getaddrinfo`` for longer than a person waits; a pooled thread would hold up
    the program's end as well.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = expected()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except (OSError, MeshError, ValueError) as raised:  # ValueError: a host name that cannot be one
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="netcheck", daemon=True).start()
    return await done
