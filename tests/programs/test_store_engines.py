"""The store on each engine: the same tables, every migration with rows in them, a server that dies and comes back.

Touches: files, processes, sockets, threads (databases).
"""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.engine import Connection

from engines import ENGINES, Place
from mesh.coordinator.store import migrate, postgres, sqlite
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.errors import BatchLost, StoreNewer, StoreUnreachable, StoreUrl, WriteRefused
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.postgres import WRITERS
from mesh.coordinator.store.schema import METADATA

_ADD = text("insert into members (id, name, created_ms) values (:id, :name, 0)")


def engine_of(where: Path | str) -> Any:
    return sqlite.engine_for(where) if isinstance(where, Path) else postgres.engine_for(where)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return request.getfixturevalue(request.param)(tmp_path)


@pytest.fixture
def empty(place: Place, tmp_path: Path) -> Path | str:
    """A place where there is nothing yet."""
    return tmp_path / "empty.db" if place.server is None else place.server.url(empty=True)


def add(store: Store, member: str) -> str:
    store.run(_ADD, {"id": member, "name": "x"})
    return member


def known(store: Store) -> set[str]:
    return {row.id for row in store.rows(text("select id from members"))}


def test_migrations_make_exactly_the_schema(place: Place) -> None:
    open_database(place.where).close()
    with engine_of(place.where).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_newer_database_is_refused(place: Place) -> None:
    open_database(place.where).close()
    with engine_of(place.where).connect() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
        connection.commit()
    with pytest.raises(StoreNewer):
        open_database(place.where)


# --- every migration, with rows in every table --------------------------------------------------------------------


def revisions() -> list[str]:
    scripts = ScriptDirectory.from_config(migrate.alembic_settings())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def upgraded(where: Path | str, revision: str) -> None:
    settings = migrate.alembic_settings()
    with engine_of(where).connect() as connection:
        settings.attributes["connection"] = connection
        if connection.dialect.name == "sqlite":
            connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        command.upgrade(settings, revision)


def allowed(connection: Connection, table: str) -> dict[str, str]:
    """The first word that each column's check lets in."""
    found = {}
    for check in inspect(connection).get_check_constraints(table):
        for column, words in re.findall(
            r"(\w+)\)?(?:::text)?\s*(?:in|IN|= ANY)\s*\(+(?:ARRAY\[)?([^)\]]*)", check["sqltext"]
        ):
            word = re.search(r"'(\w+)'", words)
            if word:
                found[column] = word[1]
    return found


