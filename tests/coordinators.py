"""A coordinator in this process: a manual clock, HTTP without sockets, links as pairs of queues."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from engines import with_tables
from mesh.coordinator.config import Site
from mesh.coordinator.keys import Keys
from mesh.coordinator.main import Coordinator
from mesh.coordinator.parts import Parts
from mesh.coordinator.settings import WaySettings
from mesh.coordinator.snapshot import Snapshot
from mesh.coordinator.store.opening import open_database
from mesh.ids import DeviceId, ulid
from mesh.protocol import link, links, signed
from mesh.protocol.links import JoinLink
from mesh.protocol.papers import JoinProof, LinkProof
from mesh.protocol.values import Capability, Condition, JobSpec, ModelOffer
from mesh.units import GIB

START_MS = 1_800_000_000_000
WAIT_S = 30.0
SITE = Site("http://mesh.test", None)
OFFER = ModelOffer("embeddings", "minilm", 27_000.0, overhead_s=0.003, cold_load_s=1.0, warm=True)
LAPTOP = Capability("linux", "x86_64", 8, 16 * GIB, 2, offers=(OFFER,))
NO_MODEL = Capability("linux", "x86_64", 8, 16 * GIB, 2)


def an_id() -> str:
    return ulid(START_MS, secrets.token_bytes(10))


def a_job(units: int = 300, **changes: Any) -> JobSpec:
    return msgspec.structs.replace(JobSpec("embeddings", "minilm", units), **changes)


@dataclass
class Clock:
    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@dataclass
class Joined:
    """A device that has joined: what it keeps."""

    id: DeviceId
    seed: bytes
    answer: dict[str, Any]

    @property
    def key(self) -> str:
        return signed.public_key(self.seed)


@dataclass
class Person:
    name: str
    token: str
    member: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


class Wire:
    """One link, as the device holds it."""

    def __init__(self) -> None:
        self.to_coordinator: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_coordinator: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.to_coordinator.put_nowait({"type": "websocket.connect"})

    def say(self, message: link.Message | bytes) -> None:
        raw = message if isinstance(message, bytes) else link.encode(message)
        self.to_coordinator.put_nowait({"type": "websocket.receive", "text": raw.decode()})

    async def hear(self) -> Any:
        """The next message; None when the coordinator closed the link."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self.from_coordinator.get()
                if event["type"] == "websocket.close":
                    self.hang_up()
                    return None
                if event["type"] == "websocket.send":
                    return link.decode_from_coordinator(event["text"])

    async def hear_a(self, *kinds: type) -> Any:
        """The next message of a kind; others are passed over."""
        while not isinstance(message := await self.hear(), kinds):
            assert message is not None, f"the link ended before {kinds} came"
        return message

    def hang_up(self) -> None:
        self.to_coordinator.put_nowait({"type": "websocket.disconnect", "code": 1001})


