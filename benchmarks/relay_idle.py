"""What idle devices cost a relay: memory per connection, memory and CPU per device that the observer keeps.

500 raw clients connect to the relay and stay silent; then 50 real devices (iroh endpoints) connect to its observer and
ask once, as agents do. Memory is the relay process's private pages beyond those of the empty relay, after a settled
second. Must reach: 40 KiB per idle client. The relay is its own process, on loopback.

Run: `python benchmarks/relay_idle.py [--clients 500] [--devices 50]`

Touches: sockets, processes, files (a temporary folder), clock.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from typing import Any

import psutil
import relay_clients as parts
from nacl.signing import SigningKey

from mesh.agent.reach import ask
from mesh.ids import DeviceKey
from mesh.protocol import link
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.papers import RelayInfo
from mesh.transport.interface import Address
from mesh.transport.iroh import IrohTransport, Options

SETTLED_S = 1.0
WATCHED_S = 10.0
CLIENT_BYTES_MAX = 40 * 1024


def signing_key(number: int) -> SigningKey:
    """A fixed key for each client."""
    return SigningKey(str(number).encode().ljust(32, b"."))


class RelayProgram:
    """The relay with its observer, as the coordinator starts it."""

    def __init__(self, folder: str, keys: list[str]) -> None:
        command = [sys.executable, "-m", "mesh.relay.main"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        admitted = Admissions(tuple(Admission(DeviceKey(key), (1,)) for key in keys), full=True)
        self.process.stdin.write(json.dumps({"folder": folder}) + "\n" + link.encode(admitted).decode() + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        self.info = RelayInfo(said["url"], said["key"], said["observer"])
        self.seen = psutil.Process(self.process.pid)

    def memory(self) -> int:
        """Private bytes of the process."""
        return int(self.seen.memory_full_info().uss)

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        times = self.seen.cpu_times()
        return times.user + times.system


async def clients_cost(relay: RelayProgram, count: int) -> tuple[dict[str, Any], list[parts.RawClient]]:
    """Connect raw clients; the second result keeps them alive."""
    first = await parts.RawClient(signing_key(0)).connect(relay.info.url)  # what is loaded at the first one
    await asyncio.sleep(SETTLED_S)
    before, cpu = relay.memory(), relay.cpu_s()
    clients = [first]
    for number in range(1, count + 1):
        clients.append(await parts.RawClient(signing_key(number)).connect(relay.info.url))
    connected_cpu = relay.cpu_s() - cpu
    await asyncio.sleep(SETTLED_S)
    each = (relay.memory() - before) / count
    return {
        "idle_clients": count,
        "kib_each": round(each / 1024, 1),
        "handshake_ms_cpu": round(connected_cpu / count * 1000, 2),
        "reached": each <= CLIENT_BYTES_MAX,
    }, clients


async def devices_cost(relay: RelayProgram, count: int) -> dict[str, Any]:
    """Connect devices to the observer, ask, and stay connected."""
    assert relay.info.key is not None and relay.info.observer is not None
    address = Address(relay.info.key, (relay.info.observer,))
    before = relay.memory()
    transports = []
    try:
        for number in range(count):
            transport = await IrohTransport.open(bytes(signing_key(number)), Options(bind="127.0.0.1:0"))
            transports.append(transport)
            await ask(await transport.dial(address, 10.0), relay.info)
        await asyncio.sleep(SETTLED_S)
        each = (relay.memory() - before) / count
        cpu = relay.cpu_s()
        await asyncio.sleep(WATCHED_S)
        return {
            "observed_devices": count,
            "kib_each": round(each / 1024, 1),
            "cpu_ms_per_device_and_minute": round((relay.cpu_s() - cpu) / WATCHED_S / count * 60_000, 1),
        }
    finally:
        for transport in transports:
            await transport.close()


async def measure(clients: int, devices: int) -> list[dict[str, Any]]:
    """Both, against one relay each."""
    keys = [bytes(signing_key(number).verify_key).hex() for number in range(max(clients + 1, devices))]
    results = []
    for what in ("clients", "devices"):
        with tempfile.TemporaryDirectory() as folder:
            relay = RelayProgram(folder, keys)
            try:
                if what == "clients":
                    result, kept = await clients_cost(relay, clients)
                    for client in kept:
                        client.transport.disconnect()
                else:
                    result = await devices_cost(relay, devices)
                results.append(result)
            finally:
                relay.process.kill()
                relay.process.wait()
    return results


def main() -> None:
    """Print conditions and results as JSON lines."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clients", type=int, default=500)
    arguments.add_argument("--devices", type=int, default=50)
    chosen = arguments.parse_args()
    print(json.dumps({"conditions": parts.conditions()}))
    for result in asyncio.run(measure(chosen.clients, chosen.devices)):
        print(json.dumps(result))


if __name__ == "__main__":
    main()
