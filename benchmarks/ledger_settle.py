"""How many jobs a second the coordinator can hold and settle, and how long one permit takes, each made durable.

One job is a granted permit (one durable answer) and a settled report (another). Three ways, interleaved in one run, on
one file each: one job at a time; 64 at a time with a commit and an fsync per act; 64 at a time with group commit, which
is how Mesh does it. After each round the ledger is verified. Reports are signed and opened before the clock starts.

Run: `python benchmarks/ledger_settle.py [--jobs 600] [--rounds 5] [--folder DIR]`

Touches: files (databases), clock, threads.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ledger_world import World
from mesh.coordinator.acts.permit import Wanted, grant
from mesh.coordinator.acts.record import record_facts
from mesh.coordinator.evidence import Keys, Testimony, open_batch

AT_ONCE = 64


class Job:
    """A job made ready: its permit to grant, and the facts that settle it."""

    def __init__(self, world: World) -> None:
        self.wanted: Wanted = world.wanted(world.bob)
        permit = self.wanted.permit
        token = world.used(permit, world.bob, claim=world.claim(permit, world.bob))
        keys = Keys(permit.requester, permit.requester_key, {c.device: c.key for c in permit.candidates})
        self.facts: tuple[Testimony, ...] = open_batch([token], {permit.permit: keys}, world.network).facts


async def settle(world: World, jobs: list[Job], at_once: int, alone: asyncio.Lock | None) -> dict[str, Any]:
    """Do all jobs, so many at a time; ``alone``: one act per commit. Returns rates and latencies."""
    grants: list[float] = []
    settles: list[float] = []
    waiting = iter(jobs)

    async def write(act: Any, *facts: Any) -> float:
        began = time.perf_counter()
        if alone is None:
            await world.database.write(act, *facts)
        else:
            async with alone:
                await world.database.write(act, *facts)
        return time.perf_counter() - began

    async def client() -> None:
        for job in waiting:
            grants.append(await write(grant, job.wanted, world.moment))
            settles.append(await write(record_facts, world.network, job.facts, world.moment, world.ready_ms))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(at_once)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "jobs_s": len(jobs) / wall,
        "cpu_ms": cpu / len(jobs) * 1000,
        "grant_p50_ms": statistics.median(grants) * 1000,
        "grant_p99_ms": statistics.quantiles(grants, n=100)[98] * 1000,
        "settle_p50_ms": statistics.median(settles) * 1000,
        "settle_p99_ms": statistics.quantiles(settles, n=100)[98] * 1000,
    }


def fsync_ms(folder: Path) -> float:
    """Median of writing and syncing 4 KiB here."""
    times = []
    with open(folder / "probe", "wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> None:
    """Measure and print one line per way, then the conditions."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    arguments.add_argument("--jobs", type=int, default=600)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--folder", type=Path, default=None)
    given = arguments.parse_args()
    ways = {
        "one at a time": (1, None),
        f"{AT_ONCE} at a time, one act per commit": (AT_ONCE, asyncio.Lock()),
        f"{AT_ONCE} at a time, group commit": (AT_ONCE, None),
    }
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        disk = fsync_ms(folder)
        worlds = {way: World(folder / f"{number}.db") for number, way in enumerate(ways)}
        for _ in range(given.rounds):
            for way, (at_once, _alone) in ways.items():
                jobs = [Job(worlds[way]) for _ in range(given.jobs)]
                alone = asyncio.Lock() if _alone else None
                results[way].append(asyncio.run(settle(worlds[way], jobs, at_once, alone)))
        for world in worlds.values():
            proof = world.verify()
            assert proof.ok, proof.wrong
            assert proof.postings == given.jobs * given.rounds
            world.database.close()
    for way, rounds in results.items():
        middle = {key: round(statistics.median(each[key] for each in rounds), 3) for key in rounds[0]}
        rates = [round(each["jobs_s"]) for each in rounds]
        print(json.dumps({"way": way, **middle, "jobs_s_range": [min(rates), max(rates)]}))
    conditions = {
        "jobs": given.jobs,
        "rounds": given.rounds,
        "fsync_4k_p50_ms": round(disk, 3),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "synchronous": "FULL",
        "ledger": "verified",
    }
    print(json.dumps(conditions))


if __name__ == "__main__":
    main()
