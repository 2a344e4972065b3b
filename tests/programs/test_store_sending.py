"""Statements that nobody waits for, on every engine: what was expected of them, and what the database has against them.

Touches: files, processes, sockets, threads (databases).
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, func, select, update

from engines import ENGINES
from mesh.coordinator.store.connection import BY_ITSELF, Prepared, Store, adding, several_of, side_by_side
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.errors import WriteRefused
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.schema.people import members
from mesh.coordinator.store.schema.requests import idempotency

_ADD = adding(members, "id", "name", "created_ms")
_RENAME = Prepared(update(members).where(members.c.id == bindparam("which")).values(name=bindparam("as_name")))
_KEEP = adding(idempotency, "caller", "key", "body_hash", "status", "answer", "created_ms")
_ANSWER = {"caller": "caller", "body_hash": "0" * 64, "status": 200, "created_ms": 1}
_CHANGE = Prepared(
    update(idempotency)
    .where(idempotency.c.caller == bindparam("by"))
    .where(idempotency.c.key == bindparam("which"))
    .values(answer=bindparam("to"))
)
_NAMES = Prepared(select(members.c.name).order_by(members.c.id))
_ONE = Prepared(select(members.c.name).where(members.c.id == bindparam("which")))


class Missing(Exception):
    """What a test expected is not there."""


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with open_database(request.getfixturevalue(request.param)(tmp_path).where) as database:
        yield database


def names(database: Database) -> list[str]:
    return [row.name for row in database.read_and_wait(lambda store: store.rows(_NAMES))]


def add(store: Store, member: str, name: str | None) -> None:
    store.put(_ADD, {"id": member, "name": name, "created_ms": 1})


def test_what_is_expected_and_does_not_happen_undoes_the_act(database: Database) -> None:
    @side_by_side
    def act(store: Store) -> Any:
        add(store, "one", "One")
        later = store.later(_RENAME, {"which": "one", "as_name": "First"})
        assert later.touched == 1
        store.expect(_RENAME, {"which": "two", "as_name": "Second"}, Missing)
        add(store, "three", "Three")

    with pytest.raises(Missing):
        database.write_and_wait(act)
    assert names(database) == []


def test_who_is_alone_hears_at_once_that_it_did_not_happen(database: Database) -> None:
    def act(store: Store) -> str:
        add(store, "one", "One")
        try:
            store.expect(_RENAME, {"which": "two", "as_name": "Second"}, Missing)
        except Missing:
            return "heard"
        return "missed"

    assert database.write_and_wait(act) == "heard"
    assert names(database) == ["One"]


def test_what_the_database_has_against_a_change_that_nobody_waited_for_is_told(database: Database) -> None:
    @side_by_side
    def act(store: Store) -> None:
        add(store, "one", None)
        add(store, "two", "Two")

    with pytest.raises(WriteRefused):
        database.write_and_wait(act)
    assert names(database) == []
    database.write_and_wait(side_by_side(lambda store: add(store, "one", "One")))
    assert names(database) == ["One"]


def test_queries_that_are_asked_together_are_each_answered_after_what_was_sent_before(database: Database) -> None:
    @side_by_side
    def act(store: Store) -> Any:
        store.put(_ADD, [{"id": member, "name": member, "created_ms": 1} for member in ("one", "two")])
        first, second = store.together((_NAMES, {}), (_ONE, {"which": "nobody"}))
        return [row.name for row in first], list(second), store.connection.execute(select(members.c.id)).all()

    first, second, through = database.write_and_wait(act)
    assert (first, second, sorted(row.id for row in through)) == (["one", "two"], [], ["one", "two"])


def test_one_query_for_several_values_gives_each_its_own_rows(database: Database) -> None:
    asked = ("two", "nobody", "one", "two")

    @side_by_side
    def act(store: Store) -> Any:
        store.put(_ADD, [{"id": member, "name": f"%({member})s", "created_ms": 1} for member in ("one", "two")])
        found = store.together((_NAMES, {}), *((_ONE, {"which": one}) for one in asked))
        return [[row.name for row in rows] for rows in found]

    one, two = "%(one)s", "%(two)s"
    assert database.write_and_wait(act) == [[one, two], [two], [], [one], [two]]


def test_several_changes_are_each_of_their_own_row_and_none_if_one_is_missing(database: Database) -> None:
    @side_by_side
    def act(store: Store, *which: str) -> None:
        store.put(_ADD, [{"id": member, "name": member, "created_ms": 1} for member in ("one", "two", "three")])
        store.put(_RENAME, [{"which": one, "as_name": one.upper()} for one in ("two", "one")])
        store.expect(_RENAME, [{"which": one, "as_name": one * 2} for one in which], Missing)

    with pytest.raises(Missing):
        database.write_and_wait(act, "three", "four")
    assert names(database) == []
    database.write_and_wait(act, "three", "two")
    assert names(database) == ["ONE", "threethree", "twotwo"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("last", ["put", "run", "expect"])
def test_more_than_a_socket_holds_is_sent_to_its_end(database: Database, last: str) -> None:
    """20 MB, and nothing after it: a server that waits for the rest of a statement has nothing to say that would wake
    us."""
    many = [{**_ANSWER, "key": f"k{at:05}", "answer": "x" * 1000} for at in range(20_000)]

    @side_by_side
    def act(store: Store) -> None:
        if last == "put":
            store.put(_KEEP, many)
        elif last == "run":
            store.run(_KEEP, many)
        else:
            store.put(_KEEP, many)
            store.expect(_CHANGE, [{"which": row["key"], "by": "caller", "to": "y" * 1000} for row in many], Missing)

    database.write_and_wait(act)
    kept = select(func.count()).where(func.length(idempotency.c.answer) == 1000)
    assert database.read_and_wait(lambda store: store.value(kept)) == len(many)


def test_what_one_act_looked_up_is_not_kept_for_the_next(database: Database) -> None:
    def act(store: Store) -> bool:
        fresh = "asked" not in store.kept
        store.kept["asked"] = True
        return fresh

    assert database.write_and_wait(act) and database.write_and_wait(act)


# --- several callers in one transaction -------------------------------------------------------------------------------


class Refused(Exception):
    """An answer to one caller."""


class Lane:
    """An act that may be done several at once: counts how often it was, and with how many."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.broken = False

        @side_by_side
        def one(store: Store, name: str, hold: threading.Event | None = None) -> str:
            if hold is not None:
                assert hold.wait(60)
            add(store, name, name)
            if name == "bad":
                raise Refused
            return f"{name} alone"

        @several_of(one)
        def several(store: Store, asked: Sequence[tuple[str]]) -> list[Any]:
            self.sizes.append(len(asked))
            said: list[Any] = []
            for (name,) in asked:
                if name == "bad":
                    said.append(Refused())
                elif name == "odd":
                    said.append(BY_ITSELF)
                else:
                    add(store, name, name)
                    said.append(name)
            if self.broken:
                raise Missing
            return said

        self.one = one

    def behind(self, database: Database, *callers: str) -> dict[str, Any]:
        """What callers get who come while one before them is under way."""
        hold, said = threading.Event(), dict[str, Any]()

        def call(name: str, *more: Any) -> None:
            try:
                said[name] = database.write_and_wait(self.one, name, *more)
            except Exception as error:  # noqa: BLE001 - looked at by whoever asked
                said[name] = error

        threads = [threading.Thread(target=call, args=("first", hold))]
        threads += [threading.Thread(target=call, args=(name,)) for name in callers]
        threads[0].start()
        lanes = database._lanes._lanes  # type: ignore[attr-defined]
        until(lambda: [len(lane) for lane in lanes.values()] == [0])  # the first one is under way
        for thread in threads[1:]:
            thread.start()
        until(lambda: sum(map(len, lanes.values())) >= len(callers))
        hold.set()
        for thread in threads:
            thread.join(60)
        return said


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with open_database(request.getfixturevalue("on_postgres")(tmp_path).where) as database:
        yield database


