"""How long a frame takes through the relay while 100 clients exchange jobs of 1 MB.

Every client sends its partner a job of 1 MB every two seconds (50 MB/s in all), as frames of 13 KB of which 8 may be
unacknowledged, as a QUIC sender in its first round trips would. Latency is from before the sender hands a frame to its
socket until the receiver has it, so that the clients' own queues count too. Once with the jobs spread evenly, once with
all of them starting at the same moment (then 10 MB are under way at any time and wait for the one core); the same
through a plain relay as the peer. Must reach: p99 under 20 ms (spread) and under 150 MB of memory. Relay and clients
(two processes of 50) are processes of their own, on loopback.

Run: `python benchmarks/relay_many.py [--rounds 4]`

Touches: sockets, processes, clock.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import relay_clients as parts
from nacl.signing import SigningKey

from mesh.protocol import relayed

CLIENTS = 100
JOB = 1_000_000
SEGMENT, SEGMENTS = 1300, 10
FRAME = SEGMENT * SEGMENTS
FRAMES = -(-JOB // FRAME)
WINDOW = 8
EVERY_S = 2.0
LIMIT_S = 30.0


def signing_key(number: int) -> SigningKey:
    """A fixed key for each client."""
    return SigningKey(str(number).encode().ljust(32, b"."))


class Partner:
    """One client: sends jobs to its partner, acknowledges the partner's frames, notes how long they took."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.partner = bytes(signing_key((number + CLIENTS // 2) % CLIENTS).verify_key)
        self.client = parts.RawClient(signing_key(number))
        self.client.on_frame = self.on_frame
        self.filler = os.urandom(FRAME - 8)
        self.latencies_ns: list[int] = []
        self.jobs_s: list[float] = []
        self.unacknowledged = 0
        self.room = asyncio.Event()

    def on_frame(self, frame: memoryview) -> None:
        """Take a frame of the partner's job, or the acknowledgment of one of ours."""
        if frame[0] == relayed.BATCH:
            self.latencies_ns.append(time.monotonic_ns() - int.from_bytes(frame[36:44]))
            self.client.send(relayed.send_datagrams(self.partner, b"k"))
        elif frame[0] == relayed.DATAGRAM:
            self.unacknowledged -= 1
            self.room.set()
        elif frame[0] == relayed.PING:
            self.client.send(relayed.pong(frame[1:]))

    async def run(self, start_at: float, rounds: int) -> None:
        """Send a job every two seconds, from ``start_at`` by the system's monotonic clock."""
        for number in range(rounds):
            await asyncio.sleep(max(0.0, start_at + number * EVERY_S - time.monotonic()))
            begin = time.monotonic()
            for _ in range(FRAMES):
                await self.wait_below(WINDOW)
                stamp = time.monotonic_ns().to_bytes(8)
                self.unacknowledged += 1
                self.client.send(relayed.send_datagrams(self.partner, stamp + self.filler, segment=SEGMENT))
            await self.wait_below(1)
            self.jobs_s.append(time.monotonic() - begin)

    async def wait_below(self, count: int) -> None:
        """Wait until fewer frames than that are unacknowledged."""
        while self.unacknowledged >= count:
            self.room.clear()
            await self.room.wait()


async def half(url: str, first: int, rounds: int, spread: bool) -> None:
    """One process of 50 clients."""
    partners = [Partner(number) for number in range(first, first + CLIENTS // 2)]
    for partner in partners:
        await partner.client.connect(url)
    print(json.dumps({"ready": True}), flush=True)
    start_at = float(await asyncio.to_thread(sys.stdin.readline))
    async with asyncio.timeout(rounds * EVERY_S + LIMIT_S), asyncio.TaskGroup() as group:
        for partner in partners:
            offset = partner.number * EVERY_S / CLIENTS if spread else 0.0
            group.create_task(partner.run(start_at + offset, rounds))
    print(json.dumps({"done": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # the partners of the other process may still need acknowledgments
    latencies = [latency for partner in partners for latency in partner.latencies_ns]
    jobs = [job for partner in partners for job in partner.jobs_s]
    print(json.dumps({"latencies_ns": latencies, "jobs_s": jobs}), flush=True)


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line of a client process."""
    assert process.stdout is not None
    text = process.stdout.readline()
    if not text:
        raise SystemExit("a client process ended early")
    said: dict[str, Any] = json.loads(text)
    return said


def tell(processes: "list[subprocess.Popen[str]]", word: str) -> None:
    """Say a word to each client process."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(word + "\n")
        process.stdin.flush()


def measure(kind: str, spread: bool, rounds: int) -> dict[str, Any]:
    """All rounds through one relay."""
    relay = parts.RelayProcess(kind, {bytes(signing_key(number).verify_key).hex(): [1] for number in range(CLIENTS)})
    processes = []
    try:
        for first in (0, CLIENTS // 2):
            command = [sys.executable, __file__, "--half", str(first), "--url", relay.url, "--rounds", str(rounds)]
            command += ["--spread"] if spread else []
            processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for process in processes:
            answer(process)
        tell(processes, str(time.monotonic() + 0.5))
        for process in processes:
            answer(process)
        tell(processes, "report")
        reports = [answer(process) for process in processes]
        latencies = sorted(latency / 1e6 for report in reports for latency in report["latencies_ns"])
        jobs = [job for report in reports for job in report["jobs_s"]]
        return {
            "relay": kind,
            "starts": "spread" if spread else "at once",
            "jobs": len(jobs),
            "frames": len(latencies),
            "frames_lost": CLIENTS * rounds * FRAMES - len(latencies),
            "latency_ms": {
                "p50": round(statistics.median(latencies), 2),
                "p99": round(latencies[int(len(latencies) * 0.99)], 2),
                "max": round(latencies[-1], 2),
            },
            "job_ms_p50": round(statistics.median(jobs) * 1000, 1),
            "relay_peak_rss_mb": round(relay.peak_rss() / 1e6, 1),
            "relay_cpu_s": round(relay.cpu_s(), 2),
        }
    finally:
        relay.stop()
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """The parent, or one of its client processes."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--half", type=int)
    arguments.add_argument("--url")
    arguments.add_argument("--spread", action="store_true")
    chosen = arguments.parse_args()
    if chosen.half is not None:
        asyncio.run(half(chosen.url, chosen.half, chosen.rounds, chosen.spread))
        return
    print(json.dumps({"conditions": parts.conditions()}))
    results = [measure(kind, spread, chosen.rounds) for kind in ("mesh", "plain") for spread in (True, False)]
    for result in results:
        print(json.dumps(result))
    first = results[0]
    reached = first["latency_ms"]["p99"] < 20 and first["relay_peak_rss_mb"] < 150 and first["frames_lost"] == 0
    print(json.dumps({"goal": {"p99_ms": 20, "rss_mb": 150}, "reached": reached}))


if __name__ == "__main__":
    main()
