"""A relay that has joined: it tells the coordinator where it is, and follows what that says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mesh.ids import DeviceId, DeviceKey, NetworkId
from mesh.protocol import link, signed
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.papers import LinkProof, RelayInfo
from mesh.relay.main import RelayConfig, run_linked
from mesh.transport.link import LinkTarget, origin
from relay_client import Denied, a_key, connected, public

pytestmark = pytest.mark.anyio

A, B = a_key("a"), a_key("b")
COORDINATOR_SEED, RELAY_SEED = bytes([1]) * 32, bytes([2]) * 32
RELAY = DeviceId("01J00000000000000000000000")
LIMIT_S = 30.0


def named(*keys: object, networks: tuple[int, ...] = (1,)) -> tuple[Admission, ...]:
    return tuple(Admission(DeviceKey(public(key).hex()), networks) for key in keys)  # type: ignore[arg-type]


class Coordinator:
    """The other end of the link, as far as a relay needs one."""

    def __init__(self) -> None:
        self.hellos: asyncio.Queue[link.Hello] = asyncio.Queue()
        self.links: list[ServerConnection] = []
        self.url = ""
        self.first_words: link.Message = Admissions(named(A), full=True)

    async def talk(self, relay: ServerConnection) -> None:
        key = signed.public_key(COORDINATOR_SEED)
        await relay.send(link.encode(link.Challenge(key, "ab" * link.NONCE_BYTES)), text=True)
        prove = link.decode_from_device(await relay.recv())
        assert isinstance(prove, link.Prove)
        facts = {
            "device": RELAY,
            "coordinator": key,
            "coordinator_nonce": "ab" * link.NONCE_BYTES,
            "device_nonce": prove.nonce,
            "binding": origin(self.url),
        }
        proven = signed.verify(prove.proof, LinkProof, signed.public_key(RELAY_SEED), "")
        assert proven == LinkProof(network="", side="device", **facts)
        answer = signed.sign(LinkProof(network="", side="coordinator", **facts), COORDINATOR_SEED)
        await self.say(relay, link.Welcome(answer, int(time.time() * 1000), NetworkId("")))
        self.links.append(relay)
        with contextlib.suppress(ConnectionClosed):
            async for raw in relay:
                message = link.decode_from_device(raw)
                if isinstance(message, link.Hello):
                    self.hellos.put_nowait(message)
                    await self.say(relay, self.first_words)
                elif isinstance(message, link.Beat):
                    await self.say(relay, link.BeatAnswer(message.number, int(time.time() * 1000)))
        self.links.remove(relay)

    async def say(self, relay: ServerConnection, message: link.Message) -> None:
        await relay.send(link.encode(message), text=True)

    async def hello(self) -> link.Hello:
        async with asyncio.timeout(LIMIT_S):
            return await self.hellos.get()


@asynccontextmanager
async def a_coordinator() -> AsyncIterator[Coordinator]:
    coordinator = Coordinator()
    async with serve(coordinator.talk, "127.0.0.1", 0) as server:
        coordinator.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield coordinator


@asynccontextmanager
async def a_linked_relay(coordinator: Coordinator, folder: Path) -> AsyncIterator[tuple[asyncio.Task[None], str]]:
    target = LinkTarget(coordinator.url, signed.public_key(COORDINATOR_SEED), None, RELAY)
    ready: asyncio.Future[RelayInfo] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run_linked(RelayConfig(str(folder)), target, RELAY_SEED, ready.set_result))
    try:
        async with asyncio.timeout(LIMIT_S):
            info = await ready
        yield running, info.url
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def let_in(url: str, key: object) -> None:
    """Try until the relay lets a key in."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(Denied):
                async with connected(url, key):  # type: ignore[arg-type]
                    return
            await asyncio.sleep(0.01)


async def test_it_says_where_it_is_and_follows_the_list(tmp_path: Path) -> None:
    async with a_coordinator() as coordinator, a_linked_relay(coordinator, tmp_path) as (_, url):
        hello = await coordinator.hello()
        assert hello.relay == url
        assert hello.observer is not None and hello.observer.startswith("127.0.0.1:")
        await let_in(url, A)
        async with connected(url, A) as a:
            await coordinator.say(coordinator.links[0], Admissions((*named(A, networks=()), *named(B))))
            await a.ended()
        await let_in(url, B)


async def test_a_new_link_brings_a_new_list(tmp_path: Path) -> None:
    async with a_coordinator() as coordinator, a_linked_relay(coordinator, tmp_path) as (_, url):
        first = await coordinator.hello()
        await let_in(url, A)
        async with connected(url, A) as a:
            coordinator.first_words = Admissions(named(B), full=True)
            coordinator.links[0].transport.abort()
            assert (await coordinator.hello()).installation == first.installation
            await a.ended()
        await let_in(url, B)


async def test_it_serves_on_while_the_coordinator_is_away(tmp_path: Path) -> None:
    async with a_coordinator() as coordinator, a_linked_relay(coordinator, tmp_path) as (_, url):
        await coordinator.hello()
        await let_in(url, A)
    async with a_linked_relay(coordinator, tmp_path) as (_, url), connected(url, A) as a:
        assert await a.heard() == []


async def test_a_removed_relay_ends_and_forgets_whom_it_admitted(tmp_path: Path) -> None:
    async with a_coordinator() as coordinator, a_linked_relay(coordinator, tmp_path) as (running, url):
        await coordinator.hello()
        await let_in(url, A)
        await coordinator.say(coordinator.links[0], link.Removed("relay.removed"))
        async with asyncio.timeout(LIMIT_S):
            await running
        assert (tmp_path / "admissions.json").read_bytes().endswith(b'"admissions":[]}')
        with pytest.raises(OSError):
            async with connected(url, A):
                pass
