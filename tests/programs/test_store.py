"""The writer: nothing is lost between two that count, a refused act leaves no trace, a lost batch tells everyone.

Touches: files (a database), threads, processes.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from mesh.coordinator.store import migrate
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.errors import BatchLost, StoreClosed, StoreInUse, StoreNewer, WriteRefused
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.schema import METADATA
from mesh.coordinator.store.sqlite import BATCH_MAX, connect, driver, engine_for

_ADD = text("insert into members (id, name, created_ms) values (:id, :name, 0)")
_READ = text("select name from members where id = :id")
_SET = text("update members set name = :name where id = :id")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "mesh.db") as opened:
        yield opened


def add(store: Store, member: str, name: str = "x") -> str:
    store.run(_ADD, {"id": member, "name": name})
    return member


def known(store: Store) -> set[str]:
    return {row.id for row in store.rows(text("select id from members"))}


def increment(store: Store) -> None:
    number = int(store.value(_READ, {"id": "counter"}))
    store.run(_SET, {"id": "counter", "name": str(number + 1)})


class Refusal(Exception):
    pass


def test_threads_that_read_then_write_lose_no_update(database: Database) -> None:
    database.write_and_wait(add, "counter", "0")

    def forty() -> None:
        for _ in range(40):
            database.write_and_wait(increment)

    threads = [threading.Thread(target=forty) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read_and_wait(lambda store: store.value(_READ, {"id": "counter"})) == "320"


def test_two_connections_that_read_then_write_lose_no_update(tmp_path: Path) -> None:
    """The trap itself: the same on connections of one's own, as opened here. One of the two has to wait."""
    path = tmp_path / "mesh.db"
    open_database(path).close()
    with connect(path) as raw:
        raw.execute("insert into members (id, name, created_ms) values ('counter', '0', 0)")
    raw.close()

    def forty() -> None:
        own = connect(path)
        for _ in range(40):
            own.execute("BEGIN IMMEDIATE")
            (number,) = own.execute("select name from members where id = 'counter'").fetchone()
            own.execute("update members set name = ? where id = 'counter'", (str(int(number) + 1),))
            own.execute("COMMIT")
        own.close()

    threads = [threading.Thread(target=forty) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raw = connect(path)
    assert raw.execute("select name from members").fetchone() == ("160",)
    raw.close()


def test_the_file_is_kept_as_promised(database: Database) -> None:
    def settings(store: Store) -> tuple[Any, ...]:
        return tuple(store.value(text(f"pragma {name}")) for name in ("journal_mode", "synchronous", "foreign_keys"))

    assert database.write_and_wait(settings) == ("wal", 2, 1)


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match="readonly"):
        database.read_and_wait(add, "a")


def held_up(database: Database, gate: threading.Event) -> threading.Thread:
    """Keep the writer busy until the gate opens, so that what comes next is one batch."""
    started = threading.Event()

    def hold(_: Store) -> None:
        started.set()
        assert gate.wait(30)

    thread = threading.Thread(target=database.write_and_wait, args=(hold,))
    thread.start()
    assert started.wait(30)
    return thread


async def batch(database: Database, acts: list[Any]) -> list[Any]:
    """Run acts in one batch; returns each one's result or error."""
    gate = threading.Event()
    holder = held_up(database, gate)
    tasks = [asyncio.ensure_future(database.write(act)) for act in acts]
    await asyncio.sleep(0)  # every task has put its act into the queue
    gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(holder.join, 30)
    return list(answers)


@pytest.mark.anyio
async def test_a_batch_is_one_transaction(database: Database) -> None:
    seen: list[int] = []

    def look(store: Store) -> None:
        add(store, f"m{len(seen)}")
        other = connect(database_path(database))
        (count,) = other.execute("select count(*) from members").fetchone()
        other.close()
        seen.append(count)

    await batch(database, [look] * 5)
    assert seen == [0] * 5, "nobody sees a part of the batch"
    assert len(database.read_and_wait(known)) == 5


