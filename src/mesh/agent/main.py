"""The agent program: builds its parts, runs them in one task group, and leaves in order.

Touches: everything an agent touches; environment (for pip's settings), signals.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

import structlog

from mesh import __version__
from mesh.agent import control, identity
from mesh.agent.coordination import Coordination
from mesh.agent.coordination import Parts as Concerned
from mesh.agent.desk import Desk, Parts
from mesh.agent.door import Door
from mesh.agent.engines import Engines, Say
from mesh.agent.gateway import server as gateway
from mesh.agent.identity import Identity
from mesh.agent.lock import only_one
from mesh.agent.membership import Membership
from mesh.agent.myself import Myself
from mesh.agent.numbers import Numbers
from mesh.agent.offering import Offering
from mesh.agent.outbox import Outbox
from mesh.agent.planning import Planner
from mesh.agent.probe import Probe
from mesh.agent.requester import Requester
from mesh.agent.sessions import Sessions
from mesh.agent.store import Store
from mesh.agent.worker import Worker
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey
from mesh.protocol import link
from mesh.sdk.home import Home, HomeRecord, NotJoined
from mesh.transport.clock import CoordinatorClock
from mesh.transport.interface import Transport
from mesh.transport.link import LinkClient, LinkDown, LinkTarget
from mesh.workloads.files import ModelFiles

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


OpenTransport = Callable[[Identity, Callable[[DeviceKey], bool], "Options"], Awaitable[Transport]]


class Options(NamedTuple):
    """How this agent runs. ``work`` off: it only asks. ``direct`` off: it is reached through the relay alone."""

    work: bool = True
    gateway: bool = True
    direct: bool = True
    open_transport: OpenTransport | None = None
    """For tests: another transport than iroh."""
    say: Say | None = None
    """Told how far a model is from being ready (stage, done, total bytes)."""


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
        raise _the_reason(group) from None


class Agent:
    """One agent: its parts, wired by ``build``."""

    def __init__(self, parts: Parts, offering: Offering, transport: Transport, options: Options) -> None:
        self.parts = parts
        self.engines: Engines
        self.offering = offering
        self.transport = transport
        self.options = options
        self.installation = 0
        self._relays_used: tuple[str, ...] = ()

    @classmethod
    async def build(cls, home: Home, record: HomeRecord, options: Options, stack: AsyncExitStack) -> "Agent":
        """Open what must be open and wire the parts; ``stack`` closes it all. Raises NotJoined and more."""
        if record.coordinator is None or record.device is None:
            raise NotJoined
        me = identity.load(home)
        clock = CoordinatorClock()
        store = Store(home.agent_db)
        store.open()
        stack.push_async_callback(store.close)
        membership = Membership(record.device, me.key, clock)
        await membership.recall(store)
        numbers, outbox, probe = Numbers(store), Outbox(store), Probe()
        await numbers.open()
        engines = await stack.enter_async_context(Engines(ModelFiles(home.models, os.environ), lanes=probe.cores))
        offering = Offering(engines, store)
        await offering.recall()
        transport = await (options.open_transport or open_iroh)(me, membership.known, options)
        stack.push_async_callback(transport.close)
        myself = Myself(membership.me, probe, offering)
        await myself.recall(store)
        target = LinkTarget(
            record.coordinator.url, record.coordinator.key, record.coordinator.tls_sha256, membership.me
        )
        client = LinkClient(target, me.seed, clock, myself.condition)
        coordination, sessions = Coordination(client), Sessions(transport, membership)
        worker = Worker(membership, me.seed, store, outbox, engines, Door(membership, myself))
        await worker.recall()
        planner = Planner(membership, sessions, coordination, myself)
        requester = Requester(membership, me.seed, outbox, sessions, planner, numbers)
        sessions.requester, sessions.worker = requester, worker
        myself.load, myself.on_change = worker.load, client.beat_soon
        coordination.parts = Concerned(membership, store, outbox, worker, requester)
        coordination.on_drain = lambda resume: myself.want("ready" if resume else "draining")
        parts = Parts(membership, myself, coordination, sessions, planner, requester, worker, outbox, store)
        agent = cls(parts, offering, transport, options)
        agent.engines = engines
        agent.installation = await store.advance("installation", 1) + 1
        coordination.hello = agent.hello
        return agent

    async def serve(self, home: Home, on_ready: Callable[[Ready], None], stop: asyncio.Event) -> None:
        """Run all parts until ``stop``; then leave in order: callers first, peers next, the link last."""
        parts = self.parts
        desk = Desk(parts, started_ms=parts.membership.clock.now_ms(), stop=stop.set)
        async with asyncio.TaskGroup() as group:
            parts.requester.spawn = parts.worker.spawn = group.create_task
            tasks = [
                group.create_task(parts.sessions.run()),
                group.create_task(parts.outbox.run(parts.coordination)),
                group.create_task(self._keep_link(stop)),
                group.create_task(self._follow_relays()),
            ]
            await parts.sessions.running.wait()
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(control.served(home.control_socket, desk.answer))
                    ready = Ready(parts.membership.me, None, None)
                    if self.options.gateway:
                        address = await stack.enter_async_context(gateway.served(home, parts.requester.run))
                        desk.gateway = address.url
                        ready = ready._replace(gateway=address.url, key=address.key)
                    tasks.append(group.create_task(self._get_ready(lambda: on_ready(ready))))
                    await stop.wait()
            finally:
                await parts.requester.stop()
                for task in tasks:
                    task.cancel()
        if parts.coordination.removed is not None:
            raise DeviceRemoved(code=parts.coordination.removed)

    def hello(self) -> link.Hello:
        """What this device tells the coordinator after every Welcome."""
        relay = self._relays()
        return link.Hello(
            software=__version__,
            installation=self.installation,
            capability=self.parts.myself.capability(),
            epoch=self.parts.membership.epoch,
            relay=relay[0] if relay else None,
            addresses=tuple(self.transport.addresses()),
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
        if not self.parts.membership.certified:
            await self.parts.coordination.welcomed.wait()
        ready()

    def _relays(self) -> tuple[str, ...]:
        state = self.parts.membership.state
        return () if state is None else tuple(relay.url for relay in state.relays)

    async def _follow_relays(self) -> None:
        """Use the relays that the newest State names."""
        changed = self.parts.membership.changed
        while True:
            changed.clear()
            relays = self._relays()
            if relays != self._relays_used:
                self._relays_used = relays
                await use_relays(self.transport, relays)
                with suppress(LinkDown):
                    await self.parts.coordination.say_hello()
            await changed.wait()


def _the_reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that people can act on, where the group holds nothing but such; else the whole group: a bug."""
    reasons, rest = group.split(MeshError)
    if rest is not None or reasons is None:
        return group
    leaf: BaseException = reasons
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


async def open_iroh(me: Identity, admits: Callable[[DeviceKey], bool], options: Options) -> Transport:
    """The real transport: iroh, with this device's own calls kept in process."""
    from mesh.transport.iroh import IrohTransport
    from mesh.transport.iroh import Options as IrohOptions
    from mesh.transport.local import LocalTransport

    return LocalTransport(await IrohTransport.open(me.seed, IrohOptions(direct=options.direct), admits))


async def use_relays(transport: Transport, urls: tuple[str, ...]) -> None:
    """Tell the transport which relays to use, where it uses any."""
    from mesh.transport.iroh import IrohTransport
    from mesh.transport.local import LocalTransport

    inner = transport.inner if isinstance(transport, LocalTransport) else transport
    if isinstance(inner, IrohTransport):
        await inner.use_relays(urls)
