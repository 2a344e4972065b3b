"""The agent program: builds its parts, runs them in one task group, and leaves in order.

Touches: everything an agent touches; environment (for pip's settings), signals.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from mesh import __version__
from mesh.agent import control
from mesh.agent.asking.answers import Signer
from mesh.agent.asking.newcomers import Newcomers
from mesh.agent.asking.numbers import Numbers
from mesh.agent.asking.planning import Planner
from mesh.agent.asking.requester import Requester
from mesh.agent.asking.series import SeriesBook
from mesh.agent.batches.book import Batches
from mesh.agent.batches.desk import BatchDesk
from mesh.agent.batches.files import BatchFiles
from mesh.agent.batches.run import World
from mesh.agent.checking import Checking
from mesh.agent.coordination import Coordination
from mesh.agent.coordination import Parts as Concerned
from mesh.agent.desk import Desk, Parts
from mesh.agent.engines.offering import Offering
from mesh.agent.engines.own import Engines
from mesh.agent.engines.pool import Pool
from mesh.agent.engines.shared_pool import SharedPool
from mesh.agent.engines.sharing import Sharing
from mesh.agent.gateway import server as gateway
from mesh.agent.gateway.calls import Front
from mesh.agent.gateway.keys import KeyBook
from mesh.agent.gateway.surroundings import Surroundings
from mesh.agent.identity import Identity, Keychain
from mesh.agent.lock import only_one
from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.agent.opening import open_iroh
from mesh.agent.options import Options
from mesh.agent.outbox import Outbox
from mesh.agent.page.server import Page
from mesh.agent.peers.ends import Ends
from mesh.agent.peers.nearby import Nearby
from mesh.agent.peers.reach import Reach
from mesh.agent.peers.sessions import Sessions
from mesh.agent.peers.strangers import Strangers
from mesh.agent.probe import Probe
from mesh.agent.steering import Steering
from mesh.agent.store import Store
from mesh.agent.supervisor import REFUSED
from mesh.agent.turning import Turning
from mesh.agent.working.announcing import Announcer
from mesh.agent.working.door import Door
from mesh.agent.working.worker import Worker
from mesh.concurrency import spawner
from mesh.devices.facts import NetworkFacts
from mesh.errors import MeshError, reason_of
from mesh.ids import DeviceId
from mesh.protocol import link
from mesh.sdk.heads import Heads
from mesh.sdk.home import Home, HomeRecord, NotJoined
from mesh.sdk.models import read_choice
from mesh.transport.clock import CoordinatorClock
from mesh.transport.interface import Transport
from mesh.transport.link import LinkClient, LinkDown, LinkTarget
from mesh.workloads.files import ModelFiles
from mesh.workloads.own_catalogue import CatalogueFile, read_catalogue

log = structlog.get_logger()


class DeviceRemoved(MeshError):
    """This device was removed from its network. Ask an admin for a new invite, then `mesh device join LINK`."""

    code = "agent.device_removed"
    kind = "gone"


class Ready(NamedTuple):
    """The agent works: its device, and the gateway's URL and key (None without a gateway)."""

    device: DeviceId
    gateway: str | None
    key: str | None

    def __repr__(self) -> str:
        return f"Ready({self.device}, {self.gateway})"


WELCOME_S = 2.0
"""So long a device that knows its network waits for the coordinator's word (its time, above all) before it is ready."""

LEAVE_S = 3.0
"""For so long a device that is stopped goes on reporting: a commit takes milliseconds, and nobody likes to wait."""


async def run(
    home: Home, on_ready: Callable[[Ready], None], *, options: Options = Options(), stop: asyncio.Event | None = None
) -> None:
    """Run this home's agent until ``stop`` is set (or cancelled). Raises MeshErrors that end it."""
    home.ensure()
    record = home.read()
    try:
        with only_one(home.path / "agent.lock"):
            async with AsyncExitStack() as stack:
                agent = await Agent.build(home, record, options, stack)
                await agent.serve(home, on_ready, stop or asyncio.Event())
    except BaseExceptionGroup as group:
        raise reason_of(group) from None


