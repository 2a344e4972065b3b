"""How many MiB per second the relay forwards for one pair of clients.

Raw clients (frames of 13 KB: a batch of ten datagrams, as in a bulk transfer) and real devices over iroh that refuse
direct paths; each with the relay's byte rate per client, without it, and against the least relay that the `websockets`
library makes, as the peer. Relay and clients are processes of their own, on loopback. Must reach: 150 MiB/s for raw
clients, 100 over iroh, whose ends do most of the work; at most 2 CPU seconds of the relay per GiB.

Run: `python benchmarks/relay_throughput.py [--mib 512] [--raw-only]`

Touches: sockets, processes, clock.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import relay_clients as parts
from nacl.signing import SigningKey

from mesh.protocol import relayed
from mesh.units import GIB, MIB

SEGMENT = 1300
SEGMENTS = 10
WINDOW = 4 * MIB  # half of the relay's drop limit, so that nothing is dropped
CHUNK = 256 * 1024
LIMIT_S = 120
GOAL_MIB_PER_S = {"raw": 150, "iroh": 100}
GOAL_CPU_S_PER_GIB = 2.0


def seed(name: str) -> bytes:
    """A fixed key for each role: the figures do not depend on it."""
    return name.encode().ljust(32, b".")


def key_of(name: str) -> bytes:
    """The public key of a role."""
    return bytes(SigningKey(seed(name)).verify_key)


# --- roles, each in its own process -----------------------------------------------------------------------------------


async def raw_receive(url: str, size: int) -> None:
    """Take so many bytes and acknowledge them as they come."""
    client = await parts.RawClient(SigningKey(seed("receiver"))).connect(url)
    done = asyncio.Event()
    sender = key_of("sender")
    received = acknowledged = 0

    def on_frame(frame: memoryview) -> None:
        nonlocal received, acknowledged
        if frame[0] == relayed.PING:
            client.send(relayed.pong(frame[1:]))
        if frame[0] != relayed.BATCH:
            return
        received += len(frame) - 36
        if received - acknowledged >= WINDOW // 8 or received >= size:
            acknowledged = received
            client.send(relayed.send_datagrams(sender, received.to_bytes(8)))
        if received >= size:
            done.set()

    client.on_frame = on_frame
    print(json.dumps({"ready": True}), flush=True)
    async with asyncio.timeout(LIMIT_S):
        await done.wait()
        await asyncio.sleep(0.2)  # the last acknowledgment leaves
    print(json.dumps({"received": received}), flush=True)


async def raw_send(url: str, size: int) -> None:
    """Send so many bytes within the window; print how long it took."""
    client = await parts.RawClient(SigningKey(seed("sender"))).connect(url)
    acknowledged = 0
    news = asyncio.Event()

    def on_frame(frame: memoryview) -> None:
        nonlocal acknowledged
        if frame[0] == relayed.DATAGRAM:
            acknowledged = int.from_bytes(frame[34:42])
            news.set()

    client.on_frame = on_frame
    message = relayed.send_datagrams(key_of("receiver"), os.urandom(SEGMENT * SEGMENTS), segment=SEGMENT)
    begin = time.perf_counter()
    sent = 0
    async with asyncio.timeout(LIMIT_S):
        while acknowledged < size:
            while sent - acknowledged < WINDOW and sent < size:
                client.send(message)
                sent += SEGMENT * SEGMENTS
                if sent % (SEGMENT * SEGMENTS * 16) == 0:
                    await asyncio.sleep(0)
            news.clear()
            await news.wait()
    print(json.dumps({"seconds": time.perf_counter() - begin, "sent": sent}), flush=True)


async def iroh_end(role: str, url: str, size: int) -> None:
    """Either end of a transfer over one stream between devices."""
    from mesh.transport.interface import Address
    from mesh.transport.iroh import IrohTransport, Options

    name = role.removeprefix("iroh-")
    transport = await IrohTransport.open(seed(name), Options([url], "127.0.0.1:0", direct=False))
    await transport.wait_relay(30)
    if role == "iroh-receiver":
        print(json.dumps({"ready": True}), flush=True)
        connection = await transport.accept()
        stream = await connection.accept_stream()
        received = 0
        while received < size:
            received += len(await stream.read(LIMIT_S))
        await stream.write(b"k", LIMIT_S)
        await stream.finish()
        await connection.wait_closed()
        print(json.dumps({"received": received, "path": connection.path().kind}), flush=True)
    else:
        connection = await transport.dial(Address(key_of("receiver").hex(), (), url), 30)
        stream = await connection.open_stream(LIMIT_S)
        chunk = os.urandom(CHUNK)
        begin = time.perf_counter()
        for _ in range(size // CHUNK):
            await stream.write(chunk, LIMIT_S)
        assert await stream.read(LIMIT_S) == b"k"
        took = time.perf_counter() - begin
        print(json.dumps({"seconds": took, "sent": size, "path": connection.path().kind}), flush=True)
        await connection.close()
    await transport.close()


# --- the parent -------------------------------------------------------------------------------------------------------


def client(role: str, url: str, size: int) -> subprocess.Popen[str]:
    """Start a client process."""
    command = [sys.executable, __file__, "--role", role, "--url", url, "--size", str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of a client process."""
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise SystemExit("a client process ended early")
    answer: dict[str, Any] = json.loads(text)
    return answer


