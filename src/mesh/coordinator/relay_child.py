"""The relay beside the coordinator: a child process, told whom to admit over its stdin, started again if it dies.

Touches: processes, files, clock.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from mesh.coordinator.config import RelayPlace
from mesh.coordinator.telling.admissions import RelayAdmissions
from mesh.errors import MeshError
from mesh.protocol import link
from mesh.protocol.link import Admissions
from mesh.protocol.papers import RelayInfo

START_S = 15.0
"""A Python process that imports little, on a slow and busy machine."""
STOP_S = 2.0
"""It has nothing to save; after this it is killed."""
AGAIN_S = 0.25
SAME_PORT_TRIES = 3
"""A relay that was left behind by a killed coordinator frees its port within a second; then another port is taken."""
AGAIN_S_MAX = 30.0
LINE_BYTES_MAX = 64 * 1024

log = structlog.get_logger()


class RelayFailed(MeshError):
    """The relay beside the coordinator does not start. Look at the log above, and whether another program has its
    port.
    """

    code = "coordinator.relay_failed"
    kind = "unavailable"


Ready = Callable[[RelayInfo], Awaitable[None]]


class RelayChild:
    """Keeps one relay process running for as long as ``run`` runs."""

    def __init__(self, place: RelayPlace, admissions: RelayAdmissions) -> None:
        self._place = place
        self._admissions = admissions
        self._failures = 0
        self._refusals = 0

    async def run(self, ready: Ready) -> None:
        """Start, feed and restart the relay; ``ready`` hears where it is at each start. Ends only by cancellation."""
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._once(ready)
            except RelayFailed as error:
                log.warning("relay.failed", **error.facts)
            if asyncio.get_running_loop().time() - started > AGAIN_S_MAX:
                self._failures = 0
            await asyncio.sleep(min(AGAIN_S_MAX, AGAIN_S * 2**self._failures))
            self._failures = min(self._failures + 1, 10)

    async def _once(self, ready: Ready) -> None:
        """One process from start to end; it never outlives this call."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mesh.relay.main",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C goes to the coordinator, which ends its child in order
        )
        try:
            await self._feed(process, ready)
        finally:
            await _to_its_end(_stop(process))

    async def _feed(self, process: asyncio.subprocess.Process, ready: Ready) -> None:
        """Configure the relay, hear that it listens, then tell it of every change. Always raises RelayFailed."""
        assert process.stdin is not None and process.stdout is not None
        self._refusals += 1  # until it listens
        process.stdin.write(self._config())
        info = self._reached(await _listening(process.stdout))
        self._refusals = 0
        log.info("relay.ready", url=info.url, observer=info.observer)
        await asyncio.to_thread(self._keep, info)
        waiting: list[bytes] = []
        told = asyncio.Event()

        def tell(news: Admissions) -> None:
            waiting.append(link.encode(news) + b"\n")
            told.set()

        self._admissions.join(tell)
        try:
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(_pour(process.stdin, waiting, told))
                await ready(info)
                await process.stdout.read()  # it says no more; this ends with the process
                feeding.cancel()
        except* (OSError, MeshError) as failed:
            raise RelayFailed(reason=type(failed.exceptions[0]).__name__) from failed
        finally:
            self._admissions.leave(tell)
        raise RelayFailed(code=await process.wait())

    def last(self) -> RelayInfo | None:
        """Where the relay was reached in the last run; devices still know it."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=RelayInfo)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _config(self) -> bytes:
        place, port, last = self._place, self._place.port, self.last()
        if port == 0 and last is not None and self._refusals <= SAME_PORT_TRIES:
            port = urlsplit(last.url).port or 0  # devices that know the URL find the relay again
        return msgspec.json.encode({"folder": str(place.folder), "host": place.host, "port": port}) + b"\n"

    def _reached(self, listening: RelayInfo) -> RelayInfo:
        """Where devices reach the relay and its observer, from where it says that they listen."""
        host = self._place.reached_at
        host = f"[{host}]" if ":" in host else host
        observer = None if listening.observer is None else f"{host}:{listening.observer.rpartition(':')[2]}"
        return RelayInfo(f"http://{host}:{urlsplit(listening.url).port}", listening.key, observer)

    @property
    def _file(self) -> Path:
        return self._place.folder / "reached.json"

    def _keep(self, info: RelayInfo) -> None:
        self._place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.write_bytes(msgspec.json.encode(info))


async def _listening(stdout: asyncio.StreamReader) -> RelayInfo:
    """What the child says in its first line. Raises RelayFailed."""
    try:
        async with asyncio.timeout(START_S):
            line = await stdout.readline()
        said = msgspec.json.decode(line)
        if said.get("event") != "ready":
            raise RelayFailed(said=str(said.get("error", {}).get("code", ""))[:64])
        return msgspec.convert(said, RelayInfo)
    except (TimeoutError, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, AttributeError) as error:
        raise RelayFailed(reason=type(error).__name__) from error


async def _pour(stdin: asyncio.StreamWriter, waiting: list[bytes], told: asyncio.Event) -> None:
    """Write lines as they come; a relay that reads slowly holds nobody up."""
    while True:
        told.clear()
        while waiting:
            stdin.write(waiting.pop(0))
            await stdin.drain()
        await told.wait()


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Finish something bounded however often we are cancelled meanwhile: no process may be left behind."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    await process.wait()
