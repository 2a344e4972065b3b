"""How long it takes to seal and to verify a ledger of a million postings, and how much memory that takes.

The postings are written directly (a settlement each: payer, earner, fee), then sealed as the sealer does it, then
everything is derived anew as `mesh ledger verify` does: every hash, every posting, every balance.

Run: `python benchmarks/ledger_verify.py [--postings 1000000]`

Touches: files (a database), clock.
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

from ledger_world import START_MS, World
from mesh.coordinator.store import sealing
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger import About, Books
from mesh.credits import transfers
from mesh.ids import NetworkId

PART = 5000


def fill(store: Store, world: World, first: int, most: int) -> None:
    """Post settlements, as acts do."""
    books = Books(store, NetworkId(world.network), START_MS, world.ids)
    for at in range(first, first + most):
        about = About(
            business=f"gift:{at}",
            payer=world.ann.member,  # type: ignore[arg-type]
            earner=world.bob.member,  # type: ignore[arg-type]
            units=1000,
            price_micro=3700,
            price_per=1000,
            tariff_version=1,
            receipt=f"{at:064x}",
        )
        paid = transfers.pay(world.ann.member, world.bob.member, amount=3700, fee=185, waits=False)  # type: ignore[arg-type]
        books.post(paid, about)
    books.flush()


def main() -> None:
    """Measure and print one JSON object."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    asked.add_argument("--postings", type=int, default=1_000_000)
    postings = asked.parse_args().postings
    told: dict[str, Any] = {"postings": postings}
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "mesh.db")
        for first in range(0, postings, PART):
            world.database.write_and_wait(fill, world, first, min(PART, postings - first))
        began = time.perf_counter()
        while world.database.write_and_wait(sealing.seal, world.network, lambda number, hash_: "", START_MS):  # type: ignore[arg-type]
            pass
        told["seal_per_s"] = round(postings / (time.perf_counter() - began))
        began, cpu = time.perf_counter(), time.process_time()
        proof = world.verify()
        told["verify_s"] = round(time.perf_counter() - began, 2)
        told["verify_cpu_s"] = round(time.process_time() - cpu, 2)
        assert proof.ok, proof.wrong
        assert proof.sealed == postings
        told["file_bytes"] = (Path(folder) / "mesh.db").stat().st_size
        world.database.close()
    told["memory_peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**told, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
