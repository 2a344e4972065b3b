"""The coordinator as a program: one TaskGroup around its server, its relay and its upkeep.

Touches: files, the database, sockets, clock, randomness, signals, processes (the relay).
"""

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from mesh.coordinator import config as configuring
from mesh.coordinator import serving, tls
from mesh.coordinator.acts import claim, rotation
from mesh.coordinator.config import Config, Site
from mesh.coordinator.http.app import Application, api
from mesh.coordinator.http.desk import Desk
from mesh.coordinator.http.looking import Looking
from mesh.coordinator.keeping.rotating import Rotating
from mesh.coordinator.keeping.sealer import Sealer
from mesh.coordinator.keeping.upkeep import Upkeep
from mesh.coordinator.keys import Keys
from mesh.coordinator.links.conversation import Conversations
from mesh.coordinator.links.websocket import Links
from mesh.coordinator.parts import Parts
from mesh.coordinator.placing.reports import Reports
from mesh.coordinator.relay_child import RelayChild
from mesh.coordinator.settings import WaySettings
from mesh.coordinator.signing_in.mail import Mailer
from mesh.coordinator.signing_in.ways import Ways
from mesh.coordinator.snapshot import Snapshot
from mesh.coordinator.store import devices, networks, relays, sealing, successions
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.successions import History
from mesh.coordinator.telling.admissions import RelayAdmissions
from mesh.coordinator.telling.live import LiveLinks
from mesh.coordinator.telling.news import News
from mesh.coordinator.telling.relays import Relays
from mesh.coordinator.telling.watch import Watch
from mesh.ids import NetworkId
from mesh.protocol.links import secret_hash
from mesh.protocol.papers import RelayInfo

READY_S = 20.0
"""The relay has 15 s to start; without it the coordinator says so and goes on."""
STARTED_S = 10.0
"""A bound socket needs milliseconds to listen."""
STOPPED_S = 5.0
"""Open requests have 1 s; closing sockets is quick."""

log = structlog.get_logger()


class Ready(NamedTuple):
    """What the world needs to know: where it listens, the claim link while nobody owns it, the relay's URL, the pin."""

    url: str
    claim: str | None
    relay: str | None
    tls_sha256: str | None


class Coordinator:
    """A coordinator made of its parts, not yet serving. Tests serve its ``app`` themselves."""

    def __init__(self, parts: Parts, ways: WaySettings | None = None) -> None:
        """Raises BadConfig where the ways to sign in cannot work."""
        self.parts = parts
        self.live = LiveLinks()
        self.watch = Watch(parts)
        self.live.changed = self.watch.touch
        self.admissions = RelayAdmissions(parts.snapshot)
        self.news = News(parts, self.live, self.admissions)
        self.relays = Relays(parts, self.news)
        self.rotating = Rotating(parts, self.news)
        ways = ways or WaySettings()
        self.mailer = Mailer(ways.mail, parts)
        self.desk = Desk(
            parts,
            self.live,
            self.news,
            self.relays,
            self.rotating,
            self.watch,
            Ways(ways, parts.site.url, parts.now_ms),
            self.mailer,
        )
        self.sealer = Sealer(parts)
        self.upkeep = Upkeep(parts, self.news, Reports(parts, self.live))
        conversations = Conversations(parts, self.live, self.news, self.relays, self.admissions, self.rotating)
        self.app = Application(api(self.desk), Links(parts, self.live, conversations), Looking(parts, self.watch))

    async def start(self, relay: RelayInfo | None = None) -> str | None:
        """Fill the snapshot from the store; returns the claim link, None once the installation is claimed.

        ``relay``: where the relay beside us was in the last run.
        """
        parts = self.parts
        installed = await parts.database.read(rotation.installed_key)
        if installed is not None:
            await asyncio.to_thread(parts.keys.settle_own, installed)
        claimed = await parts.database.write(claim.start, parts.keys.public, parts.moment())
        rows = await parts.database.read(_everything, parts.now_ms())
        for network in rows.networks:
            await asyncio.to_thread(parts.keys.settle, network.id, network.key)
        parts.snapshot.histories.update(rows.histories)
        parts.snapshot.heads.update(rows.heads)
        parts.snapshot.load(rows.networks, rows.memberships, rows.devices)
        for device, issued in rows.certificates:
            parts.snapshot.put_device(device, issued)
        self.relays.load(relay, rows.relays)
        if claimed:
            return None
        link = parts.new_link()
        await parts.database.write(claim.offer_claim, secret_hash(link.secret), parts.moment())
        return link.text()