@pytest.mark.parametrize("others", [0, 2])
def test_text_that_is_too_long_is_refused_and_never_cut(server: Database, others: int) -> None:
    @side_by_side
    def act(store: Store) -> None:
        rows = [("long", "x" * 129), *((f"other{at}", "x" * 128) for at in range(others))]
        store.put(_ADD, [{"id": id_, "name": name, "created_ms": 1} for id_, name in rows])

    with pytest.raises(WriteRefused):
        server.write_and_wait(act)
    assert names(server) == []


def test_who_comes_while_others_are_served_shares_the_next_transaction(server: Database) -> None:
    lane = Lane()
    said = lane.behind(server, "a", "b", "bad", "odd")
    assert lane.sizes == [4]
    assert isinstance(said.pop("bad"), Refused)
    assert said == {"first": "first alone", "a": "a", "b": "b", "odd": "odd alone"}
    assert names(server) == ["a", "b", "first", "odd"], "who is refused has changed nothing, and nobody else's work"


def test_where_all_fail_together_each_is_done_by_itself(server: Database) -> None:
    lane = Lane()
    lane.broken = True
    said = lane.behind(server, "a", "bad", "b")
    assert isinstance(said.pop("bad"), Refused)
    assert said == {"first": "first alone", "a": "a alone", "b": "b alone"}
    assert names(server) == ["a", "b", "first"]
    assert server.write_and_wait(lane.one, "later") == "later alone", "the lane is free again"