@dataclass
class Bench:
    coordinator: Coordinator
    clock: Clock
    claim_link: JoinLink | None
    http: httpx2.AsyncClient
    group: asyncio.TaskGroup
    wires: list[Wire] = field(default_factory=list)

    async def post(self, path: str, body: dict[str, Any], person: Person | None = None, **headers: str) -> Any:
        known = person.headers if person else {}
        return await self.http.post(path, json=body, headers={**known, **headers})

    async def get(self, path: str, person: Person | None = None) -> Any:
        return await self.http.get(path, headers=person.headers if person else {})

    async def delete(self, path: str, person: Person) -> Any:
        return await self.http.delete(path, headers=person.headers)

    async def claim(self, name: str = "Ann") -> Person:
        assert self.claim_link is not None
        return await self.sign_in(self.claim_link, name)

    async def sign_in(self, invite: JoinLink, name: str) -> Person:
        answer = await self.post("/v1/claim", {"secret": invite.secret, "name": name})
        assert answer.status_code == 200, answer.text
        self.clock.forward(0.001)  # ids of one millisecond have no order
        return Person(name, answer.json()["token"], answer.json()["member"])

    async def network(self, person: Person, name: str = "home") -> str:
        answer = await self.post("/v1/networks", {"name": name}, person)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["network"])

    async def invite(self, network: str, person: Person, purpose: str = "device", **terms: Any) -> JoinLink:
        answer = await self.post(f"/v1/networks/{network}/tokens", {"purpose": purpose, **terms}, person)
        assert answer.status_code == 200, answer.text
        self.clock.forward(0.001)
        return links.parse(answer.json()["link"])

    async def ask_to_join(
        self,
        invite: JoinLink,
        name: str,
        seed: bytes | None = None,
        capability: Capability = LAPTOP,
        changes: dict[str, Any] | None = None,
    ) -> tuple[bytes, Any]:
        """POST /v1/join; ``changes`` replace fields of the body after it was signed."""
        seed = seed or secrets.token_bytes(32)
        key = signed.public_key(seed)
        proof = JoinProof(
            network="",
            key=key,
            coordinator=invite.coordinator,
            secret_sha256=links.secret_hash(invite.secret),
            name=name,
            time_ms=self.clock.now_ms,
        )
        body = {"secret": invite.secret, "name": name, "key": key, "proof": signed.sign(proof, seed)}
        described = {"capability": msgspec.to_builtins(capability)}
        return seed, await self.post("/v1/join", {**body, **described, **(changes or {})})

    async def join(self, invite: JoinLink, name: str, capability: Capability = LAPTOP) -> Joined:
        seed, answer = await self.ask_to_join(invite, name, capability=capability)
        assert answer.status_code == 200, answer.text
        self.clock.forward(0.001)
        return Joined(DeviceId(answer.json()["device"]), seed, answer.json())

    async def device(self, network: str, person: Person, name: str, capability: Capability = LAPTOP) -> Joined:
        return await self.join(await self.invite(network, person), name, capability)

    def connect(self, seen_from: str = "127.0.0.1") -> Wire:
        """Open a link; nothing is proven yet."""
        wire = Wire()
        self.wires.append(wire)
        scope = {"type": "websocket", "path": link.LINK_PATH, "client": (seen_from, 5)}
        serving = self.coordinator.app(scope, wire.to_coordinator.get, wire.from_coordinator.put)
        self.group.create_task(serving)
        return wire

    def prove(self, challenge: link.Challenge, device: DeviceId, seed: bytes, /, **changes: Any) -> link.Prove:
        """The device's answer; ``changes`` replace fields of the proof before it is signed."""
        nonce = secrets.token_hex(link.NONCE_BYTES)
        proof = LinkProof(
            network="",
            side="device",
            device=device,
            coordinator=challenge.coordinator,
            coordinator_nonce=challenge.nonce,
            device_nonce=nonce,
            binding=self.coordinator.parts.site.binding,
        )
        return link.Prove(device, nonce, signed.sign(msgspec.structs.replace(proof, **changes), seed))

    async def linked(self, device: Joined, condition: Condition | None = None) -> Wire:
        """A link that stands, after its first beat."""
        wire = self.connect()
        challenge = await wire.hear_a(link.Challenge)
        wire.say(self.prove(challenge, device.id, device.seed))
        await wire.hear_a(link.Welcome)
        wire.say(link.Hello("test", 1))
        await self.beat(wire, condition)
        return wire

    async def beat(self, wire: Wire, condition: Condition | None = None) -> link.BeatAnswer:
        wire.say(link.Beat(1, condition or Condition()))
        answer = await wire.hear_a(link.BeatAnswer)
        assert isinstance(answer, link.BeatAnswer)
        return answer

    async def ask(self, wire: Wire, spec: JobSpec | None = None, **request: Any) -> link.Placed | link.Refused:
        asked = link.PermitRequest(request=an_id(), job=an_id(), spec=spec or a_job())  # type: ignore[arg-type]
        wire.say(msgspec.structs.replace(asked, **request))
        answer = await wire.hear_a(link.Placed, link.Refused)
        assert isinstance(answer, link.Placed | link.Refused)
        return answer


@contextlib.asynccontextmanager
async def a_coordinator(
    folder: Path,
    clock: Clock | None = None,
    where: Path | str | None = None,
    ways: WaySettings | None = None,
    site: Site = SITE,
) -> AsyncIterator[Bench]:
    """A coordinator on a database in ``folder``, or ``where`` one is; open it again on the same to restart it."""
    clock = clock or Clock()
    keys = Keys(folder / "keys")
    with open_database(where or with_tables(folder / "coordinator.db")) as database:
        parts = Parts(database, keys, site, Snapshot(clock()), clock, secrets.token_bytes)
        coordinator = Coordinator(parts, ways)
        claim_text = await coordinator.start()
        transport = httpx2.ASGITransport(coordinator.app)
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://mesh.test") as http,
            asyncio.TaskGroup() as group,
        ):
            sending = group.create_task(coordinator.mailer.run())
            bench = Bench(coordinator, clock, links.parse(claim_text) if claim_text else None, http, group)
            try:
                yield bench
            finally:
                sending.cancel()
                for wire in bench.wires:
                    wire.hang_up()
