"""What an agent must not forget: one SQLite file, written by one thread that commits many acts with one fsync.

An awaited write is durable (WAL, ``synchronous=FULL``). Acts run in the order they were posted, so that an awaited act
also makes every earlier one durable. Claims alone are not waited for: they are in the journal first. What the hot
paths ask about is kept in memory by their owners; this file only remembers.

Touches: files (agent.db, claims.log), a thread.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import msgspec

from mesh.agent.journal import Journal
from mesh.concurrency import expected
from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId, PermitId

T = TypeVar("T")
Database = sqlite3.Connection
"""What an act works on. Acts may live beside their nouns; the connection stays here."""
Act = Callable[[Database], Any]
Sync = Callable[[], None]
"""Makes files durable that an act has written to. It may raise OSError, which undoes the commit."""


class Entry(NamedTuple):
    """An act that waits its turn. ``done`` None: nobody waits for it."""

    act: Act
    done: "asyncio.Future[Any] | None" = None
    sync: Sync | None = None


BATCH_MAX = 256
"""Acts in one commit: bounds how long the first waits for the last."""
CLAIM_AFTER_S = 0.005
"""A claim is in the journal: the thread gets it when the result has gone out, not in its way."""
SET_ASIDE_MAX = 100
"""So many things that the coordinator refused for good are kept, the newest, for who looks into why."""
KEEP_MS = 14 * 24 * 3600 * 1000
"""Answers, claims and tombstones are kept as long as the coordinator may still ask: its horizon of 14 days."""

_FIRST = """
CREATE TABLE kept (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE used (job TEXT PRIMARY KEY, attempt INTEGER NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE taken (
  requester TEXT NOT NULL, job TEXT NOT NULL, attempt INTEGER NOT NULL,
  permit TEXT, amount INTEGER NOT NULL, claimed INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  PRIMARY KEY (requester, job, attempt)) WITHOUT ROWID;
CREATE INDEX taken_permit ON taken (permit);
CREATE TABLE tombstone (permit TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
_BATCHES = """
CREATE TABLE batch (
  id TEXT PRIMARY KEY, name TEXT UNIQUE, digest BLOB NOT NULL, terms BLOB NOT NULL, lines INTEGER NOT NULL,
  state TEXT NOT NULL, code TEXT NOT NULL, max_cost INTEGER, created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
  job_number INTEGER NOT NULL, lives INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE batch_line (
  batch TEXT NOT NULL, number INTEGER NOT NULL, code TEXT NOT NULL, job TEXT NOT NULL, device TEXT NOT NULL,
  charge INTEGER NOT NULL, units INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (batch, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX batch_line_start ON batch_line (batch, start);
"""
_GATEWAY_KEYS = """
CREATE TABLE gateway_key (
  name TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, prefix TEXT NOT NULL, limits BLOB NOT NULL,
  created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, day INTEGER NOT NULL, spent INTEGER NOT NULL) WITHOUT ROWID;
"""
_SET_ASIDE = """
CREATE TABLE set_aside (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, content BLOB NOT NULL, code TEXT NOT NULL);
"""
_STEPS = (_FIRST, _BATCHES, _GATEWAY_KEYS, _SET_ASIDE)
"""The schema, step by step; a file remembers how many it has taken. Steps are added at the end, never edited."""


class StoreBroken(MeshError):
    """This device's own records cannot be written. Check that its disk has room and is not read-only."""

    code = "agent.store_broken"
    kind = "unavailable"


class Outgoing(NamedTuple):
    """One thing for the coordinator: a signed ``fact``, or a ``job`` record, as bytes."""

    kind: str
    content: bytes
    number: int = 0


class Taken(NamedTuple):
    """An attempt that this worker took: asked by whom, under which permit, for at most how much (micro-credits)."""

    requester: DeviceId
    job: JobId
    attempt: int
    permit: PermitId | None
    amount: int
    until_ms: int


class Reserved(NamedTuple):
    """How much of a permit's share here is begun, in micro-credits: after a restart it counts as used."""

    permit: PermitId
    amount: int
    until_ms: int


class Remembered(NamedTuple):
    """What a worker needs in memory at its start; ``tombstones``: closed permits, and when each was closed."""

    taken: list[Taken]
    tombstones: dict[PermitId, int]
    reserved: list[Reserved]


_encode = msgspec.msgpack.Encoder().encode
_claimed: msgspec.msgpack.Decoder[tuple[Taken, bytes]] = msgspec.msgpack.Decoder(tuple[Taken, bytes])


class Store:
    """The agent's memory. ``open`` first; ``close`` writes what was posted and ends the thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal = Journal(path.with_name("claims.log"))
        self._acts: SimpleQueue[Entry | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Open or make the file and start its thread. Call it on the event loop. Raises StoreBroken."""
        self._loop = asyncio.get_running_loop()
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA busy_timeout=5000")
            _migrate(connection)
            left = self._journal.open()
            for entry in left:
                _add_claim(connection, *_claimed.decode(entry))
            self._journal.taken_over(len(left))
        except (sqlite3.Error, OSError) as error:
            raise StoreBroken(f"{self._path} cannot be opened: {error}") from error
        self._path.chmod(0o600)
        self._thread = threading.Thread(target=self._work, args=(connection,), name="agent-store", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Commit everything that was posted, then end."""
        if self._thread is not None:
            self._acts.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
            self._journal.close()

    def post(self, act: Act) -> None:
        """Have an act done soon; durable with the next awaited one."""
        self._acts.put(Entry(act))

    async def write(self, act: Callable[[Database], T], sync: Sync | None = None) -> T:
        """Have an act done and committed, then return what it returned; posted before this first waits.

        ``sync`` runs before the commit, once for all acts of a commit that name the same. Raises StoreBroken.
        """
        assert self._loop is not None, "open comes first"
        done: asyncio.Future[T] = expected()
        self._acts.put(Entry(act, done, sync))
        return await done

    def _work(self, connection: sqlite3.Connection) -> None:
        """The thread: take what is queued, commit it at once, tell the callers."""
        going = True
        while going:
            batch = []
            entry = self._acts.get()
            while entry is not None:
                batch.append(entry)
                if len(batch) >= BATCH_MAX or self._acts.empty():
                    break
                entry = self._acts.get()
            going = entry is not None
            if batch:
                self._tell(_commit(connection, batch))
        connection.close()

    def _tell(self, results: "list[tuple[asyncio.Future[Any], Any]]") -> None:
        assert self._loop is not None
        if results and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, results)

    # --- small facts by name ------------------------------------------------------------------------------------------

    async def keep(self, name: str, content: bytes) -> None:
        """Remember bytes under a name."""
        await self.write(lambda db: db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, content)) and None)

    async def kept(self, name: str) -> bytes | None:
        """What was remembered under a name, or None."""

        def act(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT content FROM kept WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

        return await self.write(act)

    async def advance(self, name: str, by: int) -> int:
        """Raise a counter durably by ``by``; return what it was before: the first number of the caller's block."""

        def act(db: sqlite3.Connection) -> int:
            row = db.execute("SELECT content FROM kept WHERE name = ?", (name,)).fetchone()
            before = 0 if row is None else int(row[0])
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, str(before + by).encode()))
            return before

        return await self.write(act)

    # --- outbox -------------------------------------------------------------------------------------------------------

    async def add_out(self, items: Iterable[Outgoing]) -> None:
        """Put things into the outbox."""
        rows = [(item.kind, item.content) for item in items]
        await self.write(lambda db: _add_out(db, rows))

    async def add_answers(self, job: JobId, attempt: int | None, items: Iterable[Outgoing], now_ms: int) -> bool:
        """Choose an attempt for good and put the job's answers into the outbox; False if the job had one already."""
        rows = [(item.kind, item.content) for item in items]

        def act(db: sqlite3.Connection) -> bool:
            if attempt is not None:
                chosen = db.execute("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", (job, attempt, now_ms))
                if chosen.rowcount == 0:
                    return False
            _add_out(db, rows)
            return True

        return await self.write(act)

    async def outbox(self, limit: int) -> list[Outgoing]:
        """The oldest things in the outbox."""

        def act(db: sqlite3.Connection) -> list[Outgoing]:
            rows = db.execute("SELECT kind, content, id FROM outbox ORDER BY id LIMIT ?", (limit,))
            return [Outgoing(kind, bytes(content), number) for kind, content, number in rows]

        return await self.write(act)

    async def outbox_size(self) -> int:
        """How many things wait in the outbox."""
        return await self.write(lambda db: int(db.execute("SELECT count(*) FROM outbox").fetchone()[0]))

    async def sent(self, numbers: Iterable[int]) -> None:
        """The coordinator has committed these."""
        rows = [(number,) for number in numbers]
        await self.write(lambda db: db.executemany("DELETE FROM outbox WHERE id = ?", rows) and None)

    async def set_aside(self, item: Outgoing, code: str) -> None:
        """The coordinator refuses this for good: out of the outbox, and kept with the code it gave."""

        def act(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM outbox WHERE id = ?", (item.number,))
            row = (item.number, item.kind, item.content, code)
            db.execute("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?)", row)
            older = "DELETE FROM set_aside WHERE id NOT IN (SELECT id FROM set_aside ORDER BY id DESC LIMIT ?)"
            db.execute(older, (SET_ASIDE_MAX,))

        await self.write(act)

    async def set_aside_size(self) -> int:
        """How many things were refused for good; at most ``SET_ASIDE_MAX``."""
        return await self.write(lambda db: int(db.execute("SELECT count(*) FROM set_aside").fetchone()[0]))

    # --- worker -------------------------------------------------------------------------------------------------------

    def reserve(self, reserved: Reserved) -> None:
        """Note how much of a permit's share is begun: on the disk before any later act is done.

        It is kept among the attempts, as attempt 0 of a job by the permit's name: real ones count from 1.
        """
        row = ("", reserved.permit, reserved.permit, reserved.amount, reserved.until_ms)
        self._acts.put(Entry(lambda db: db.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, 0, ?, ?, 0, ?)", row)))

    def claim(self, taken: Taken, claim: bytes) -> "asyncio.Future[int]":
        """Keep a claim: the attempt counts as claimed, and the paper goes into the outbox.

        It survives the end of this program from now on; the future is done with its number there once it is on the
        disk. Raises StoreBroken.
        """
        try:
            self._journal.append(_encode((taken, claim)))
        except OSError as error:
            raise StoreBroken(f"This device's records could not be written ({type(error).__name__}).") from error
        assert self._loop is not None, "open comes first"
        kept: asyncio.Future[int] = self._loop.create_future()
        kept.add_done_callback(self._claim_kept)
        entry = Entry(lambda db: _add_claim(db, taken, claim), kept)
        self._loop.call_later(CLAIM_AFTER_S, self._acts.put, entry)
        return kept

    def _claim_kept(self, kept: "asyncio.Future[int]") -> None:
        if not kept.cancelled() and kept.exception() is None:  # else the next start takes it over
            self._journal.taken_over()

    async def outdo(self, number: int, item: Outgoing) -> None:
        """Put in something that says all that an earlier thing said, and take that one out if it is still here."""

        def act(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM outbox WHERE id = ?", (number,))
            _add_out(db, [(item.kind, item.content)])

        await self.write(act)

    async def bury(self, permit: PermitId, at_ms: int) -> int:
        """Write a permit's tombstone; return how many claims were made under it."""

        def act(db: sqlite3.Connection) -> int:
            db.execute("INSERT OR IGNORE INTO tombstone VALUES (?, ?)", (permit, at_ms))
            row = db.execute("SELECT count(*) FROM taken WHERE permit = ? AND claimed = 1", (permit,)).fetchone()
            return int(row[0])

        return await self.write(act)

    async def remembered(self, now_ms: int) -> Remembered:
        """What a worker must know at its start; forgets what nobody may ask about any more."""

        def act(db: sqlite3.Connection) -> Remembered:
            db.execute("DELETE FROM taken WHERE until_ms < ?", (now_ms - KEEP_MS,))
            db.execute("DELETE FROM tombstone WHERE until_ms < ?", (now_ms - KEEP_MS,))
            db.execute("DELETE FROM used WHERE at_ms < ?", (now_ms - KEEP_MS,))
            rows = db.execute(
                "SELECT requester, job, attempt, permit, amount, until_ms FROM taken WHERE until_ms >= ?", (now_ms,)
            ).fetchall()
            taken = [Taken(*row) for row in rows if row[2] > 0]
            reserved = [Reserved(*row[3:]) for row in rows if row[2] == 0]
            tombstones = {PermitId(permit): at_ms for permit, at_ms in db.execute("SELECT * FROM tombstone")}
            return Remembered(taken, tombstones, reserved)

        return await self.write(act)


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_STEPS):
        raise StoreBroken("This home was written by a newer Mesh. Update Mesh on this machine.")
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")


def _add_claim(db: sqlite3.Connection, taken: Taken, claim: bytes) -> int:
    row = (taken.requester, taken.job, taken.attempt, taken.permit, taken.amount, taken.until_ms)
    db.execute("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?, 1, ?)", row)
    added = db.execute("INSERT INTO outbox (kind, content) VALUES ('fact', ?)", (claim,))
    assert added.lastrowid is not None
    return added.lastrowid


def _add_out(db: sqlite3.Connection, rows: "list[tuple[str, bytes]]") -> None:
    db.executemany("INSERT INTO outbox (kind, content) VALUES (?, ?)", rows)


def _commit(connection: sqlite3.Connection, batch: "list[Entry]") -> "list[tuple[asyncio.Future[Any], Any]]":
    """Run a batch in one transaction; every caller gets its result, or the error that undid the batch."""
    results: list[tuple[asyncio.Future[Any], Any]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for entry in batch:
            result = entry.act(connection)
            if entry.done is not None:
                results.append((entry.done, result))
        for sync in dict.fromkeys(entry.sync for entry in batch if entry.sync is not None):
            sync()
        connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        broken = StoreBroken(f"This device's records could not be written ({type(error).__name__}).")
        return [(entry.done, broken) for entry in batch if entry.done is not None]
    return results


def _resolve(results: "list[tuple[asyncio.Future[Any], Any]]") -> None:
    for done, result in results:
        if done.done():
            continue  # its caller was cancelled
        if isinstance(result, StoreBroken):
            done.set_exception(result)
        else:
            done.set_result(result)
