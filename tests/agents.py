"""A network of real agents in this process: the real coordinator on loopback, transport in memory, engines one holds.

Everything but the wire between devices and the model itself is what runs in production.
"""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from engines import with_tables
from mesh.agent.asking.asked import Ask
from mesh.agent.identity import Identity
from mesh.agent.join import join
from mesh.agent.main import Agent, Ready
from mesh.agent.options import Options
from mesh.coordinator.config import Config
from mesh.coordinator.main import serve
from mesh.errors import MeshError
from mesh.ids import DeviceId, NetworkId
from mesh.protocol import links
from mesh.protocol.links import JoinLink
from mesh.protocol.values import ModelOffer
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, Home, HomeRecord, SessionRecord
from mesh.transport.local import LocalTransport
from mesh.transport.memory import Switchboard
from mesh.workloads.catalogue import UnknownModel
from mesh.workloads.contract import ANY_TURN, NOBODY, Listener, Outlet, Payload, Turn
from mesh.workloads.embeddings import payload_of, texts_of
from mesh.workloads.frames import WINDOW_BYTES
from mesh.workloads.known import workload_named
from waiting import LIMIT_S as WAIT_S
from waiting import until as until

EMBEDDINGS = workload_named("embeddings")
MODEL = EMBEDDINGS.default_model
WIDTH = 4


class HeldEngines:
    """Engines whose answers are made up but well-formed; ``gate`` closed holds every job."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started: asyncio.Queue[Payload] = asyncio.Queue()
        self.cancelled = 0
        self.turns: list[Turn] = []
        self.others_share = 1.0
        self.unloaded: list[str] = []
        self.failure: MeshError | None = None
        self.service_s = 0.001
        self.words: asyncio.Queue[bytes | MeshError | None] = asyncio.Queue()
        """What is said in answer to a chat, None at its end; an error breaks it."""
        self.on_measured = None
        self.said = 0
        """Bytes of chats that have left."""
        self.loaded = True
        self.telling = False
        """Whether a text's last word, a number, is in its vector."""
        self.may_load = asyncio.Event()
        self.may_load.set()
        self._offer = ModelOffer("embeddings", MODEL, 0.0, digest="made-up")

    async def run(
        self,
        workload: str,
        model: str,
        payload: Payload,
        *,
        limit_s: float,
        turn: Turn = ANY_TURN,
        listener: Listener = NOBODY,
    ) -> Payload:
        workload_named(workload).check(payload)
        self.started.put_nowait(payload)
        self.turns.append(turn)
        try:
            await self.gate.wait()
            if workload == "chat":
                return await self._talk(model, listener.outlet)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        texts = texts_of(payload)
        numbers = [float(text.split()[-1]) if self.telling else 0.0 for text in texts]
        manifest = {"model": model, "dim": WIDTH, "count": len(texts), "tokens": len(texts)}
        return Payload(manifest, (b"".join(struct.pack("<4f", 1.0, number, 0.0, 0.0) for number in numbers),))

    async def _talk(self, model: str, outlet: Outlet | None) -> Payload:
        """Say what the test puts into ``words``, as far as there is room for it."""
        assert outlet is not None
        room, taken, text = WINDOW_BYTES, asyncio.Event(), b""

        def took(count: int) -> None:
            nonlocal room
            room += count
            taken.set()

        outlet.on_taken = took
        while (word := await self.words.get()) is not None:
            if isinstance(word, MeshError):
                raise word
            while room <= 0:
                taken.clear()
                await taken.wait()
            room -= len(word)
            self.said += len(word)
            text += word
            outlet.put(word)
        manifest = {"model": model, "text": text.decode(), "finish": "stop"}
        return Payload({**manifest, "prompt_tokens": 5, "tokens": 7, "left_out": 0})

    def expected_s(self, workload: str, model: str, units: int) -> float | None:
        return self.service_s

    async def prepare(self, workload: str, model: str, say: Any = None) -> None:
        if workload not in (EMBEDDINGS.name, "chat"):
            raise UnknownModel(model=model)
        if say is not None:
            say("downloading", 30, 100)
        await self.may_load.wait()

    async def measure(self, workload: str, model: str) -> ModelOffer:
        self._offer = msgspec.structs.replace(self._offer, units_per_s=27_000.0, warm=True)
        return self.offer(workload, model)

    def assume(self, workload: str, model: str) -> None:
        return None

    def measured(self, workload: str, model: str) -> bool:
        return self._offer.units_per_s > 0

    def offer(self, workload: str, model: str) -> ModelOffer:
        return msgspec.structs.replace(self._offer, workload=workload, model=model)

    def recall(self, offer: ModelOffer) -> None:
        self._offer = offer

    def limit_others(self, share: float) -> None:
        self.others_share = share

    def unload(self, workload: str, model: str) -> None:
        self.unloaded.append(model)

    def processes(self) -> dict[str, int]:
        return {}

    def warm(self) -> tuple[str, ...]:
        return (MODEL,) if self.loaded else ()

    def isolation(self, workload: str, model: str) -> None:
        return None


