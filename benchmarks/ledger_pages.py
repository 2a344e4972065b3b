"""How long the API takes for a page of 50 lines out of a ledger of a million, however it is narrowed down.

Settlements of three people, two of them with nearly everything; one person has a handful, and an admin's gifts are
rare. The rows are written in bulk (`tests/ledger_long.py`), and the ledger is verified. Then pages are asked for over
HTTP without sockets: every way to combine whose, which device's, what kind and when; the slowest of these again and
again; and charts of all of it.

Run: `python benchmarks/ledger_pages.py [--lines 1000000] [--postgres]`

Touches: files (databases), processes (a server), sockets, clock.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from sqlalchemy import text

from coordinators import Bench, Joined, Person, a_coordinator, an_id
from ledger_long import Deal, Long
from mesh.coordinator.acts import ledger
from mesh.coordinator.store import postgres
from mesh.credits.accounts import PostingKind
from pg_server import Server, from_wheel

ROUNDS = 15
TRIES = 3
SLOWEST = 8
LIMIT_MS = 100
DAY_MS = 86_400_000
DAYS = 20
LINES_OF_ONE = 3
"""A settlement's entries: payer, earner, fee."""


def deals(people: list[Person], devices: list[Joined], began: int, postings: int) -> Iterator[Deal]:
    """Settlements over some days; every 20,000th is of the person who has few, and as often there is a gift."""
    (ann, bob, cyd), (anns, bobs, cyds) = [one.member for one in people], [one.id for one in devices]
    for at in range(postings):
        at_ms = began + DAYS * DAY_MS * at // postings
        if at % 20_000 == 0:
            yield Deal(at_ms, ann, cyd, anns, cyds)
        elif at % 20_000 == 7:
            yield Deal(at_ms, ann, cyd)
        elif at % 2:
            yield Deal(at_ms, bob, ann, bobs, anns)
        else:
            yield Deal(at_ms, ann, bob, anns, bobs)


async def taken(bench: Bench, path: str, person: Person, rounds: int) -> list[float]:
    """Milliseconds of one page or chart, asked for again and again."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        answer = await bench.get(path, person)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
    return took


def told(took: list[float]) -> dict[str, float]:
    """Median and maximum."""
    return {"p50_ms": round(statistics.median(took), 1), "max_ms": round(max(took), 1)}


def narrowed(people: list[Person], devices: list[Joined], began: int) -> dict[str, str]:
    """Every way to narrow a page down, by name: the rest of its query."""
    middle, end = began + DAYS * DAY_MS // 2, began + DAYS * DAY_MS
    members = {"all": "", **{one.name: one.member for one in people}, "nobody": an_id()}
    of_devices = {"all": "", **{f"{of.name}'s": one.id for of, one in zip(people, devices, strict=True)}}
    of_devices["none"] = an_id()
    times = {
        "always": "",
        "to the middle": f"&until_ms={middle}",
        "its first half day": f"&until_ms={began + DAY_MS // 2}",
        "a day in the middle": f"&since_ms={middle}&until_ms={middle + DAY_MS}",
        "its last hour": f"&since_ms={end - DAY_MS // 24}",
    }
    kinds = ("", *get_args(PostingKind))
    found = {}
    for (who, member), (which, device), kind, (when, span) in itertools.product(
        members.items(), of_devices.items(), kinds, times.items()
    ):
        query = "".join(
            f"&{name}={value}" for name, value in (("member", member), ("device", device), ("kind", kind)) if value
        )
        found[f"member {who}, device {which}, kind {kind or 'any'}, {when}"] = query + span
    return found


async def run(lines: int, where: Path | str | None) -> dict[str, Any]:
    """Fill a ledger and measure its pages."""
    with tempfile.TemporaryDirectory() as folder:
        async with a_coordinator(Path(folder), where=where) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            others = [await bench.sign_in(await bench.invite(network, ann, "member"), name) for name in ("Bob", "Cyd")]
            people = [ann, *others]
            devices = [await bench.device(network, one, one.name.lower()) for one in people]
            database, began, postings = bench.coordinator.parts.database, bench.clock.now_ms, lines // LINES_OF_ONE
            long = Long(database, network, bench.coordinator.parts.moment().new_id, lambda number, hash_: "")
            await asyncio.to_thread(long.write, deals(people, devices, began, postings), records=False)
            await asyncio.to_thread(long.done)
            bench.clock.now_ms += DAYS * DAY_MS
            if isinstance(where, str):
                await asyncio.to_thread(vacuumed, where)
            proof = await database.read(ledger.verify, network)  # type: ignore[arg-type]
            assert proof.ok, proof.wrong
            path = f"/v1/networks/{network}/ledger?limit=50"
            return {"entries": proof.entries, **await measured(bench, path, people, narrowed(people, devices, began))}


async def measured(bench: Bench, path: str, people: list[Person], ways: dict[str, str]) -> dict[str, Any]:
    """Each page a few times, of which the least counts (the machine may do other things); the slowest, and charts,
    often.
    """
    ann, bob, _ = people
    least = {name: min(await taken(bench, path + query, ann, TRIES)) for name, query in ways.items()}
    slowest = sorted(least, key=lambda name: -least[name])[:SLOWEST]
    charts = {"by member": "", "by device": "&by=device", "of a member": f"&member={bob.member}"}
    charting = path.replace("?limit=50", "/chart?")
    return {
        "ways": len(least),
        "the least of each": told(list(least.values())),
        "over the limit": sum(took > LIMIT_MS for took in least.values()),
        "slowest": {name: told(await taken(bench, path + ways[name], ann, ROUNDS)) for name in slowest},
        "charts": {name: told(await taken(bench, charting + more, ann, ROUNDS)) for name, more in charts.items()},
        "one's own": told(await taken(bench, path, bob, ROUNDS)),
    }


def vacuumed(url: str) -> None:
    """What a PostgreSQL server does by itself after a while: its planner knows what is in the tables."""
    with postgres.engine_for(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))


def main() -> None:
    """Measure and print one JSON object for each engine."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    asked.add_argument("--lines", type=int, default=1_000_000)
    asked.add_argument("--postgres", action="store_true")
    options = asked.parse_args()
    about = {"lines": options.lines, "cores": os.cpu_count()}
    server = Server(from_wheel()) if options.postgres else None
    try:
        pages = asyncio.run(run(options.lines, None if server is None else server.url()))
    finally:
        if server is not None:
            server.stop()
    engine = "postgresql" if options.postgres else "sqlite"
    print(json.dumps({**about, "engine": engine, "load": round(os.getloadavg()[0], 1), "pages": pages}, indent=1))


if __name__ == "__main__":
    main()