def measure(kind: str, clients: str, size: int) -> dict[str, Any]:
    """One transfer through one relay."""
    relay = parts.RelayProcess(kind, {key_of(name).hex(): [1] for name in ("sender", "receiver")})
    processes = [client(f"{clients}-receiver", relay.url, size)]
    try:
        line(processes[0])
        before = relay.cpu_s()
        processes.append(client(f"{clients}-sender", relay.url, size))
        result = line(processes[1])
        cpu = relay.cpu_s() - before
        line(processes[0])
        return {
            "relay": kind,
            "clients": clients,
            "mib": round(size / MIB),
            "mib_per_s": round(size / MIB / result["seconds"], 1),
            "relay_cpu_s_per_gib": round(cpu / (size / GIB), 2),
            "relay_peak_rss_mib": round(relay.peak_rss() / MIB, 1),
            "path": result.get("path", "relayed"),
        }
    finally:
        relay.stop()
        for process in processes:
            process.kill()
            process.wait()


def run_role(role: str, url: str, size: int) -> None:
    """A client process."""
    ends = {"raw-receiver": raw_receive, "raw-sender": raw_send}
    asyncio.run(ends[role](url, size) if role in ends else iroh_end(role, url, size))


def main() -> None:
    """The parent, or one of its client processes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=512)
    arguments.add_argument("--raw-only", action="store_true")
    arguments.add_argument("--role")
    arguments.add_argument("--size", type=int)
    arguments.add_argument("--url")
    chosen = arguments.parse_args()
    if chosen.role:
        run_role(chosen.role, chosen.url, chosen.size)
        return
    print(json.dumps({"conditions": parts.conditions()}))
    results = {}
    for clients in ("raw",) if chosen.raw_only else ("raw", "iroh"):
        for kind in ("mesh", "unlimited", "plain"):
            results[clients, kind] = result = measure(kind, clients, chosen.mib * MIB)
            print(json.dumps(result), flush=True)
        ratio = results[clients, "unlimited"]["mib_per_s"] / results[clients, "plain"]["mib_per_s"]
        print(json.dumps({"clients": clients, "unlimited_to_plain": round(ratio, 2)}), flush=True)
    reached = {
        clients: result["mib_per_s"] >= GOAL_MIB_PER_S[clients] and result["relay_cpu_s_per_gib"] <= GOAL_CPU_S_PER_GIB
        for (clients, kind), result in results.items()
        if kind == "mesh"
    }
    goal = {"mib_per_s": GOAL_MIB_PER_S, "relay_cpu_s_per_gib": GOAL_CPU_S_PER_GIB}
    print(json.dumps({"goal": goal, "reached": reached}))


if __name__ == "__main__":
    main()