class Device:
    """A device: its home, and its agent while that runs."""

    def __init__(self, town: "Town", home: Home, work: bool) -> None:
        self.home = home
        self.engines = HeldEngines()
        self.agent: Agent
        self.ready: Ready
        self.work = work
        self._town = town
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def id(self) -> DeviceId:
        return self.agent.parts.membership.me

    @property
    def key(self) -> Any:
        return self.agent.parts.membership.key

    async def start(self, *, gateway: bool = False, wait: bool = True, alone: bool = False) -> "Device":
        """Run the agent; with ``wait`` until it is ready. ``alone``: how it ends concerns nobody but ``end``."""
        ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        begin = asyncio.create_task if alone else self._town.group.create_task
        self._running = begin(self._run(gateway, ready))
        if wait:
            async with asyncio.timeout(WAIT_S):
                self.ready = await ready
        return self

    async def stop(self) -> None:
        """Leave in order."""
        self._stop.set()
        if self._running is not None:
            async with asyncio.timeout(WAIT_S):
                await self._running
            self._running = None

    async def end(self, limit_s: float = WAIT_S) -> None:
        """Wait until the agent ends by itself; raises what it ended with."""
        assert self._running is not None
        running, self._running = self._running, None
        async with asyncio.timeout(limit_s):
            await running

    async def run(self, *texts: str, **changes: Any) -> Any:
        """Have a job done from here."""
        ask = Ask(EMBEDDINGS, payload_of(texts or ("boats in the dark",)))._replace(**changes)
        async with asyncio.timeout(WAIT_S):
            return await self.agent.parts.requester.run(ask)

    async def reported(self) -> None:
        """Until the coordinator has all that this device had to say."""
        await until(self._nothing_left)

    async def _nothing_left(self) -> bool:
        # A job's answers are put there a moment after its caller has the result: until then it is as empty.
        return not self.agent.parts.requester._answering and await self.agent.parts.outbox.size() == 0

    async def _run(self, gateway: bool, ready: asyncio.Future[Ready]) -> None:
        def told(now: Ready) -> None:
            if not ready.done():
                ready.set_result(now)

        async def transport(me: Identity, admits: Any, options: Options) -> LocalTransport:
            return LocalTransport(self._town.board.transport(me.key, admits))

        @contextlib.asynccontextmanager
        async def engines(home: Home, lanes: int) -> AsyncIterator[HeldEngines]:
            yield self.engines

        options = Options(work=self.work, gateway=gateway, open_transport=transport, open_engines=engines)
        async with contextlib.AsyncExitStack() as stack:
            self.agent = await Agent.build(self.home, self.home.read(), options, stack)
            await self.agent.serve(self.home, told, self._stop)


class Person:
    """Somebody signed in, with a client of the coordinator."""

    def __init__(self, town: "Town", name: str, record: CoordinatorRecord, session: SessionRecord) -> None:
        self.name = name
        self.member = session.member
        self.record = record
        self.session = session
        self._town = town

    async def do(self, call: Any) -> Any:
        """Make a call as this person."""

        def ask() -> Any:
            with Coordinator(self.record, self.session.token) as client:
                return client.do(call)

        return await asyncio.to_thread(ask)

    async def link(self, purpose: Any, **terms: Any) -> JoinLink:
        """A join link of the network."""
        minted = await self.do(calls.mint(self._town.network, calls.TokenTerms(purpose, **terms)))
        return links.parse(minted.link)

    async def device(self, name: str, *, work: bool = True, start: bool = True) -> Device:
        """A new device of this person, running and ready."""
        home = Home(self._town.folder / name)
        await asyncio.to_thread(join, home, await self.link("device"), name)
        device = Device(self._town, home, work)
        return await device.start() if start else device

    async def balance(self) -> int:
        """This person's balance in micro-credits."""
        return int((await self.do(calls.balance(self._town.network))).balance)


class Town:
    """One network with its coordinator."""

    def __init__(self, folder: Path, group: asyncio.TaskGroup) -> None:
        self.folder = folder
        self.group = group
        self.board = Switchboard()
        self.network: NetworkId
        self.owner: Person
        self.config = Config(data=folder / "data", port=0, relay=False)
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> str | None:
        """Start the coordinator (again, on the same port); returns the claim link."""
        ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._serving = self.group.create_task(serve(self.config, ready.set_result))
        async with asyncio.timeout(WAIT_S):
            now = await ready
        port = int(now.url.rpartition(":")[2])
        self.config = msgspec.structs.replace(self.config, port=port)
        return now.claim

    async def away(self) -> None:
        """Stop the coordinator."""
        assert self._serving is not None
        self._serving.cancel()
        await asyncio.wait([self._serving])

    async def person(self, name: str, link: JoinLink) -> Person:
        """Sign somebody in."""
        record = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)

        def claim() -> Any:
            with Coordinator(record) as client:
                return client.do(calls.claim(link.secret, name))

        claimed = await asyncio.to_thread(claim)
        return Person(self, name, record, SessionRecord(claimed.token, claimed.member, name))


@contextlib.asynccontextmanager
async def a_town(folder: Path) -> AsyncIterator[tuple[Town, Person, Person]]:
    """A network of two people: Ann, who owns it, and Ben."""
    async with asyncio.TaskGroup() as group:
        town = Town(folder, group)
        with_tables(town.config.data / "coordinator.db")
        claim = await town.serve()
        assert claim is not None
        ann = await town.person("Ann", links.parse(claim))
        town.network = (await ann.do(calls.create_network("home"))).network
        town.owner = ann
        ben = await town.person("Ben", await ann.link("member", role="member"))
        yield town, ann, ben
        for task in list(group._tasks):
            task.cancel()


def a_home(folder: Path) -> Home:
    """An empty home."""
    home = Home(folder / secrets.token_hex(4))
    home.write(HomeRecord())
    return home
