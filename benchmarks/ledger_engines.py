"""How many jobs a second 8 clients settle on SQLite and on PostgreSQL: each with its permit, and in series.

With its own permit a job is two durable acts, the hold and the settlement. In series a report settles 32 jobs at once,
as outboxes send them under load. Both engines make every commit durable (``synchronous=FULL``, ``fsync`` on), rounds
alternate between them in one run, and each ledger is verified at the end. The server runs on this machine, beside us,
with its own defaults but for small buffers.

Run: `python benchmarks/ledger_engines.py [--jobs 800] [--rounds 3]`

Touches: files (databases), processes (a server), sockets, clock, threads.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ledger_world import World
from mesh.coordinator.acts.permit import Wanted, grant
from mesh.coordinator.acts.record import keys_of, record_facts
from mesh.coordinator.evidence import open_batch, permits_named
from pg_server import Server, from_wheel

CLIENTS = 8
TOGETHER = 32


async def each(world: World, wanted: list[Wanted], facts: list[Any]) -> float:
    """Grant and settle every job; jobs per second."""
    waiting = iter(list(zip(wanted, facts, strict=True)))

    async def client() -> None:
        for want, known in waiting:
            await world.database.write(grant, want, world.moment)
            await world.database.write(record_facts, world.network, known, world.moment, world.ready_ms)  # type: ignore[arg-type]

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(wanted) / (time.perf_counter() - began)


async def series(world: World, batches: list[Any]) -> float:
    """Settle batches of jobs under open series; jobs per second."""
    waiting = iter(batches)

    async def client() -> None:
        for known in waiting:
            await world.database.write(record_facts, world.network, known, world.moment, world.ready_ms)  # type: ignore[arg-type]

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(batches) * TOGETHER / (time.perf_counter() - began)


def ready_each(world: World, jobs: int) -> tuple[list[Wanted], list[Any]]:
    """Jobs to be granted, and the opened facts that settle each."""
    from mesh.coordinator.evidence import Keys

    wanted = [world.wanted(world.bob) for _ in range(jobs)]
    facts = []
    for want in wanted:
        permit = want.permit
        keys = Keys(permit.requester, permit.requester_key, {c.device: c.key for c in permit.candidates})
        token = world.used(permit, world.bob, claim=world.claim(permit, world.bob))
        facts.append(open_batch([token], {permit.permit: keys}, world.network).facts)  # type: ignore[arg-type]
    return wanted, facts


def ready_series(world: World, jobs: int) -> list[Any]:
    """Batches of opened facts, a series for each client."""
    batches = []
    for at in range(jobs // TOGETHER):
        if at % max(1, jobs // TOGETHER // CLIENTS) == 0:
            permit = world.series((world.bob, 4000 * (jobs + TOGETHER)))
        under = [world.under(permit) for _ in range(TOGETHER)]
        tokens = [world.used(job, world.bob, claim=world.claim(job, world.bob)) for job in under]
        keys = world.database.read_and_wait(keys_of, world.network, permits_named(tokens))  # type: ignore[arg-type]
        batches.append(open_batch(tokens, keys, world.network).facts)  # type: ignore[arg-type]
    return batches


def main() -> None:
    """Measure and print a line per engine and way, then the conditions."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    asked.add_argument("--jobs", type=int, default=800)
    asked.add_argument("--rounds", type=int, default=3)
    given = asked.parse_args()
    server = Server(from_wheel(), fsync="on", autovacuum="on")
    found: dict[tuple[str, str], list[float]] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            worlds = {"sqlite": World(Path(folder) / "mesh.db"), "postgresql": World(server.url())}
            for _ in range(given.rounds):
                for engine, world in worlds.items():
                    rate = asyncio.run(each(world, *ready_each(world, given.jobs)))
                    found.setdefault((engine, "a permit each"), []).append(rate)
                    rate = asyncio.run(series(world, ready_series(world, given.jobs * 2)))
                    found.setdefault((engine, "in series"), []).append(rate)
            for world in worlds.values():
                assert world.verify().ok
                world.database.close()
    finally:
        server.stop()
    for (engine, way), rates in found.items():
        told = {"engine": engine, "way": way, "jobs_s": round(statistics.median(rates))}
        print(json.dumps({**told, "range": [round(min(rates)), round(max(rates))]}))
    print(json.dumps({"clients": CLIENTS, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
