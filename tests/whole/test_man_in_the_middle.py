"""A neighbour who sits between a device and its coordinator, with TLS of their own, gets nothing at all."""

import asyncio
import contextlib
import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from mesh.agent.join import join
from mesh.coordinator import tls
from mesh.coordinator.config import Config
from mesh.coordinator.main import serve as serve_coordinator
from mesh.errors import RemoteError
from mesh.ids import DeviceId
from mesh.protocol import link, links, signed
from mesh.protocol.papers import LinkProof
from mesh.protocol.values import Condition
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, Home
from mesh.sdk.pinning import WrongCertificate
from mesh.transport.clock import CoordinatorClock
from mesh.transport.link import Down, LinkClient, LinkTarget, PinMismatch, Up, pinned_context

pytestmark = pytest.mark.anyio
WAIT_S = 20.0


class Victim:
    """A device with its own TLS-speaking coordinator on this machine."""

    def __init__(self, record: CoordinatorRecord, home: Home, token: str) -> None:
        self.url, self.record, self.home, self.token = record.url, record, home, token
        device = home.read().device
        assert device is not None
        self.id: DeviceId = device.id
        self.seed = bytes.fromhex(home.device_key.read_text().strip())

    def client(self, **changes: object) -> LinkClient:
        target = LinkTarget(self.record.url, self.record.key, self.record.tls_sha256, self.id)
        return LinkClient(target._replace(**changes), self.seed, CoordinatorClock(), Condition)

    async def first(self, **changes: object) -> Up | Down:
        """How the device's first try to connect ends."""
        heard: asyncio.Queue[Up | Down] = asyncio.Queue()
        client = self.client(**changes)
        running = asyncio.create_task(
            client.run(lambda event: heard.put_nowait(event) if isinstance(event, Up | Down) else None)
        )
        try:
            async with asyncio.timeout(WAIT_S):
                return await heard.get()
        finally:
            running.cancel()
            await asyncio.wait([running])


@contextlib.asynccontextmanager
async def a_victim(folder: Path):
    ready: asyncio.Future = asyncio.get_running_loop().create_future()
    config = Config(data=folder / "data", host="0.0.0.0", port=0, public_url=None, relay=False)
    serving = asyncio.create_task(serve_coordinator(config, ready.set_result))
    try:
        async with asyncio.timeout(WAIT_S):
            now = await ready
        port = urlsplit(now.url).port
        url = f"https://127.0.0.1:{port}"
        claim = links.parse(now.claim)
        record = CoordinatorRecord(url, claim.coordinator, claim.tls_sha256)

        def settle() -> tuple[Home, str]:
            with Coordinator(record) as client:
                token = client.do(calls.claim(claim.secret, "Ann")).token
            with Coordinator(record, token) as client:
                network = client.do(calls.create_network("home")).network
                minted = client.do(calls.mint(network, calls.TokenTerms("device")))
            home = Home(folder / "home")
            join(home, links.parse(minted.link)._replace(url=url), "laptop")
            return home, token

        yield Victim(record, *await asyncio.to_thread(settle))
    finally:
        serving.cancel()
        await asyncio.wait([serving])


class Neighbour:
    """Forwards what a device says to the real coordinator and back, over TLS of their own, and keeps count."""

    def __init__(self, victim: Victim) -> None:
        self.victim = victim
        self.connections = 0
        self.said: list[str] = []
        """What the coordinator answered to anything that was forwarded."""

    async def __call__(self, device: ServerConnection) -> None:
        self.connections += 1
        context = pinned_context(self.victim.record.tls_sha256 or "")
        real = self.victim.url.replace("https", "wss") + link.LINK_PATH
        async with connect(real, ssl=context, compression=None, proxy=None) as coordinator:

            async def down() -> None:
                async for raw in coordinator:
                    self.said.append(json.loads(raw)["t"])
                    await device.send(raw)

            answering = asyncio.create_task(down())
            with contextlib.suppress(Exception):
                async for raw in device:
                    await coordinator.send(raw)
            answering.cancel()
            await asyncio.wait([answering])


