"""How long the API takes for a page of 50 lines out of a ledger of a million, however it is narrowed down.

Settlements of three people, two of them with nearly everything, are written directly; one person has a handful, and an
admin's gifts are rare. All is sealed, as it is a second after it was posted. Then pages are asked for over HTTP without
sockets: the newest, one from the middle, the oldest; and charts of all of it.

Run: `python benchmarks/ledger_pages.py [--lines 1000000] [--postgres]`

Touches: files (databases), processes (a server), sockets, clock.
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

from sqlalchemy import text

from coordinators import Bench, Joined, Person, a_coordinator
from mesh.coordinator.keeping.sealer import Sealer
from mesh.coordinator.store import postgres
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger import About, Books
from mesh.credits import transfers
from mesh.ids import NetworkId
from pg_server import Server, from_wheel

PART = 2000
ROUNDS = 15
DAY_MS = 86_400_000
LINES_OF_ONE = 3
"""A settlement's entries: payer, earner, fee."""


def fill(store: Store, bench: Bench, network: str, people: list[Person], devices: list[Joined], numbers: range) -> None:
    """Post settlements, as acts do; every 20,000th is of the person who has few, or an admin's gift."""
    moment = bench.coordinator.parts.moment()
    books = Books(store, NetworkId(network), moment.now_ms, moment.new_id)
    busy, quiet = people[:2], people[2]
    for at in numbers:
        payer, earner = (busy[at % 2], busy[1 - at % 2]) if at % 20_000 else (busy[0], quiet)
        asked, worked = (devices[at % 2], devices[1 - at % 2]) if at % 20_000 else (devices[0], devices[2])
        about = About(
            business=f"job:{at}",
            payer=payer.member,  # type: ignore[arg-type]
            earner=earner.member,  # type: ignore[arg-type]
            requester=asked.id,
            worker=worked.id,
            units=1000,
            price_micro=3700,
            price_per=1000,
            tariff_version=1,
        )
        books.post(transfers.pay(payer.member, earner.member, amount=3700, fee=185, waits=False), about)  # type: ignore[arg-type]
        if at % 20_000 == 7:
            gift = About(business=f"gift:{at}", earner=quiet.member, approver=busy[0].member, reason="a gift")  # type: ignore[arg-type]
            books.post(transfers.give(quiet.member, 5), gift)  # type: ignore[arg-type]
    books.flush()


async def measured(bench: Bench, path: str, person: Person) -> dict[str, Any]:
    """Milliseconds of one page, asked for again and again, and how many lines (or series) it has."""
    took, lines = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = await bench.get(path, person)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
        lines = len(answer.json().get("lines", answer.json().get("series")))
    return {"p50_ms": round(statistics.median(took), 1), "max_ms": round(max(took), 1), "lines": lines}


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
            for first in range(0, postings, PART):
                numbers = range(first, min(first + PART, postings))
                await database.write(fill, bench, network, people, devices, numbers)
                bench.clock.now_ms += 20 * DAY_MS * PART // postings
            began_sealing = time.perf_counter()
            await Sealer(bench.coordinator.parts).once()
            sealed_s = round(time.perf_counter() - began_sealing, 1)
            middle, path = (began + bench.clock.now_ms) // 2, f"/v1/networks/{network}/ledger?limit=50"
            everything = f"until_ms={began + DAY_MS // 2}"
            asked = {
                "newest": ("", ann),
                "middle": (f"&until_ms={middle}", ann),
                "oldest": (f"&{everything}", ann),
                "one's own, newest": ("", others[0]),
                "one's own, middle": (f"&until_ms={middle}", others[0]),
                "one's own, oldest": (f"&{everything}", others[0]),
                "of who has few": (f"&member={others[1].member}", ann),
                "gifts": ("&kind=admin", ann),
                "gifts of who has many": (f"&kind=admin&member={others[0].member}", ann),
                "work of a device": (f"&device={devices[0].id}&kind=settle", ann),
                "a device that has few, of who has many": (f"&device={devices[2].id}&member={ann.member}", ann),
                "few of a device, of who has few": (f"&device={devices[0].id}&member={others[1].member}", ann),
                "work of who has few": (f"&kind=settle&member={others[1].member}", ann),
                "a day in the middle": (f"&since_ms={middle}&until_ms={middle + DAY_MS}", ann),
            }
            if isinstance(where, str):
                await asyncio.to_thread(vacuumed, where)
            found = {name: await measured(bench, path + more, person) for name, (more, person) in asked.items()}
            charts = {"by member": "", "by device": "&by=device", "of a member": f"&member={others[0].member}"}
            charts |= {"a day and a bit": f"&since_ms={middle + 1234}&until_ms={middle + DAY_MS}"}
            for name, more in charts.items():
                found[f"chart, {name}"] = await measured(bench, path.replace("?limit=50", "/chart?") + more, ann)
            return {"sealed_s": sealed_s, **found}


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