class _Rows(NamedTuple):
    networks: list[networks.Network]
    memberships: list[networks.Membership]
    devices: list[devices.Device]
    certificates: list[tuple[devices.Device, devices.Issued]]
    relays: list[relays.Relay]
    histories: dict[str, History]
    heads: dict[NetworkId, str]


def _everything(store: Store, now_ms: int) -> _Rows:
    live = successions.live_devices(store, now_ms=now_ms)
    issued = [(device, devices.certificate(store, device.id)) for device in live]
    return _Rows(
        networks.every(store),
        networks.everybody(store),
        live,
        [(device, certificate) for device, certificate in issued if certificate is not None],
        relays.live(store),
        rotation.histories(store),
        sealing.heads(store),
    )


def wall_ms() -> int:
    """The coordinator's clock."""
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def opened(config: Config, site: Site, keys: Keys) -> AsyncIterator[Coordinator]:
    """A coordinator on its database, closed at the end."""
    database = await asyncio.to_thread(open_database, database_place(config))
    try:
        parts = Parts(database, keys, site, Snapshot(wall_ms()), wall_ms, secrets.token_bytes)
        yield Coordinator(parts, config.ways)
    finally:
        await asyncio.shield(asyncio.to_thread(database.close))


def database_place(config: Config) -> Path | str:
    """The file of the database, or the address of a PostgreSQL one."""
    if config.database is None:
        return config.data / "coordinator.db"
    if config.database.startswith("sqlite:"):
        return Path(config.database.removeprefix("sqlite:").removeprefix("//"))
    return config.database


async def serve(config: Config, ready: Callable[[Ready], None]) -> None:
    """Serve until cancelled. ``ready`` hears when devices may come."""
    with_tls = configuring.speaks_tls(config)
    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = await asyncio.to_thread(Keys, config.data / "keys")
    identity = await asyncio.to_thread(tls.identity, config.data / "keys") if with_tls else None
    listening = serving.bind(config.host, config.port)
    try:
        site = configuring.site(config, listening.getsockname()[1], identity.sha256 if identity else None)
        async with opened(config, site, keys) as coordinator:
            child = RelayChild(configuring.relay_place(config), coordinator.admissions)
            claim_link = await coordinator.start(child.last() if config.relay else None)
            server = serving.server(coordinator.app, tls.server_context(identity.path) if identity else None)
            async with asyncio.TaskGroup() as group:
                aside = [
                    group.create_task(coordinator.upkeep.run()),
                    group.create_task(coordinator.sealer.run()),
                    group.create_task(coordinator.watch.run()),
                    group.create_task(coordinator.mailer.run()),
                ]
                # The relay first: a device that comes is told where it is.
                relay = await _start_relay(coordinator, child, group, aside) if config.relay else None
                serving_task = group.create_task(server.serve(sockets=[listening]))
                try:
                    async with asyncio.timeout(STARTED_S):
                        await server.listening.wait()
                    ready(Ready(site.url, claim_link, relay, site.tls_sha256))
                    await asyncio.shield(serving_task)
                finally:
                    server.should_exit = True
                    for task in aside:
                        task.cancel()
                    async with asyncio.timeout(STOPPED_S):
                        await asyncio.shield(serving_task)
    finally:
        listening.close()


async def _start_relay(
    coordinator: Coordinator, child: RelayChild, group: asyncio.TaskGroup, aside: list[asyncio.Task[None]]
) -> str | None:
    """Start the relay child and wait for it a while; it may also come later."""
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def relay_ready(info: RelayInfo) -> None:
        await coordinator.relays.beside_ready(info)
        if not heard.done():
            heard.set_result(info.url)

    aside.append(group.create_task(child.run(relay_ready)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            return await heard
    log.warning("relay.late")
    return None


def run(config: Config, ready: Callable[[Ready], None]) -> None:
    """Serve in this process until SIGTERM or Ctrl-C."""
    asyncio.run(_until_signal(config, ready))


async def _until_signal(config: Config, ready: Callable[[Ready], None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    with _stopping(task), contextlib.suppress(asyncio.CancelledError):
        await serve(config, ready)


@contextlib.contextmanager
def _stopping(task: "asyncio.Task[None]") -> Iterator[None]:
    """SIGTERM and SIGINT cancel the task; where loops have no signal handlers, Ctrl-C does by itself."""
    loop, caught = asyncio.get_running_loop(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, task.cancel)
            caught.append(number)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
