"""What idle devices cost a relay: memory and CPU per device, its connection to the observer included.

500 real devices (iroh endpoints) connect to a relay and stay silent; each asks the observer, and again each minute, as
agents do.
Memory is the anonymous pages of the relay's process (its own, on loopback) beyond those of a relay that has served a
few and lost them again. Pages of files are left out: they are shared with every other process that uses the libraries.
Must reach: 40 KiB per idle device.

Run: `python benchmarks/relay_idle.py [--devices 500]`

Touches: sockets, processes, files (a temporary folder), clock.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import relay_clients as parts

from mesh.agent.peers.reach import ask
from mesh.ids import DeviceKey
from mesh.protocol import link
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.papers import RelayInfo
from mesh.protocol.signed import public_key
from mesh.transport.interface import Address
from mesh.transport.iroh import IrohTransport, Options

WARM = 20
"""Devices that come and go first: what is loaded and allocated once is not a device's cost."""
MINUTE_S = 60.0
"""How often agents ask the observer."""
SETTLED_S = 65.0
"""Longer than the relay takes to ping the silent, and to look at its free memory."""
DEVICE_BYTES_MAX = 40 * 1024
TOGETHER = 16
"""Devices that connect at a time."""


def seed_of(number: int) -> bytes:
    """A fixed key for each device."""
    return str(number).encode().ljust(32, b".")


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
        """Anonymous bytes of the process."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no smaps_rollup on this system")

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        times = self.seen.cpu_times()
        return times.user + times.system


class Devices:
    """Real devices at one relay and its observer."""

    def __init__(self, relay: RelayProgram) -> None:
        assert relay.info.key is not None and relay.info.observer is not None
        self._relay = relay
        self._observer = Address(relay.info.key, (relay.info.observer,))
        self._open: list[IrohTransport] = []

    async def connect(self, first: int, count: int) -> None:
        """Connect so many more, each with its own key; each asks once."""
        turn = asyncio.Semaphore(TOGETHER)

        async def one(number: int) -> None:
            async with turn:
                options = Options(bind="127.0.0.1:0", relays=(self._relay.info.url,))
                transport = await IrohTransport.open(seed_of(number), options)
                self._open.append(transport)
                await transport.wait_relay(10.0)
                await self._ask(transport)

        async with asyncio.TaskGroup() as group:
            for number in range(first, first + count):
                group.create_task(one(number))

    async def ask_for(self, seconds: float) -> None:
        """Each asks once a minute, evenly spread, for so long."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for turn in range(int(seconds / MINUTE_S * len(self._open))):
            await asyncio.sleep(max(0.0, begin + turn * MINUTE_S / len(self._open) - loop.time()))
            await self._ask(self._open[turn % len(self._open)])

    async def _ask(self, transport: IrohTransport) -> None:
        connection = await transport.dial(self._observer, 10.0)
        await ask(connection, self._relay.info)
        await connection.close()

    async def close(self) -> None:
        """All of them go."""
        await asyncio.gather(*(transport.close() for transport in self._open))
        self._open.clear()


async def measure(relay: RelayProgram, count: int) -> dict[str, Any]:
    """What each of ``count`` idle devices costs."""
    devices = Devices(relay)
    try:
        await devices.connect(0, WARM)
        await devices.close()
        await asyncio.sleep(SETTLED_S)
        before, cpu = relay.memory(), relay.cpu_s()
        await devices.connect(WARM, count)
        connected_cpu, burst = relay.cpu_s() - cpu, relay.memory() - before
        await devices.ask_for(SETTLED_S)
        each = (relay.memory() - before) / count
        cpu = relay.cpu_s()
        await devices.ask_for(MINUTE_S)
        return {
            "idle_devices": count,
            "kib_each": round(each / 1024, 1),
            "kib_each_while_all_connect": round(burst / count / 1024, 1),
            "connecting_ms_cpu": round(connected_cpu / count * 1000, 2),
            "cpu_ms_per_device_and_minute": round((relay.cpu_s() - cpu) / count * 1000, 1),
            "reached": each <= DEVICE_BYTES_MAX,
        }
    finally:
        await devices.close()


def main() -> None:
    """Print conditions and results as JSON lines."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--devices", type=int, default=500)
    chosen = arguments.parse_args()
    print(json.dumps({"conditions": parts.conditions()}))
    keys = [public_key(seed_of(number)) for number in range(WARM + chosen.devices)]
    with tempfile.TemporaryDirectory() as folder:
        relay = RelayProgram(folder, keys)
        try:
            print(json.dumps(asyncio.run(measure(relay, chosen.devices))))
        finally:
            relay.process.kill()
            relay.process.wait()


if __name__ == "__main__":
    main()
