"""The relay as a program: one TaskGroup around the server, its clock and its list of admitted keys.

As a child (``python -m mesh.relay.main``) it reads one JSON line of ``RelayConfig`` from stdin, prints one JSON line
when it listens, takes ``Admissions`` messages as further lines, and ends when stdin closes.

Touches: sockets, files, clock, randomness (its key, once), stdin, stdout, signals.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
import structlog

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol import link
from mesh.protocol.link import Admissions
from mesh.protocol.papers import RelayInfo
from mesh.protocol.signed import SEED_BYTES
from mesh.relay.admitted import AdmissionSource, AdmittedKeys, Take, pairs, replace
from mesh.relay.giving_back import trim
from mesh.relay.linked import CoordinatorLink
from mesh.relay.months import Months
from mesh.relay.observer import CannotObserve, Observer
from mesh.relay.server import Relay
from mesh.transport.link import LinkTarget

KEEP_EVERY_S: Final = 60.0
"""How often the age of the list is looked at, and free memory given back (0.2 ms)."""
log = structlog.get_logger()

COUNT_EVERY_S: Final = 2.0
"""How often networks are held against their month: one may exceed it by what two seconds carry."""
SAVE_EVERY: Final = 30
"""Looks per save: a killed relay forgets at most a minute's bytes."""
_READ_BYTES = 64 * 1024
_ROUTED: Final = ("192.0.2.1", 9)  # an address of documentation pages


class BadConfig(MeshError):
    """The relay's configuration is not one. Start it through `mesh relay` or `mesh serve`."""

    code = "relay.config"
    kind = "invalid"


class BadKeyFile(MeshError):
    """The relay's key file is damaged. Delete it: the relay makes a new key at its next start."""

    code = "relay.bad_key"


class RelayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a relay is told at its start. ``folder`` holds its state; ``port`` 0 picks a free one.

    ``public_url``: how devices reach it, where that is not ``http://host:port``. ``month_bytes_max``: what is forwarded
    for one network in one month (UTC); None: no limit.
    """

    folder: str
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    public_url: str | None = None
    month_bytes_max: Annotated[int, msgspec.Meta(ge=1)] | None = None


Ready = Callable[[RelayInfo], None]


async def run(config: RelayConfig, source: AdmissionSource, seed: bytes, ready: Ready) -> None:
    """Serve until ``source`` ends or this is cancelled. ``ready`` hears where the relay is once it listens.

    ``seed`` is the relay's own key, under which it observes addresses.
    """
    admitted = AdmittedKeys(Path(config.folder) / "admissions.json")
    relay = Relay()
    relay.admissions(pairs(await asyncio.to_thread(admitted.load)), full=True)

    months = Months(Path(config.folder) / "months.json", config.month_bytes_max)
    await asyncio.to_thread(months.load)

    async def take(news: Admissions) -> None:
        relay.admissions(pairs(news.admissions), full=news.full)  # whoever was removed is cut before anything is saved
        observer.recheck()
        saving = asyncio.ensure_future(asyncio.to_thread(admitted.take, news))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await saving  # what was acted on is kept, also when the relay is being stopped
            raise

    port = await relay.start(config.host, config.port)
    try:
        observer = await _observe(config, port, seed, relay, source)
        me = _info(config, port, observer)
        try:
            async with asyncio.TaskGroup() as group:
                aside = [
                    group.create_task(relay.run()),
                    group.create_task(observer.run()),
                    group.create_task(_watch_age(relay, source, admitted)),
                    group.create_task(_count(relay, months)),
                ]
                ready(me)
                await source.run(me, take)
                for task in aside:
                    task.cancel()
        finally:
            await observer.close()
    finally:
        await relay.stop()
        months.look(relay.pairing.counters.network_bytes)
        await asyncio.to_thread(months.save)


async def run_linked(config: RelayConfig, target: LinkTarget, seed: bytes, ready: Ready) -> None:
    """Serve as a relay that has joined: admissions come over its own link. Returns when it was removed."""
    await run(config, CoordinatorLink(target, seed), seed, ready)


async def _watch_age(relay: Relay, source: AdmissionSource, admitted: AdmittedKeys) -> None:
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        trim()
        if source.connected:
            await asyncio.to_thread(admitted.still_heard)
        elif admitted.expired:
            relay.admissions([], full=True)


async def _count(relay: Relay, months: Months) -> None:
    looked, told = 0, Counter[str]()
    while True:
        relay.pairing.spend(months.look(relay.pairing.counters.network_bytes))
        if looked % SAVE_EVERY == 0:
            await asyncio.to_thread(months.save)
            told = _tell_refusals(relay, told)
        looked += 1
        await asyncio.sleep(COUNT_EVERY_S)


def _tell_refusals(relay: Relay, told: Counter[str]) -> Counter[str]:
    """Log how many connections were refused or ended since the last time, by reason: a flood is a line, not a flood."""
    now = Counter(relay.pairing.counters.closed)
    if now != told:
        log.info("relay.refused", **(now - told))
    return now


async def _observe(config: RelayConfig, port: int, seed: bytes, relay: Relay, source: AdmissionSource) -> Observer:
    """Observe on the UDP port of the same number; where the port was left open, on another if that one is taken."""

    def admits(key: DeviceKey) -> bool:
        return relay.pairing.admits(bytes.fromhex(key))

    found = await asyncio.get_running_loop().getaddrinfo(config.host, port, type=socket.SOCK_DGRAM)
    host = f"[{found[0][4][0]}]" if found[0][0] == socket.AF_INET6 else str(found[0][4][0])
    try:
        return await Observer.open(seed, f"{host}:{port}", admits, source.now_ms)
    except CannotObserve:
        if config.port:
            raise
        return await Observer.open(seed, f"{host}:0", admits, source.now_ms)


def _info(config: RelayConfig, port: int, observer: Observer) -> RelayInfo:
    """Where the relay is. Its observer is at the same host: what a public URL names, else what it listens on."""
    host = _outward() if config.host in ("0.0.0.0", "::", "") else config.host  # noqa: S104 - compared, not bound
    url = config.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    named = urlsplit(url).hostname or host
    return RelayInfo(url, observer.key, f"[{named}]:{observer.port}" if ":" in named else f"{named}:{observer.port}")


def _outward() -> str:
    """The address of this machine towards the world; asking for a route sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_ROUTED)
        except OSError:
            return "127.0.0.1"  # no network at all
        return str(asking.getsockname()[0])