class Agent:
    """One agent: its parts, wired by ``build``."""

    def __init__(self, parts: Parts, offering: Offering, transport: Transport, options: Options) -> None:
        self.parts = parts
        self.engines: Pool
        self.sharing: Sharing
        self.record: HomeRecord
        self.numbers: Numbers
        self.offering = offering
        self.transport = transport
        self.options = options
        self.installation = 0
        self.start = secrets.token_hex(8)
        self.nearby = Nearby(
            lambda: transport.key,
            transport.addresses,
            parts.membership.known,
            lambda: parts.coordination.up,
        )
        parts.planner.nearby = self.nearby.of
        self.reach = Reach(transport, parts.membership, observe=options.direct)
        self.reach.on_change = offering.on_change = self._tell_anew

    @classmethod
    async def build(cls, home: Home, record: HomeRecord, options: Options, stack: AsyncExitStack) -> "Agent":
        """Open what must be open and wire the parts; ``stack`` closes it all. Raises NotJoined and more."""
        if record.coordinator is None or record.device is None:
            raise NotJoined
        keys = Keychain(home)
        me = keys.newest
        clock = CoordinatorClock()
        store = Store(home.agent_db)
        store.open()
        stack.push_async_callback(store.close)
        membership = Membership(record.device, me.key, clock)
        await membership.recall(store)
        numbers, outbox, probe = Numbers(store), Outbox(store), Probe()
        await numbers.open()
        engines = await stack.enter_async_context((options.open_engines or open_engines)(home, probe.cores))
        offering = Offering(engines, store, lambda: read_choice(home).removed)
        await offering.recall()
        strangers = Strangers(membership.known)

        async def open_end(one: Identity) -> Transport:
            return await (options.open_transport or open_iroh)(one, strangers.admits, options)

        transport = Ends(await open_end(me))
        stack.push_async_callback(transport.close)
        myself = Myself(membership.me, probe, offering)
        await myself.recall(store)
        target = LinkTarget(
            record.coordinator.url,
            membership.coordinator_key or record.coordinator.key,
            record.coordinator.tls_sha256,
            membership.me,
            record.coordinator.urls[1:],
        )
        client = LinkClient(target, me.seed, clock, myself.condition)
        coordination, sessions = Coordination(client), Sessions(transport, membership)
        coordination.turning = turning = Turning(keys, membership, transport, open_end)
        turning.begin(client)
        await turning.open_former()
        sharing = await Sharing.recalled(store)
        offering.more, offering.on_loading = sharing.offers, client.beat_soon
        worker = Worker(membership, keys, store, outbox, SharedPool(engines, sharing), Door(membership, myself))
        await worker.recall()
        signer = Signer(membership.network, membership.me, keys)
        planner = Planner(membership, sessions, coordination, myself, SeriesBook(signer, outbox))
        requester = Requester(membership, signer, outbox, sessions, planner, numbers)
        sessions.requester, sessions.worker = requester.exchanges, worker
        steering = Steering(myself, worker, engines, store, client.beat_soon)
        myself.load, myself.on_change = worker.load, steering.follow
        steering.follow()
        coordination.parts = Concerned(membership, store, outbox, worker, requester)
        coordination.heads = await asyncio.to_thread(Heads, home.ledger_heads)
        coordination.on_notice = options.notice
        coordination.on_drain = steering.steered
        parts = Parts(membership, myself, coordination, sessions, planner, requester, worker, outbox, store)
        agent = cls(parts, offering, transport, options)
        agent.sharing, sharing.on_change = sharing, agent._tell_anew
        agent.engines, agent.record, agent.numbers = engines, record, numbers
        agent.installation = await store.advance("installation", 1) + 1
        coordination.hello = agent.hello
        return agent

    async def serve(self, home: Home, on_ready: Callable[[Ready], None], stop: asyncio.Event) -> None:
        """Run all parts until ``stop``; then leave in order: callers, what is to be reported, the link."""
        parts = self.parts
        desk = Desk(parts, started_ms=parts.membership.clock.now_ms(), stop=stop.set)
        desk.reach, desk.offering, desk.check_network = self.reach, self.offering, self._check_network
        batches, desk.batches = await self._open_batches(home)
        desk.sharing, desk.keys = self.sharing, KeyBook(parts.store)
        desk.wrong_models = lambda: read_catalogue(home.catalogue_file).wrong
        await desk.keys.open()
        async with asyncio.TaskGroup() as group:
            parts.requester.spawn = parts.worker.spawn = parts.planner.series.spawn = spawn = spawner(group)
            newcomers = Newcomers(parts.membership, parts.requester.dispatch, parts.planner.series, parts.coordination)
            checking = Checking(parts, SharedPool(self.engines, self.sharing), self.offering)
            for part in (parts.requester.exchanges, parts.requester.dispatch, parts.requester.lookout):
                part.spawn = spawn
            tasks = [
                group.create_task(parts.sessions.run()),
                group.create_task(parts.outbox.run(parts.coordination)),
                group.create_task(self._keep_link(stop)),
                group.create_task(Announcer(parts.worker, parts.coordination).run()),
                group.create_task(parts.coordination.turning.run()),
                *(group.create_task(part.run()) for part in (self.reach, parts.planner.series, newcomers, checking)),
            ]
            if self.record.coordinator is not None and not self.record.coordinator.here_only:
                tasks.append(group.create_task(self.nearby.run()))
            await parts.sessions.running.wait()
            tasks += [group.create_task(part.run()) for part in (batches, self.sharing)]
            try:
                async with AsyncExitStack() as stack:
                    desk.page = await stack.enter_async_context(Page(home, desk.answer, self.record, parts.membership))
                    await stack.enter_async_context(control.served(home.control_socket, desk.answer))
                    ready = Ready(parts.membership.me, None, None)
                    if self.options.gateway:
                        around = Surroundings(parts.membership, parts.myself, self.offering, ModelFiles(home.models))
                        around.catalogue = CatalogueFile(home.catalogue_file).catalogue
                        front = Front(parts.requester.run, around, desk.keys, self.parts.membership.count_able)
                        address = await stack.enter_async_context(gateway.served(home, front))
                        desk.gateway = desk.page.gateway = address.url
                        ready = ready._replace(gateway=address.url, key=address.key)
                    tasks.append(group.create_task(self._get_ready(lambda: on_ready(ready))))
                    await stop.wait()
            finally:
                await batches.stop()
                await parts.requester.stop()
                await parts.outbox.emptied(LEAVE_S)
                for task in tasks:
                    task.cancel()
        if parts.coordination.removed is not None:
            raise DeviceRemoved(code=parts.coordination.removed)

    async def _open_batches(self, home: Home) -> tuple[Batches, BatchDesk]:
        """The batches of this home, and who answers for them."""
        parts = self.parts
        files = BatchFiles(home.batches)
        batches = Batches(
            World(
                jobs=parts.requester,
                store=parts.store,
                files=files,
                numbers=self.numbers,
                devices=self.parts.membership.count_able,
                up=lambda: parts.coordination.up,
                price=parts.membership.price,
                now_ms=parts.membership.clock.now_ms,
            )
        )
        await batches.open()
        return batches, BatchDesk(batches, parts.store, files)

    async def _check_network(self) -> NetworkFacts:
        from mesh.agent import netcheck  # its HTTP client takes 8 MB, and is asked for once in a while

        parts = self.parts
        return await netcheck.measure(netcheck.inside(self.record, parts.membership, parts.coordination, self.reach))

    def hello(self) -> link.Hello:
        """What this device tells the coordinator after every Welcome."""
        return link.Hello(
            software=__version__,
            installation=self.installation,
            start=self.start,
            capability=self.parts.myself.capability(),
            epoch=self.parts.membership.epoch,
            relay=self.reach.relay,
            addresses=tuple(self.transport.addresses()),
            observed=self.reach.papers,
        )

    async def _keep_link(self, stop: asyncio.Event) -> None:
        """The link until the end; a device that was removed stops."""
        await self.parts.coordination.run()
        stop.set()

    async def _get_ready(self, ready: Callable[[], None]) -> None:
        """Make the models ready, be welcomed, tell the coordinator what this device offers; then it is ready."""
        if self.options.work and await self.offering.prepare(self.options.say):
            with suppress(LinkDown):
                await self.parts.coordination.say_hello()
        with suppress(TimeoutError):  # the coordinator is away: one's own devices work all the same
            async with asyncio.timeout(WELCOME_S if self.parts.membership.certified else None):
                await self.parts.coordination.welcomed.wait()
        ready()

    async def _tell_anew(self) -> None:
        """This device is reached otherwise, or offers more: the coordinator learns it, now or at the next Welcome."""
        with suppress(LinkDown):
            await self.parts.coordination.say_hello()


