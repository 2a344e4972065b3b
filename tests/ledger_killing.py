"""A coordinator's ledger that is killed again and again: the program behind ``storms/test_ledger_killed.py``.

``python ledger_killing.py WHERE ROUNDS SEED JOURNAL`` forks a child per round; WHERE is a file, or a server's address.
The child grants and settles as fast as it can, 16 jobs at a time, and notes what it was told in a journal; it is killed
with SIGKILL in the midst of it. The next child opens the same database, compares it with the journal, reports
everything unsettled again, and goes on. Prints one JSON object; leaves with 1 where something was lost, paid twice, or
does not add up.

Touches: files (a database, a journal), processes, signals, clock.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ledger_world import Ids, World
from mesh.coordinator.acts.permit import Wanted, grant
from mesh.coordinator.acts.record import keys_of, record_facts
from mesh.coordinator.evidence import open_batch, permits_named
from mesh.protocol.permit import Permit

AT_ONCE = 16


class Journal:
    """What the child was told, one line each, written before it goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        # A kill can cut a line short; nobody was told of what it says, and the next one begins where it began.
        os.truncate(self._file, path.read_bytes().rfind(b"\n") + 1)

    def note(self, what: str, permit: Permit) -> None:
        os.write(self._file, msgspec.json.encode([what, permit]) + b"\n")

    @staticmethod
    def read(path: Path) -> tuple[dict[str, Permit], set[str]]:
        """Permits that were granted, and jobs that were settled (both: as answered)."""
        granted: dict[str, Permit] = {}
        settled: set[str] = set()
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        for line in lines:
            what, permit = msgspec.json.decode(line, type=tuple[str, Permit])
            granted[str(permit.job)] = permit
            if what == "settled":
                settled.add(str(permit.job))
        return granted, settled


def compare(world: World, journal: Path) -> dict[str, int]:
    """What survived against what was promised; raises AssertionError."""
    proof = world.verify()
    assert proof.ok, proof.wrong
    assert proof.total == 0
    granted, settled = Journal.read(journal)
    shares = {
        row.job: row.state for row in world.rows("select job, s.state from shares s join permits p on p.id = permit")
    }
    paid = Counter(row.job for row in world.rows("select job from postings where kind = 'settle'"))
    assert granted.keys() <= shares.keys(), "a permit that was handed out is gone"
    assert settled <= paid.keys(), "a settlement that was acknowledged is gone"
    assert not paid or max(paid.values()) == 1, "a job was paid twice"
    open_shares = sum(state == "open" for state in shares.values())
    assert world.balance(world.ann).held == 10_000 * open_shares
    assert len(shares) == open_shares + len(paid), "every ended share was paid"
    return {"open": open_shares, "paid": len(paid)}


async def report(world: World, permit: Permit) -> None:
    token = world.used(permit, world.bob, claim=world.claim(permit, world.bob))
    keys = await world.database.read(keys_of, world.network, permits_named([token]))  # type: ignore[arg-type]
    facts = open_batch([token], keys, world.network).facts  # type: ignore[arg-type]
    await world.database.write(record_facts, world.network, facts, world.moment, world.ready_ms)  # type: ignore[arg-type]


async def work(world: World, journal: Journal, ready: int, hold_at: int = 0) -> None:
    """Grant and settle until killed; the permit of this number (if not 0) is granted and not settled by this life."""
    granted = itertools.count(1)

    async def one() -> None:
        wanted: Wanted = world.wanted(world.bob)
        await world.database.write(grant, wanted, world.moment)
        journal.note("granted", wanted.permit)
        os.write(ready, b"g")
        if next(granted) == hold_at:
            await asyncio.Event().wait()
        await report(world, wanted.permit)
        journal.note("settled", wanted.permit)
        await report(world, wanted.permit)  # the acknowledgment was lost: once more

    async def forever() -> None:
        while True:
            await one()

    await asyncio.gather(*(forever() for _ in range(AT_ONCE)))


class Told(NamedTuple):
    """What the program was told: where the database is, the seed, and where the journal is.

    Every other life is killed while one permit, whose grant it noted, is open for certain; the others wherever it hits.
    """

    where: Path | str
    seed: int
    journal: Path


def child(told: Told, turn: int, ready: int, grants: int) -> None:
    """One life of the coordinator: recover, compare, catch up, work until killed. Turn 0 makes the database."""
    seed, journal = told.seed, told.journal
    world = World(told.where, seed=seed, fresh=turn == 0)
    world.ids = Ids(seed * 1000 + turn + 1)
    # Alone with the database for a moment: on a server, what the killed one had sent may still be on its way.
    world.database.write_and_wait(lambda store: None)
    counted = compare(world, journal)
    granted, settled = Journal.read(journal)
    book = Journal(journal)
    for job in sorted(granted.keys() - settled):
        asyncio.run(report(world, granted[job]))
        book.note("settled", granted[job])
    os.write(ready, json.dumps(counted).encode() + b"\n")
    if turn >= 0:
        asyncio.run(work(world, book, ready, 0 if turn % 2 else grants))
    left = {row.id for row in world.rows("select id from shares where state = 'open'")}
    assert compare(world, journal)["open"] == len(left)
    world.database.close()


def life(told: Told, turn: int, grants: int, then_s: float) -> dict[str, int]:
    """Fork a child, let it grant so many permits and go on for a moment, and kill it; returns what it found.

    A child with a negative turn ends by itself. Work is counted, not time: a busy machine kills as a quiet one does.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(told, turn, writing, grants)
        except BaseException:  # noqa: BLE001  whatever it was: show it, and leave by the one door a forked child has
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        first = pipe.readline()
        if turn >= 0 and len(pipe.read(grants)) == grants:
            time.sleep(then_s)
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not first or not (killed if turn >= 0 else status == 0):
        raise SystemExit(f"seed {told.seed}, turn {turn}: the ledger is wrong (status {status})")
    found: dict[str, int] = json.loads(first)
    return found


def main(told: Told, rounds: int) -> dict[str, Any]:
    dice = random.Random(told.seed)
    between = 0
    for turn in range(rounds):
        between += life(told, turn, dice.randint(1, 2 * AT_ONCE), dice.uniform(0, 0.01))["open"] > 0
    final = life(told, -1, 0, 0)
    return {
        "kills": rounds,
        "between_hold_and_settle": between + (final["open"] > 0),
        "settled": final["paid"],
        "seed": told.seed,
    }


if __name__ == "__main__":
    place, turns, chosen, notes = sys.argv[1:]
    where = place if "://" in place else Path(place)
    print(json.dumps(main(Told(where, int(chosen), Path(notes)), int(turns))))