def key_of(folder: Path) -> bytes:
    """The relay's own key, made at the first start. Raises BadKeyFile."""
    path = folder / "relay.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        seed = bytes.fromhex(path.read_text("ascii"))
    except FileNotFoundError:
        seed = secrets.token_bytes(SEED_BYTES)
        replace(path, seed.hex().encode())
    except (ValueError, OSError) as error:
        raise BadKeyFile(path=str(path)) from error
    if len(seed) != SEED_BYTES:
        raise BadKeyFile(path=str(path))
    return seed


class ParentProcess:
    """Admissions as lines on stdin: the process that started this relay is its coordinator."""

    def __init__(self, lines: "asyncio.Queue[bytes | None]") -> None:
        self._lines = lines
        self._ended = False

    @property
    def connected(self) -> bool:
        """Until stdin closes."""
        return not self._ended

    def now_ms(self) -> int:
        """Parent and child have one clock."""
        return time.time_ns() // 1_000_000

    async def run(self, me: RelayInfo, take: Take) -> None:
        """Take what the parent says; other messages are ignored. Ends with stdin."""
        while (line := await self._lines.get()) is not None:
            message = link.decode_from_coordinator(line)
            if isinstance(message, Admissions):
                await take(message)
        self._ended = True


def _read_lines(loop: asyncio.AbstractEventLoop, lines: "asyncio.Queue[bytes | None]") -> None:
    """Runs in a thread: pipes have no portable asynchronous reading. Ends with stdin or with the process."""
    rest = b""
    # os.read and not sys.stdin: a thread that waits in a buffered reader cannot be left behind at exit.
    while chunk := os.read(0, _READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(lines.put_nowait, line)
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(lines.put_nowait, None)


def _announce(me: RelayInfo) -> None:
    said = {"event": "ready", "url": me.url, "key": me.key, "observer": me.observer}
    sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    sys.stdout.flush()


async def _serve_parent() -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its loop
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    threading.Thread(target=_read_lines, args=(loop, lines), daemon=True).start()
    first = await lines.get()
    try:
        config = msgspec.json.decode(first or b"", type=RelayConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadConfig from error
    seed = await asyncio.to_thread(key_of, Path(config.folder))
    await run(config, ParentProcess(lines), seed, _announce)


def main() -> None:
    """Entry of the child process."""
    try:
        asyncio.run(_serve_parent())
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(0)
    except MeshError as error:
        sys.stdout.write(msgspec.json.encode({"event": "failed", "error": error.wire()}).decode() + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