def filled(connection: Connection) -> dict[str, int]:
    """Put a row into every table, parents first, and count them all."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name != "alembic_version" and not connection.execute(table.select().limit(1)).first():
            words = allowed(connection, table.name)
            connection.execute(table.insert().values({column.name: value(column, words) for column in table.columns}))
    connection.commit()
    return counted(connection, tables)


def counted(connection: Connection, tables: MetaData) -> dict[str, int]:
    return {
        table.name: len(connection.execute(table.select()).all())
        for table in tables.sorted_tables
        if table.name != "alembic_version"
    }


def value(column: Any, words: dict[str, str]) -> Any:
    kind = str(column.type)
    if column.name in words:
        return words[column.name]
    if kind.startswith(("JSON", "BOOL")):
        return [] if kind.startswith("JSON") else False
    if kind.startswith(("INT", "BIGINT")):
        return 1
    return "x"


def test_every_migration_keeps_the_rows_of_every_table(empty: Path | str) -> None:
    before: dict[str, int] = {}
    for revision in revisions():
        upgraded(empty, revision)
        with engine_of(empty).connect() as connection:
            tables = MetaData()
            tables.reflect(connection)
            after = counted(connection, tables)
            assert {name: after.get(name) for name in before} == before, f"{revision} lost rows"
            if connection.dialect.name == "sqlite":
                assert connection.execute(text("pragma foreign_key_check")).all() == []
                connection.connection.driver_connection.execute("PRAGMA foreign_keys=ON")  # type: ignore[union-attr]
            before = filled(connection)
    assert len(before) >= 25
    assert set(before.values()) == {1}
    open_database(empty).close()


def test_a_ledger_that_was_sealed_before_is_summed_up_by_the_hour(empty: Path | str) -> None:
    upgraded(empty, "0017")
    with engine_of(empty).connect() as connection:
        filled(connection)
        connection.execute(text("update postings set requester = null, posted_ms = 7200001, kind = 'settle'"))
        connection.execute(
            text(
                "insert into postings (id, network, kind, business, posted_ms) "
                "select 'later', network, 'settle', 'later', 7200002 from postings"
            )
        )
        connection.execute(text("insert into entries (posting, account, amount) select 'later', id, 5 from accounts"))
        connection.commit()
    upgraded(empty, "0021")
    with engine_of(empty).connect() as connection:
        found = connection.execute(text("select * from ledger_hours")).all()
    assert [tuple(row) for row in found] == [("x", 2, "settle", "", "x", 1, 1, 1)]


# --- a server that is not there, or goes away ---------------------------------------------------------------------


@pytest.fixture
def served(on_postgres: Any, tmp_path: Path) -> Iterator[Place]:
    given: Place = on_postgres(tmp_path)
    yield given


def test_a_server_that_dies_tells_every_caller_and_the_next_act_works_once_it_is_back(served: Place) -> None:
    assert served.server is not None
    with open_database(served.where) as database:
        database.write_and_wait(add, "before")
        assert database.read_and_wait(known) == {"before"}
        served.server.kill()
        try:
            for _ in range(10):
                with pytest.raises(BatchLost):
                    database.write_and_wait(add, "lost")
            with pytest.raises(StoreUnreachable):
                database.read_and_wait(known)
        finally:
            served.server.start()
        assert database.write_and_wait(add, "after") == "after", "no restart was needed"
        for _ in range(8):  # readers had connections of their own, which are gone
            assert database.read_and_wait(known) == {"before", "after"}


def test_a_server_that_was_restarted_while_nothing_was_written_costs_no_act(served: Place) -> None:
    assert served.server is not None
    with open_database(served.where) as database:
        together = threading.Barrier(WRITERS)

        def every_writer(store: Store, member: str) -> str:
            store.rows(text("select 1"))
            together.wait(60)
            return add(store, member)

        every_writer.side_by_side = True  # type: ignore[attr-defined]
        acts = [waiting(every_writer, f"before {at}") for at in range(WRITERS)]
        for act in acts:
            database._put(act)
        assert {act.answer.result(60) for act in acts} == {f"before {at}" for at in range(WRITERS)}
        served.server.kill()
        served.server.start()
        for at in range(2 * WRITERS):  # each writer's connection is gone
            assert database.write_and_wait(add, f"after {at}") == f"after {at}"
        assert len(database.read_and_wait(known)) == 3 * WRITERS


def test_an_act_that_is_refused_undoes_only_itself(served: Place) -> None:
    with open_database(served.where) as database:

        def twice(store: Store) -> None:
            add(store, "b")
            add(store, "b")

        database.write_and_wait(add, "a")
        with pytest.raises(WriteRefused) as refused:
            database.write_and_wait(twice)
        assert refused.value.facts == {"reason": "23505"}
        assert database.read_and_wait(known) == {"a"}
        with pytest.raises(Exception, match="read-only"):
            database.read_and_wait(add, "c")


def test_what_was_queued_is_written_before_closing(served: Place) -> None:
    database = open_database(served.where)
    for at in range(40):
        database._put(waiting(add, f"m{at}"))
    database.close()
    with open_database(served.where) as again:
        assert len(again.read_and_wait(known)) == 40


def waiting(act: Any, *args: Any) -> Any:
    from concurrent.futures import Future

    from mesh.coordinator.store.waiting import Waiting

    return Waiting(act, (args, {}), Future(), None)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("postgresql://nobody@/none?host=/nowhere", StoreUnreachable),
        ("postgresql://u:p@127.0.0.1:1/name", StoreUnreachable),
        ("postgresql://host-without-name", StoreUrl),
        ("mysql://u@h/name", StoreUrl),
        ("nonsense", StoreUrl),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_in_words(where: str, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        open_database(where)
    assert "p@" not in str(refused.value), "no password in an error"
