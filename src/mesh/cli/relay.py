"""`mesh relay`: another relay for an installation, on a machine of its own.

Touches: files of its folder, sockets, signals, all through the relay.
"""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mesh.cli import here
from mesh.cli.output import Json, Out
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey

if TYPE_CHECKING:
    from mesh.protocol.papers import RelayInfo
    from mesh.relay.main import RelayConfig
    from mesh.transport.link import LinkTarget


GB = 10**9
"""As hosts count traffic."""


class RelayNotJoined(MeshError):
    """This relay belongs to no installation yet. Its operator makes a link: `mesh invite relay`; then --join LINK."""

    code = "relay.not_joined"
    kind = "unauthenticated"


class RelayRecord(msgspec.Struct, frozen=True):
    """Which relay of which coordinator this folder is."""

    id: DeviceId
    url: str
    coordinator: DeviceKey
    tls_sha256: str | None


def add_to(app: typer.Typer) -> None:
    """Put the command at the top level of ``mesh``."""
    app.command()(relay)


def relay(
    join: Annotated[
        str | None, typer.Option("--join", help="The link from `mesh invite relay`; - reads stdin.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the relay is called.")] = "relay",
    data: Annotated[Path | None, typer.Option("--data", help="Where its key and state live.")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on (TCP, and UDP for the observer).")
    ] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8401,
    public_url: Annotated[str | None, typer.Option("--public-url", help="How devices reach it.")] = None,
    month_gb: Annotated[
        int | None, typer.Option("--month-gb", min=1, help="Forward so much for one network in one month.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a relay in the foreground, until Ctrl-C. The first time it joins by a link."""
    from mesh.cli import logs
    from mesh.relay.main import RelayConfig, key_of
    from mesh.transport.link import LinkTarget

    logs.to_stderr()
    out, folder = Out(json), (data or here.home().path / "relay").absolute()
    seed = key_of(folder)
    record = _joined(folder, join, here.named(name), seed)
    target = LinkTarget(record.url, record.coordinator, record.tls_sha256, record.id)
    month = None if month_gb is None else month_gb * GB
    asyncio.run(_serve(RelayConfig(str(folder), host, port, public_url, month), target, seed, out))


async def _serve(config: "RelayConfig", target: "LinkTarget", seed: bytes, out: Out) -> None:
    from mesh.relay.main import run_linked

    def ready(info: "RelayInfo") -> None:
        out.result({"event": "ready", "relay": info.url, "id": target.device}, f"The relay listens at {info.url}.")

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt by itself
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await run_linked(config, target, seed, ready)


def _joined(folder: Path, join: str | None, name: str, seed: bytes) -> RelayRecord:
    """The record of this relay, joining first if it has none. Raises RelayNotJoined and what joining raises."""
    from mesh.sdk import joining
    from mesh.sdk.home import write_secret

    path = folder / "relay.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=RelayRecord)
    if join is None:
        raise RelayNotJoined
    link = here.link_from(join)
    joined = joining.join(link, name, seed)
    record = RelayRecord(joined.device, link.url, link.coordinator, link.tls_sha256)
    write_secret(path, msgspec.json.encode(record))
    return record