@contextlib.asynccontextmanager
async def between(folder: Path, victim: Victim):
    neighbour = Neighbour(victim)
    (folder / "theirs").mkdir()
    theirs = tls.identity(folder / "theirs")
    async with serve(neighbour, "127.0.0.1", 0, ssl=tls.server_context(theirs.path)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield neighbour, f"https://127.0.0.1:{port}", theirs.sha256


async def test_the_pin_ends_it_before_a_byte_is_said(tmp_path):
    async with a_victim(tmp_path) as victim, between(tmp_path, victim) as (neighbour, url, _):
        assert isinstance(await victim.first(), Up), "without them the link stands"
        ended = await victim.first(url=url)
        assert isinstance(ended, Down) and ended.code == PinMismatch.code
        assert (neighbour.connections, neighbour.said) == (0, []), "TLS never finished: nothing was said to them"
        with pytest.raises(WrongCertificate):
            await asyncio.to_thread(Coordinator, msgspec.structs.replace(victim.record, url=url))


async def test_a_plain_http_neighbour_is_refused_as_a_downgrade(tmp_path):
    async with a_victim(tmp_path) as victim:
        neighbour = Neighbour(victim)
        async with serve(neighbour, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            ended = await victim.first(url=f"http://127.0.0.1:{port}")
        assert isinstance(ended, Down) and ended.code == PinMismatch.code
        assert neighbour.connections == 0


async def test_a_forwarded_challenge_is_worthless_even_to_a_device_that_trusts_the_neighbours_tls(tmp_path):
    """The worst case: the device was made to pin the neighbour's certificate. Both ends still differ in the binding."""
    async with a_victim(tmp_path) as victim, between(tmp_path, victim) as (neighbour, url, theirs):
        ended = await victim.first(url=url, tls_sha256=theirs)
        assert isinstance(ended, Down) and ended.code == "link.proof_refused"
        assert neighbour.connections == 1
        assert neighbour.said == ["challenge", "problem"], (
            "no Welcome, no State, no Drain: not one authenticated message"
        )


async def test_a_replayed_proof_another_id_and_an_unknown_device_are_each_refused_with_a_reason(tmp_path):
    async with a_victim(tmp_path) as victim:
        real = victim.url.replace("https", "wss") + link.LINK_PATH
        context = pinned_context(victim.record.tls_sha256 or "")
        captured: list[link.Prove] = []

        async def refused(device: DeviceId, seed: bytes, replay: link.Prove | None = None) -> str:
            async with connect(real, ssl=context, compression=None, proxy=None) as socket:
                challenge = link.decode_from_coordinator(await socket.recv())
                assert isinstance(challenge, link.Challenge)
                nonce = secrets.token_hex(link.NONCE_BYTES)
                prove = replay or link.Prove(device, nonce, _proof(victim, device, challenge.nonce, nonce, seed))
                captured.append(prove)
                await socket.send(link.encode(prove), text=True)
                answer = link.decode_from_coordinator(await socket.recv())
                return str(answer.error["code"]) if isinstance(answer, link.Problem) else type(answer).__name__

        assert await refused(victim.id, victim.seed) == "Welcome"
        assert await refused(victim.id, victim.seed, captured[0]) == "link.proof_refused", "a replay"
        assert await refused(victim.id, secrets.token_bytes(32)) == "link.proof_refused", "another's id"
        assert await refused(DeviceId("01M00000000000000000000000"), victim.seed) == "link.unknown_device"


def _proof(victim: Victim, device: DeviceId, theirs: str, mine: str, seed: bytes) -> str:
    return signed.sign(
        LinkProof(
            network="",
            side="device",
            device=device,
            coordinator=victim.record.key,
            coordinator_nonce=theirs,
            device_nonce=mine,
            binding=victim.record.tls_sha256 or "",
        ),
        seed,
    )


async def test_links_pin_the_networks_key_and_a_device_tries_every_address(tmp_path):
    async with a_victim(tmp_path) as victim:
        device = victim.home.read().device
        assert device is not None

        def invite() -> links.JoinLink:
            with Coordinator(victim.record, victim.token) as client:
                return links.parse(client.do(calls.mint(device.network, calls.TokenTerms("device"))).link)

        invited = (await asyncio.to_thread(invite))._replace(url="https://127.0.0.1:9", more=(victim.url,))
        assert invited.network_key == device.network_key
        other = signed.public_key(bytes(32))
        with pytest.raises(RemoteError) as refused:
            await asyncio.to_thread(join, Home(tmp_path / "other"), invited._replace(network_key=other), "other")
        assert refused.value.wire_code == "network.wrong_key", "and it cost no use of the link"
        assert Home(tmp_path / "other").read().device is None
        home = Home(tmp_path / "second")
        joined = await asyncio.to_thread(join, home, invited, "second")
        record = home.read().coordinator
        assert record is not None and record.urls == ("https://127.0.0.1:9", victim.url)
        seed = bytes.fromhex(home.device_key.read_text().strip())
        target = LinkTarget(record.url, record.key, record.tls_sha256, joined.device, record.urls[1:])
        client, up = LinkClient(target, seed, CoordinatorClock(), Condition), asyncio.Event()
        running = asyncio.create_task(client.run(lambda event: up.set() if isinstance(event, Up) else None))
        try:
            async with asyncio.timeout(WAIT_S):
                await up.wait()
        finally:
            running.cancel()
            await asyncio.wait([running])