@pytest.mark.anyio
async def test_an_act_that_raises_undoes_only_itself(database: Database) -> None:
    def refuse(store: Store) -> None:
        add(store, "gone")
        raise Refusal

    first, refused, twice, last = await batch(
        database,
        [
            lambda s: add(s, "a"),
            refuse,
            lambda s: [add(s, "c"), add(s, "a")],
            lambda s: add(s, "b"),
        ],
    )
    assert (first, last) == ("a", "b")
    assert isinstance(refused, Refusal)
    assert isinstance(twice, WriteRefused)
    assert twice.facts == {"reason": "SQLITE_CONSTRAINT_PRIMARYKEY"}
    assert database.read_and_wait(known) == {"a", "b"}


@pytest.mark.anyio
async def test_a_full_disk_in_mid_batch_tells_everyone_and_leaves_nothing(database: Database) -> None:
    """The database refuses in act 37 of 64: what had succeeded before it is undone with it."""
    database.write_and_wait(add, "before")
    ran: list[int] = []

    def limit(store: Store) -> None:
        pages = store.value(text("pragma page_count"))
        store.value(text(f"pragma max_page_count = {pages + 2}"))

    def act(number: int) -> Any:
        def grow(store: Store) -> int:
            ran.append(number)
            add(store, f"m{number}", "x" * (100 if number < 36 else 100_000))
            return number

        return grow

    database.write_and_wait(limit)
    answers = await batch(database, [act(number) for number in range(BATCH_MAX)])
    assert ran == list(range(37)), "acts after the one that broke the batch never began"
    assert all(isinstance(answer, BatchLost) for answer in answers)
    assert {answer.facts["reason"] for answer in answers} == {"SQLITE_FULL"}
    assert len({id(answer) for answer in answers}) == BATCH_MAX
    assert database.read_and_wait(known) == {"before"}
    assert database.write_and_wait(add, "after") == "after", "the next write works"
    database.write_and_wait(lambda store: store.value(text("pragma max_page_count = 1000000")))
    database.write_and_wait(add, "big", "x" * 100_000)
    assert database.read_and_wait(known) == {"before", "after", "big"}


@pytest.mark.anyio
async def test_an_interrupted_batch_tells_everyone(database: Database) -> None:
    def interrupted(store: Store) -> None:
        add(store, "b")
        raw = driver(store.connection)
        raw.set_progress_handler(lambda: 1, 1)  # what sqlite3_interrupt does, at the next step
        try:
            add(store, "c")
        finally:
            raw.set_progress_handler(None, 0)

    first, second, third = await batch(database, [lambda s: add(s, "a"), interrupted, lambda s: add(s, "d")])
    assert isinstance(second, BatchLost | WriteRefused)
    if isinstance(second, BatchLost):
        assert isinstance(first, BatchLost)
        assert isinstance(third, BatchLost)
        assert database.read_and_wait(known) == set()
    else:
        assert (first, third) == ("a", "d")
        assert database.read_and_wait(known) == {"a", "d"}


@pytest.mark.anyio
async def test_a_commit_that_fails_tells_everyone(database: Database) -> None:
    """A deferred foreign key is only checked by COMMIT itself."""

    def orphan(store: Store) -> None:
        store.run(text("pragma defer_foreign_keys = on"))
        store.run(
            text("insert into sessions (id, token_hash, member, created_ms, expires_ms) values ('s', 'h', 'no', 0, 0)")
        )

    answers = await batch(database, [lambda s: add(s, "a"), orphan])
    assert all(isinstance(answer, BatchLost) for answer in answers)
    assert {answer.facts["reason"] for answer in answers} == {"SQLITE_CONSTRAINT_FOREIGNKEY"}
    assert database.read_and_wait(known) == set()
    assert database.write_and_wait(add, "b") == "b"


