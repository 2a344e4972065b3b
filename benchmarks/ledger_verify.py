"""How long it takes to verify a ledger of a million postings, and how much memory that takes.

The rows are written in bulk (`tests/ledger_long.py`): a settlement each (payer, earner, fee), of which the newest still
have the records of their jobs. Then everything is derived anew as `mesh ledger verify` does: every hash, every posting,
every balance, every sum by the hour; that must find nothing. At the end an entry in the middle is changed by one
micro-credit, and must be named.

Run: `python benchmarks/ledger_verify.py [--postings 1000000] [--records 100000] [--postgres]`

Touches: files (a database), processes (a server), clock.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from sqlalchemy import text

from ledger_long import Deal, Long
from ledger_world import START_MS, World
from mesh.coordinator.acts import ledger
from mesh.coordinator.store import postgres
from mesh.coordinator.store.connection import Store
from pg_server import Server, from_wheel

STEP_MS = 2500
"""Between two settlements: a million are a month."""


def filled(world: World, postings: int, records: int) -> None:
    """Write the ledger."""
    pairs = [(a, b) for a in world.parties for b in world.parties if a is not b]

    def deals(numbers: range) -> Any:
        for at in numbers:
            payer, earner = pairs[at % len(pairs)]
            yield Deal(START_MS + at * STEP_MS, payer.member, earner.member, payer.device, earner.device)

    long = Long(world.database, world.network, world.ids, lambda number, hash_: "")
    long.write(deals(range(postings - records)), records=False)
    long.write(deals(range(postings - records, postings)), records=True)
    long.done()


def verified(world: World) -> tuple[ledger.Verified, dict[str, float]]:
    """The proof, and the seconds it took: on the clock, and of CPU in this process."""
    began, cpu = time.perf_counter(), time.process_time()
    proof = world.verify()
    return proof, {"s": round(time.perf_counter() - began, 1), "cpu_s": round(time.process_time() - cpu, 1)}


def main() -> None:
    """Measure and print one JSON object."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    asked.add_argument("--postings", type=int, default=1_000_000)
    asked.add_argument("--records", type=int, default=100_000)
    asked.add_argument("--postgres", action="store_true")
    given = asked.parse_args()
    told: dict[str, Any] = {"postings": given.postings, "records": given.records}
    server = Server(from_wheel()) if given.postgres else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder) / "mesh.db" if server is None else server.url())
            began = time.perf_counter()
            filled(world, given.postings, given.records)
            told["fill_s"] = round(time.perf_counter() - began, 1)
            if server is not None:
                with postgres.engine_for(str(world.where)).connect() as connection:
                    connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("vacuum analyze"))
            proof, told["verify"] = verified(world)
            assert proof.ok, proof.wrong
            assert proof.sealed == proof.postings == given.postings
            told["entries"] = proof.entries
            told["wrong"] = forged(world, given.postings // 2)
            world.database.close()
    finally:
        if server is not None:
            server.stop()
    told["memory_peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    engine = "sqlite" if server is None else "postgresql"
    print(json.dumps({"engine": engine, **told, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))


def forged(world: World, number: int) -> str:
    """Change an entry of a posting by one; what verify says of it."""
    of = f"select id from postings where sealed_number = {number}"
    change = f"update entries set amount = amount + 1 where posting = ({of}) and amount > 1000"
    touched = world.database.write_and_wait(lambda store: _run(store, change))
    assert touched == 1
    wrong = verified(world)[0].wrong
    assert wrong is not None and wrong.row == world.rows(of)[0].id, wrong
    return f"{wrong.invariant}: {wrong.table} {wrong.row}"


def _run(store: Store, sql: str) -> int:
    return store.run(text(sql))


if __name__ == "__main__":
    main()
