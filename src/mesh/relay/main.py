"""The relay as a program: one TaskGroup around the server, its clock and its list of admitted keys.

As a child (``python -m mesh.relay.main``) it reads one JSON line of ``RelayConfig`` from stdin, prints one JSON line
when it listens, takes ``Admissions`` messages as further lines, and ends when stdin closes.

Touches: sockets, files, clock, stdin, stdout, signals.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec

from mesh.errors import MeshError
from mesh.protocol import link
from mesh.protocol.link import Admissions
from mesh.relay.admitted import AdmissionSource, AdmittedKeys, Take, pairs
from mesh.relay.linked import CoordinatorLink
from mesh.relay.server import Relay
from mesh.transport.link import LinkTarget

KEEP_EVERY_S: Final = 60.0
"""How often the age of the list is looked at."""
_READ_BYTES = 64 * 1024


class BadConfig(MeshError):
    """The relay's configuration is not one. Start it through `mesh relay` or `mesh serve`."""

    code = "relay.config"
    kind = "invalid"


class RelayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a relay is told at its start. ``folder`` holds its state; ``port`` 0 picks a free one.

    ``public_url``: how devices reach it, where that is not ``http://host:port``.
    """

    folder: str
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    public_url: str | None = None


async def run(config: RelayConfig, source: AdmissionSource, ready: Callable[[str], None]) -> None:
    """Serve until ``source`` ends or this is cancelled. ``ready`` gets the relay's URL once it listens."""
    admitted = AdmittedKeys(Path(config.folder) / "admissions.json")
    relay = Relay()
    relay.admissions(pairs(await asyncio.to_thread(admitted.load)), full=True)

    async def take(news: Admissions) -> None:
        relay.admissions(pairs(news.admissions), full=news.full)  # whoever was removed is cut before anything is saved
        await asyncio.to_thread(admitted.take, news)

    try:
        port = await relay.start(config.host, config.port)
        url = config.public_url or _url(config.host, port)
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(relay.run()), group.create_task(_watch_age(relay, source, admitted))]
            ready(url)
            await source.run(url, take)
            for task in aside:
                task.cancel()
    finally:
        await relay.stop()


async def run_linked(config: RelayConfig, target: LinkTarget, seed: bytes, ready: Callable[[str], None]) -> None:
    """Serve as a relay that has joined: admissions come over its own link. Returns when it was removed."""
    await run(config, CoordinatorLink(target, seed), ready)


async def _watch_age(relay: Relay, source: AdmissionSource, admitted: AdmittedKeys) -> None:
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        if source.connected:
            await asyncio.to_thread(admitted.still_heard)
        elif admitted.expired:
            relay.admissions([], full=True)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ParentProcess:
    """Admissions as lines on stdin: the process that started this relay is its coordinator."""

    def __init__(self, lines: "asyncio.Queue[bytes | None]") -> None:
        self._lines = lines
        self._ended = False

    @property
    def connected(self) -> bool:
        """Until stdin closes."""
        return not self._ended

    async def run(self, url: str, take: Take) -> None:
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


def _announce(url: str) -> None:
    sys.stdout.write(msgspec.json.encode({"event": "ready", "url": url}).decode() + "\n")
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
    await run(config, ParentProcess(lines), _announce)


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
