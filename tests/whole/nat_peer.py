"""One end of an exchange between two machines behind NAT: a program of its own, since each runs in its own namespace.

Argv: seed (hex), relay (JSON of RelayInfo), and for the asking end the other's key. It says JSON lines: ``observed``
first; after a line on stdin the asking end dials, exchanges, and says what went which way.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress

import msgspec
import structlog

from mesh.agent.peers.reach import Reach
from mesh.ids import DeviceKey
from mesh.protocol.papers import RelayInfo
from mesh.transport.interface import Address, Connection, Stream, TransportError
from mesh.transport.iroh import IrohTransport
from mesh.units import MIB

EACH_BYTES = 1 * MIB
REQUESTS = 32
"""Each is 1 MiB there and 1 MiB back: 64 MiB in all."""
WAIT_S = 20.0


class Known:
    """What Reach wants to know of a membership: the relays."""

    def __init__(self, relay: RelayInfo) -> None:
        self.relays = (relay,)
        self.state = self
        self.changed = asyncio.Event()


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def ask(connection: Connection, size: int) -> float:
    """Send and get back so many bytes; returns the seconds that took."""
    started = time.monotonic()
    stream = await connection.open_stream(WAIT_S)
    async with asyncio.TaskGroup() as group:
        group.create_task(stream.write(bytes(size), WAIT_S))
        left = size
        while left:
            left -= len(await stream.read(WAIT_S))
    await stream.finish()
    return time.monotonic() - started


async def exchange(transport: IrohTransport, peer: DeviceKey, relay: str, direct_within_s: float) -> None:
    started = time.monotonic()
    connection = await transport.dial(Address(peer, (), relay), WAIT_S)
    connected_s = time.monotonic() - started
    direct_s = None
    slowest = 0.0
    while direct_s is None and time.monotonic() - started < direct_within_s:
        slowest = max(slowest, await ask(connection, 1000))  # requests go on while the path changes
        if connection.path().kind == "direct":
            direct_s = time.monotonic() - started
    began = time.monotonic()
    for _ in range(REQUESTS):
        slowest = max(slowest, await ask(connection, EACH_BYTES))
    path = connection.path()
    say(
        connected_s=connected_s,
        direct_s=direct_s,
        took_s=time.monotonic() - began,
        slowest_s=slowest,
        kind=path.kind,
        address=path.address,
        direct_bytes=path.direct_bytes,
        relayed_bytes=path.relayed_bytes,
    )
    await connection.close()


async def main(seed: str, relay: RelayInfo, peer: str | None) -> None:
    transport = await IrohTransport.open(bytes.fromhex(seed))
    reach = Reach(transport, Known(relay), observe=True)  # type: ignore[arg-type]
    heard = asyncio.Event()

    async def changed() -> None:
        if reach.observed:
            heard.set()

    reach.on_change = changed
    async with asyncio.TaskGroup() as group:
        running = group.create_task(reach.run())
        async with asyncio.timeout(WAIT_S):
            await heard.wait()
            await transport.wait_relay(WAIT_S)
        say(observed=reach.observed, listening=list(transport.addresses()))
        told = asyncio.to_thread(sys.stdin.readline)
        if peer is None:
            answering = group.create_task(answer(transport))
            await told
            answering.cancel()
        else:
            direct_within_s = float(await told)
            await exchange(transport, DeviceKey(peer), relay.url, direct_within_s)
        running.cancel()
    await transport.close()


async def answer(transport: IrohTransport) -> None:
    """Give back what comes, on every stream of every connection."""
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(take_streams(await transport.accept(), group))


async def take_streams(connection: Connection, group: asyncio.TaskGroup) -> None:
    with suppress(TransportError):
        while True:
            group.create_task(echo(await connection.accept_stream()))


async def echo(stream: Stream) -> None:
    with suppress(TransportError):
        while piece := await stream.read():
            await stream.write(piece, WAIT_S)
        await stream.finish()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    info = msgspec.json.decode(arguments[1], type=RelayInfo)
    asyncio.run(main(arguments[0], info, arguments[2] if len(arguments) > 2 else None))