@pytest.mark.anyio
async def test_a_cancelled_caller_whose_turn_has_not_come_writes_nothing(database: Database) -> None:
    gate = threading.Event()
    holder = held_up(database, gate)
    task = asyncio.ensure_future(database.write(add, "a"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await asyncio.to_thread(holder.join, 30)
    assert await database.write(add, "b") == "b"
    assert await database.read(known) == {"b"}


@pytest.mark.anyio
async def test_more_than_a_batch_is_several_commits(database: Database) -> None:
    answers = await batch(database, [lambda s, n=n: add(s, f"m{n}") for n in range(3 * BATCH_MAX + 5)])
    assert answers == [f"m{n}" for n in range(3 * BATCH_MAX + 5)]
    assert len(await database.read(known)) == 3 * BATCH_MAX + 5


def test_what_was_queued_is_written_before_closing(tmp_path: Path) -> None:
    database = open_database(tmp_path / "mesh.db")
    gate = threading.Event()
    holder = held_up(database, gate)
    writers = [threading.Thread(target=database.write_and_wait, args=(add, f"m{n}")) for n in range(5)]
    for writer in writers:
        writer.start()
    while database._waiting.qsize() < 5:
        threading.Event().wait(0.001)
    closing = threading.Thread(target=database.close)
    closing.start()
    gate.set()
    for thread in (closing, holder, *writers):
        thread.join(30)
    with pytest.raises(StoreClosed):
        database.write_and_wait(add, "late")
    with pytest.raises(StoreClosed):
        database.read_and_wait(known)
    with open_database(tmp_path / "mesh.db") as again:
        assert len(again.read_and_wait(known)) == 5


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_writer_that_broke(database: Database) -> None:
    def break_it(store: Store) -> None:
        driver(store.connection).close()

    first, second, third = await batch(database, [lambda s: add(s, "a"), break_it, lambda s: add(s, "c")])
    assert all(isinstance(answer, BatchLost) for answer in (first, second, third))
    await asyncio.to_thread(database._writer.join, 30)
    with pytest.raises(StoreClosed):
        await database.write(add, "d")


def test_a_second_coordinator_on_the_same_folder_is_refused(tmp_path: Path, database: Database) -> None:
    del database
    script = (
        "import sys, pathlib\n"
        "from mesh.coordinator.store.opening import open_database\n"
        "from mesh.coordinator.store.errors import StoreInUse\n"
        "try: open_database(pathlib.Path(sys.argv[1]))\n"
        "except StoreInUse as error: print(error.wire()['code'], error.facts['process'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "mesh.db")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["store.in_use", str(os.getpid())], done.stderr
    with pytest.raises(StoreInUse):
        open_database(tmp_path / "mesh.db")


def test_the_lock_goes_with_its_owner(tmp_path: Path) -> None:
    open_database(tmp_path / "mesh.db").close()
    open_database(tmp_path / "mesh.db").close()


# --- migrations -------------------------------------------------------------------------------------------------------


def database_path(database: Database) -> Path:
    return database._path


def test_migrations_make_exactly_the_schema(database: Database) -> None:
    with engine_for(database_path(database)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_the_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(migrate.alembic_settings()).get_heads() == [migrate.HEAD]


def test_a_fresh_file_says_what_it_does_and_a_known_one_is_left_alone(tmp_path: Path) -> None:
    said: list[str] = []
    open_database(tmp_path / "mesh.db", progress=said.append).close()
    assert said == [f"database: from nothing to {migrate.HEAD}", "database: ready"]
    open_database(tmp_path / "mesh.db", progress=said.append).close()
    assert len(said) == 2


def test_an_older_file_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    migrate_to(path, "0001")
    raw = connect(path)
    raw.execute("insert into members (id, name, created_ms) values ('m', 'ann', 0)")
    raw.execute("insert into sessions (id, token_hash, member, created_ms, expires_ms) values ('s', 'h', 'm', 0, 0)")
    raw.close()
    with open_database(path) as database:
        assert database.read_and_wait(known) == {"m"}
        assert database.read_and_wait(lambda store: store.value(text("select member from sessions"))) == "m"


def test_files_with_and_without_the_tables_of_codes_end_alike(tmp_path: Path) -> None:
    """For a while an earlier step made them; files from before and from then must both come to the schema of now."""
    for name in ("before", "then"):
        path = tmp_path / name
        migrate_to(path, "0010")
        raw = connect(path)
        if name == "then":
            raw.execute("create table device_starts (device varchar(26) primary key)")
            fresh = tmp_path / "fresh"
            open_database(fresh).close()
            with closing(connect(fresh)) as made:
                wanted = "select sql from sqlite_master where tbl_name = 'pairings' and sql is not null"
                statements = [row[0] for row in made.execute(wanted)]
            for statement in statements:
                raw.execute(statement)
            raw.execute(_WAITING)
        raw.close()
        with open_database(path) as database:
            test_migrations_make_exactly_the_schema(database)
            kept = database.read_and_wait(lambda store: store.value(text("select count(*) from pairings")))
            assert kept == (1 if name == "then" else 0)


_WAITING = """
insert into pairings
(id, handle, key, name, machine, secret_hash, commitment, coordinator_nonce, created_ms, expires_ms)
values ('p', 'KXPT', 'k', 'attic', '', 's', 'c', 'n', 0, 1)
"""


def test_a_newer_file_is_refused_and_unharmed(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    open_database(path).close()
    raw = connect(path)
    raw.execute("update alembic_version set version_num = '9999'")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewer):
        open_database(path)
    assert path.read_bytes() == before


_REBUILD = """
import sqlalchemy as sa
from alembic import op

revision = "rebuild"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("jobs", recreate="always") as jobs:
        jobs.add_column(sa.Column("extra", sa.Integer))
    {then}
"""


def with_a_rebuild(tmp_path: Path, then: str = "pass") -> tuple[Path, Any]:
    """A file at the head with a job and its explanation, and settings that know one migration more."""
    path, scripts = tmp_path / "mesh.db", tmp_path / "scripts"
    open_database(path).close()
    raw = connect(path)
    raw.execute("insert into members (id, name, created_ms) values ('m', 'ann', 0)")
    raw.execute("insert into networks (id, name, network_key, created_by, created_ms) values ('n', 'home', '', 'm', 0)")
    raw.execute("insert into devices (id, network, owner, name, joined_ms) values ('r', 'n', 'm', 'laptop', 0)")
    raw.execute(
        "insert into jobs (network, requester, job, member, workload, model, sensitivity, units, created_ms)"
        " values ('n', 'r', 'j', 'm', 'w', 'o', 'private', 1, 0)"
    )
    raw.execute("insert into explanations (network, requester, job, body, created_ms) values ('n','r','j','{}',0)")
    raw.close()
    scripts.mkdir()
    (scripts / "rebuild.py").write_text(_REBUILD.format(head=migrate.HEAD, then=then))
    settings = migrate.alembic_settings()
    ours = Path(migrate.__file__).with_name("migrations") / "versions"
    settings.set_main_option("path_separator", "newline")
    settings.set_main_option("version_locations", f"{ours}\n{scripts}")
    return path, settings


def test_rebuilding_a_parent_table_keeps_the_rows_of_its_children(tmp_path: Path) -> None:
    """The trap: with foreign keys on, dropping the old copy of ``jobs`` would cascade to ``explanations``."""
    path, settings = with_a_rebuild(tmp_path)
    migrate_to(path, "rebuild", settings)
    raw = connect(path)
    assert raw.execute("select extra from jobs").fetchall() == [(None,)]
    assert raw.execute("select job from explanations").fetchall() == [("j",)]
    assert raw.execute("select version_num from alembic_version").fetchall() == [("rebuild",)]
    raw.close()


def test_a_migration_that_breaks_a_foreign_key_leaves_all_as_it_was(tmp_path: Path) -> None:
    path, settings = with_a_rebuild(tmp_path, then="op.execute('delete from jobs')")
    with pytest.raises(AssertionError, match="foreign keys"):
        migrate_to(path, "rebuild", settings)
    raw = connect(path)
    assert raw.execute("select job from explanations").fetchall() == [("j",)]
    assert raw.execute("select job from jobs").fetchall() == [("j",)]
    assert raw.execute("select version_num from alembic_version").fetchall() == [(migrate.HEAD,)]
    raw.close()


def test_a_migration_with_foreign_keys_on_is_refused(tmp_path: Path) -> None:
    settings = migrate.alembic_settings()
    with engine_for(tmp_path / "mesh.db").connect() as connection:
        settings.attributes["connection"] = connection
        with pytest.raises(AssertionError, match="child rows"):
            command.upgrade(settings, "0001")


def migrate_to(path: Path, revision: str, settings: Any = None) -> None:
    settings = settings or migrate.alembic_settings()
    with engine_for(path).connect() as connection:
        settings.attributes["connection"] = connection
        driver(connection).execute("PRAGMA foreign_keys=OFF")
        command.upgrade(settings, revision)


def test_a_half_done_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.db"
    raw = connect(path)
    raw.execute("create table permits (id text)")  # in the way of the second migration
    raw.close()
    with pytest.raises(Exception, match="permits"):
        open_database(path)
    raw = sqlite3.connect(path)
    assert [name for (name,) in raw.execute("select name from sqlite_master where type = 'table'")] == ["permits"]
    raw.close()
