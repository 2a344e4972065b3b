"""What the agent's store remembers of batches: a row per batch, and a row per line that has an outcome.

Each function is an act of the store: it runs in the store's thread, in a transaction.

Touches: database (through the connection it is given).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mesh.agent.store import Database
from mesh.ids import BatchId
from mesh.jobs.batches import BatchState
from mesh.protocol.values import JobSpec, Need, Routing, Sensitivity

AGAIN = "again"
"""The code of a line without an outcome whose first job came to nothing: it has another job number."""
DELETE_ROWS_MAX = 10_000
"""Rows erased by one act: others wait for the same thread."""


class Terms(msgspec.Struct, frozen=True):
    """What every line of a batch is asked with."""

    workload: str
    model: str
    sensitivity: Sensitivity
    routing: Routing
    limit_s: float
    need: Need = Need()

    def spec(self, max_cost: int | None) -> JobSpec:
        """A line's job, before its size is known."""
        return JobSpec(self.workload, self.model, 0, self.sensitivity, self.routing, self.need, max_cost, self.limit_s)


class BatchRow(NamedTuple):
    """A batch. ``job_number``: the first of its lines' job numbers; ``lives``: how often agents have taken it up."""

    id: BatchId
    name: str | None
    digest: bytes
    terms: bytes
    lines: int
    state: BatchState
    code: str
    max_cost: int | None
    created_ms: int
    changed_ms: int
    job_number: int
    lives: int


class LineRow(NamedTuple):
    """A line's outcome: ``code`` empty where it went well; where its content stands in the batch's file of results."""

    number: int
    code: str
    job: str
    device: str
    charge: int
    units: int
    start: int
    size: int


class Sum(NamedTuple):
    """Lines of a batch with the same code and device, and what they were charged."""

    batch: BatchId
    code: str
    device: str
    lines: int
    charge: int


class Progress(NamedTuple):
    """Which lines are done (a byte each), other job numbers of some that are not, where the results' file ends."""

    done: bytearray
    again: dict[int, int]
    end: int


_BATCH_COLUMNS = ", ".join(BatchRow._fields)
_LINE_COLUMNS = ", ".join(LineRow._fields)


def all_batches(db: Database) -> list[BatchRow]:
    """Every batch, oldest first."""
    return [BatchRow(*row) for row in db.execute(f"SELECT {_BATCH_COLUMNS} FROM batch ORDER BY id")]  # noqa: S608


def sums(db: Database) -> list[Sum]:
    """What became of the lines so far, of all batches."""
    rows = db.execute(
        "SELECT batch, code, device, count(*), sum(charge) FROM batch_line WHERE code != ? "
        "GROUP BY batch, code, device",
        (AGAIN,),
    )
    return [Sum(*row) for row in rows]


def add(row: BatchRow) -> Callable[[Database], None]:
    """Keep a new batch. Its name must be free: the caller lets one submission in at a time."""

    def act(db: Database) -> None:
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO batch ({_BATCH_COLUMNS}) VALUES ({marks})", row)  # noqa: S608

    return act


def save(row: BatchRow) -> Callable[[Database], None]:
    """Keep what of a batch may change."""

    def act(db: Database) -> None:
        db.execute(
            "UPDATE batch SET state = ?, code = ?, max_cost = ?, changed_ms = ?, job_number = ?, lives = ? "
            "WHERE id = ?",
            (row.state, row.code, row.max_cost, row.changed_ms, row.job_number, row.lives, row.id),
        )

    return act


def progress(batch: BatchId, lines: int) -> Callable[[Database], Progress]:
    """What is known of a batch's lines."""

    def act(db: Database) -> Progress:
        known = Progress(bytearray(lines), {}, 0)
        rows = db.execute("SELECT number, code, job, start + size FROM batch_line WHERE batch = ?", (batch,))
        end = 0
        for number, code, job, stop in rows:
            if code == AGAIN:
                known.again[number] = int(job)
            else:
                known.done[number] = 1
                end = max(end, stop)
        return known._replace(end=end)

    return act


def put_again(batch: BatchId, numbers: Mapping[int, int]) -> Callable[[Database], None]:
    """Give lines without an outcome other job numbers: what was said of their first jobs stays said."""

    def act(db: Database) -> None:
        for line, job in numbers.items():
            put(db, batch, LineRow(line, AGAIN, str(job), "", 0, 0, -line - 1, 0))

    return act


def put(db: Database, batch: BatchId, row: LineRow) -> None:
    """Keep a line's outcome, instead of what was known of it."""
    marks = ", ".join("?" * (len(row) + 1))
    db.execute(f"INSERT OR REPLACE INTO batch_line (batch, {_LINE_COLUMNS}) VALUES ({marks})", (batch, *row))  # noqa: S608


def page(batch: BatchId, after: int, limit: int, *, by_line: bool) -> Callable[[Database], list[LineRow]]:
    """Outcomes after a line number, in order; or after a place in the file of results, as they came."""
    column = "number" if by_line else "start"
    query = (
        f"SELECT {_LINE_COLUMNS} FROM batch_line "  # noqa: S608 - columns of this module
        f"WHERE batch = ? AND {column} > ? AND code != ? AND size > 0 ORDER BY {column} LIMIT ?"
    )
    return lambda db: [LineRow(*row) for row in db.execute(query, (batch, after, AGAIN, limit))]


def forget_failed(batch: BatchId) -> Callable[[Database], None]:
    """Have the lines that failed done again, each as a new job; their numbers follow at their next start."""

    def act(db: Database) -> None:
        db.execute("DELETE FROM batch_line WHERE batch = ? AND code != '' AND code != ?", (batch, AGAIN))

    return act


def erase_lines(batch: BatchId) -> Callable[[Database], bool]:
    """Erase some of a batch's lines; False when none are left."""

    def act(db: Database) -> bool:
        numbers: Sequence[tuple[str, int]] = db.execute(
            "SELECT batch, number FROM batch_line WHERE batch = ? LIMIT ?", (batch, DELETE_ROWS_MAX)
        ).fetchall()
        db.executemany("DELETE FROM batch_line WHERE batch = ? AND number = ?", numbers)
        return len(numbers) == DELETE_ROWS_MAX

    return act


def erase(batch: BatchId) -> Callable[[Database], None]:
    """Erase a batch."""

    def act(db: Database) -> None:
        db.execute("DELETE FROM batch WHERE id = ?", (batch,))

    return act
