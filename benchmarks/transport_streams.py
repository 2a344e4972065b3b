"""What a stream between two devices costs next to plain TCP: bytes per second, and round trips of 1 KiB.

One persistent stream from process to process over loopback, direct. iroh as Mesh uses it, iroh as its package comes
(writes copied byte by byte; a smaller transfer, or it would take minutes), and asyncio's TCP streams as the peer, all
in the same run: on a shared machine only the ratios mean something. TCP seals nothing; QUIC encrypts every packet.

Run: `python benchmarks/transport_streams.py [--mib 256] [--trips 2000]`

Touches: sockets, processes, clock.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import Any, Protocol

import iroh

from mesh.transport import iroh_patch
from mesh.transport.interface import Address
from mesh.transport.iroh import IrohTransport, Options
from mesh.units import KIB, MIB

CHUNK = 256 * KIB
TRIP = KIB
UNPATCHED_MIB = 8
LIMIT_S = 120.0
SEEDS = {"server": b"s" * 32, "client": b"c" * 32}


class Ends(Protocol):
    """What both kinds of stream can do."""

    async def read(self) -> bytes:
        """Some of what has arrived."""

    async def write(self, content: bytes, timeout_s: float) -> None:
        """Hand over all of ``content``."""

    async def finish(self) -> None:
        """Say that nothing more comes."""


class Tcp:
    """asyncio's TCP streams in the same form."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Some of what has arrived."""
        return await self._reader.read(CHUNK)

    async def write(self, content: bytes, timeout_s: float) -> None:
        """Hand over all of ``content``."""
        async with asyncio.timeout(timeout_s):
            self._writer.write(content)
            await self._writer.drain()

    async def finish(self) -> None:
        """End this direction."""
        self._writer.write_eof()


async def read_exactly(stream: Ends, size: int) -> None:
    """Take exactly so many bytes."""
    while size > 0:
        size -= len(await stream.read())


# --- the server, in its own process -----------------------------------------------------------------------------------


async def answer(stream: Ends) -> None:
    """Eight bytes say how much is to come at once; then everything is echoed."""
    head = await stream.read()
    await stream.write(b"k", LIMIT_S)
    await read_exactly(stream, int.from_bytes(head))
    await stream.write(b"k", LIMIT_S)
    while content := await stream.read():
        await stream.write(content, LIMIT_S)
    await stream.finish()


async def serve(kind: str) -> None:
    """Say where on stdout, answer one stream, end."""
    if kind == "tcp":
        done = asyncio.Event()

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(Tcp(reader, writer))
            writer.close()
            done.set()

        server = await asyncio.start_server(met, "127.0.0.1", 0)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await done.wait()
        return
    transport = await IrohTransport.open(SEEDS["server"], Options(bind="127.0.0.1:0"))
    print(json.dumps({"key": transport.key, "addresses": transport.addresses()}), flush=True)
    connection = await transport.accept()
    await answer(await connection.accept_stream())
    await connection.wait_closed()
    await transport.close()


# --- the client -------------------------------------------------------------------------------------------------------


async def use(stream: Ends, size: int, trips: int) -> dict[str, Any]:
    """Send ``size`` bytes, then make the round trips."""
    await stream.write(size.to_bytes(8), LIMIT_S)
    await stream.read()
    chunk = os.urandom(CHUNK)
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(size // CHUNK):
        await stream.write(chunk, LIMIT_S)
    await stream.read()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    took_us = []
    for _ in range(trips):
        began = time.perf_counter()
        await stream.write(chunk[:TRIP], LIMIT_S)
        await read_exactly(stream, TRIP)
        took_us.append((time.perf_counter() - began) * 1e6)
    quantiles = statistics.quantiles(took_us, n=100)
    return {
        "mib": size // MIB,
        "mib_per_s": round(size / MIB / took, 1),
        "sender_cpu_s_per_gib": round(cpu * 1024 * MIB / size, 2),
        "rtt_p50_us": round(quantiles[49]),
        "rtt_p99_us": round(quantiles[98]),
    }


async def measure(kind: str, size: int, trips: int) -> dict[str, Any]:
    """Start a server of this kind and use it once."""
    role = "tcp" if kind == "tcp" else "iroh"
    server = await asyncio.create_subprocess_exec(sys.executable, __file__, "--serve", role, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        where = json.loads(await server.stdout.readline())
        if kind == "tcp":
            reader, writer = await asyncio.open_connection("127.0.0.1", where["port"])
            result = await use(Tcp(reader, writer), size, trips)
            writer.close()
        else:
            transport = await IrohTransport.open(SEEDS["client"], Options(bind="127.0.0.1:0"))
            if kind == "iroh unpatched":
                converter = iroh.iroh_ffi._UniffiFfiConverterBytes
                setattr(converter, "lower", getattr(converter, iroh_patch.ORIGINAL))  # noqa: B010
            connection = await transport.dial(Address(where["key"], where["addresses"]), LIMIT_S)
            stream = await connection.open_stream(LIMIT_S)
            result = await use(stream, size, trips)
            await stream.finish()
            await stream.read()
            await connection.close()
            await transport.close()
        async with asyncio.timeout(LIMIT_S):
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
    return {"stream": kind, **result}


def main() -> None:
    """Print a JSON line for each kind of stream, then the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=256)
    arguments.add_argument("--trips", type=int, default=2000)
    arguments.add_argument("--serve")
    chosen = arguments.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve))
        return
    print(
        json.dumps(
            {
                "cores": os.cpu_count(),
                "load_average": [round(load, 2) for load in os.getloadavg()],
                "system": f"{platform.system()} {platform.release()} {platform.machine()}",
                "python": platform.python_version(),
                "iroh": iroh_patch.BINDING_VERSION,
            }
        )
    )
    results = {}
    for kind in ("tcp", "iroh", "iroh unpatched"):  # the last one breaks the patch for good
        size = min(chosen.mib, UNPATCHED_MIB if kind == "iroh unpatched" else chosen.mib) * MIB
        results[kind] = asyncio.run(measure(kind, size, chosen.trips))
        print(json.dumps(results[kind]), flush=True)
    ours = results["iroh"]
    print(
        json.dumps(
            {
                "patched_to_unpatched": round(ours["mib_per_s"] / results["iroh unpatched"]["mib_per_s"], 1),
                "iroh_to_tcp_mib_per_s": round(ours["mib_per_s"] / results["tcp"]["mib_per_s"], 2),
                "iroh_to_tcp_rtt_p50": round(ours["rtt_p50_us"] / results["tcp"]["rtt_p50_us"], 1),
                "iroh_to_tcp_rtt_p99": round(ours["rtt_p99_us"] / results["tcp"]["rtt_p99_us"], 1),
            }
        )
    )


if __name__ == "__main__":
    main()