def open_engines(home: Home, lanes: int) -> AbstractAsyncContextManager[Pool]:
    """The real engines: child processes, with the models of this home."""
    files = ModelFiles(home.models, os.environ)
    files.budget = lambda: read_choice(home).disk_bytes
    engines = Engines(files, lanes=lanes, catalogue=read_catalogue(home.catalogue_file).catalogue)
    engines.reread = lambda: read_catalogue(home.catalogue_file).catalogue
    return engines


def main() -> int:
    """The agent's own process: flags in argv, JSON lines on stdout, the end of stdin asks it to leave."""
    parser = argparse.ArgumentParser(prog="mesh-agent")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--only-ask", action="store_true")
    parser.add_argument("--no-direct", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    options = Options(
        work=not arguments.only_ask,
        direct=not arguments.no_direct,
        say=lambda stage, done, total: _print({"event": "model", "stage": stage, "done": done, "total": total}),
        notice=lambda words: _print({"event": "notice", "words": words}),
    )
    try:
        asyncio.run(_until_told(Home(arguments.home), options))
    except MeshError as error:
        _print({"error": error.wire()})
        return REFUSED
    return 0


async def _until_told(home: Home, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: the end of stdin is enough
            loop.add_signal_handler(number, stop.set)
    threading.Thread(target=_watch_parent, args=(loop, stop), name="agent-parent", daemon=True).start()
    await run(home, lambda ready: _print({"event": "ready", **ready._asdict()}), options=options, stop=stop)


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.buffer: a lock that this thread holds would abort the exit
        pass
    with suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop.set)


def _print(line: dict[str, object]) -> None:
    """One line for the parent; a parent that has gone is noticed by the end of stdin."""
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
