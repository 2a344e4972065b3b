"""Rows about a person in every table there is: all of them are exported, and afterwards nothing says who it was."""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, CheckConstraint, Integer, Table, insert, select

from coordinators import START_MS, an_id
from engines import ENGINES, Place
from mesh.coordinator.store import personal
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.personal import is_id, name_of, points_at
from mesh.coordinator.store.schema import METADATA
from mesh.coordinator.store.schema.columns import KEY
from mesh.coordinator.store.schema.networks import memberships
from mesh.ids import MemberId

ONE_OF = re.compile(r"(\w+) in \(('\w+')")
PLACES = {"installation"}
"""Tables with one row, whatever there is."""
STAY = {
    *("attempts.how", "attempts.state", "certificates.signed", "checks.verdict", "decisions.facts", "decisions.kind"),
    *("deletions.report", "evidence.code", "evidence.kind", "evidence.signed", "explanations.body", "jobs.code"),
    *("jobs.model", "jobs.report", "jobs.sensitivity", "jobs.workload", "memberships.state", "networks.name"),
    *("networks.settings", "permits.explanation", "permits.model", "permits.role", "permits.sensitivity"),
    *("permits.workload", "policies.note", "policies.text", "postings.business", "postings.kind", "postings.reason"),
    *("relays.name", "relays.url", "shares.end_reason", "tariffs.rates", "devices.held", "join_tokens.role"),
    *("join_tokens.tags", "join_tokens.letter", "ledger_heads.signed", "ledger_hours.kind"),
}
"""Texts that outlive an account: signed or chained facts in codes and numbers, what belongs to a network, and reasons
that admins wrote into everybody's ledger. A new column that stays has to be named here.
"""


class Planted:
    """One row in every table about one person; every text in them begins with a word that names them."""

    def __init__(self, store: Store, name: str, *, alone: bool) -> None:
        self.word = f"planted-{name}"
        self.ids = {table: an_id() for table in METADATA.tables}
        self.made: dict[str, dict[str, Any]] = {}
        for table in METADATA.sorted_tables:
            if alone or table.name not in PLACES:
                self.made[table.name] = {}
                for column in table.columns:
                    self.made[table.name][column.name] = self._value(table, column)
                store.run(insert(table), self.made[table.name])

    @property
    def member(self) -> MemberId:
        return MemberId(self.made["members"]["id"])

    def _value(self, table: Table, column: Any) -> Any:
        for key in column.foreign_keys:
            return self.made[key.column.table.name][key.column.name]
        if is_id(column) or name_of(column) in personal.WITHOUT_KEY:
            told = (points_at(column) or ("",))[0] if name_of(column) in personal.WITHOUT_KEY else ""
            return self.ids[told or table.name] if told or column.name == "id" else an_id()
        if column.type is KEY:
            return secrets.token_hex(32)
        if isinstance(column.type, Boolean):
            return False
        if isinstance(column.type, Integer) or column.type.python_type is int:
            return START_MS if column.name.endswith("_ms") else 1
        if isinstance(column.type, JSON):
            return [self.word]
        allowed = {
            found[1]: found[2].strip("'")
            for each in table.constraints
            if isinstance(each, CheckConstraint) and (found := ONE_OF.search(str(each.sqltext)))
        }
        length = getattr(column.type, "length", None) or 1000
        return allowed.get(column.name) or self.word[:length]


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place: Place = request.getfixturevalue(request.param)(tmp_path)
    with open_database(place.where) as opened:
        yield opened


def exported(store: Store, member: MemberId) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for table in personal.about_people():
        rows, after = personal.rows(store, table, member, None)
        assert after is None
        found[table.name] = rows
    return found


def cells(store: Store, word: str) -> set[str]:
    """Columns with a word in them, wherever."""
    return {
        name_of(column)
        for table in METADATA.sorted_tables
        for row in store.rows(select(table))
        for column in table.columns
        if word[:12] in json.dumps(row._mapping[column], default=str) or row._mapping[column] == word[:4]
    }


def test_rows_in_every_table_are_exported_and_then_name_nobody(database: Database) -> None:
    ann = database.write_and_wait(lambda store: Planted(store, "ann", alone=True))
    bob = database.write_and_wait(lambda store: Planted(store, "bob", alone=False))
    told = database.read_and_wait(exported, ann.member)
    assert not [table for table, rows in told.items() if not rows], "no row of these tables came along"
    text = json.dumps(told, default=str)
    assert bob.word not in text and bob.member not in text
    for table in METADATA.sorted_tables:
        for column in table.columns:
            if column.type is KEY and name_of(column) not in personal.SHOWN_KEYS:
                assert ann.made[table.name][column.name] not in text, name_of(column)
    others = database.read_and_wait(exported, bob.member)

    database.write_and_wait(personal.scrub, ann.member)
    assert database.read_and_wait(cells, ann.word) - {"pairings.handle", "logins.handle"} <= STAY
    assert database.read_and_wait(exported, bob.member) == others
    left = database.read_and_wait(personal.counts, ann.member)
    assert {table for table, fate in personal.FATES.items() if fate.erased and left.get(table)} == set()
    again = database.read_and_wait(exported, ann.member)
    assert again["members"][0]["name"] == personal.NOBODY and again["accounts"] == told["accounts"]


def test_of_somebody_whom_a_person_invited_they_are_told_no_more_than_that(database: Database) -> None:
    ann = database.write_and_wait(lambda store: Planted(store, "ann", alone=True))
    bob = database.write_and_wait(lambda store: Planted(store, "bob", alone=False))
    row = {**bob.made["memberships"], "network": ann.made["networks"]["id"], "invited_by": ann.member}
    database.write_and_wait(lambda store: store.run(insert(memberships), row))
    told = database.read_and_wait(exported, ann.member)["memberships"]
    beside = next(each for each in told if each["member"] == bob.member)
    assert set(beside) == {"network", "member", "invited_by", "approved_by", "joined_ms", "approved_ms", "removed_ms"}
    own = next(each for each in told if each["member"] == ann.member)
    assert {"role", "state", "day_limit"} <= set(own)


def test_many_rows_come_in_parts_each_once(database: Database) -> None:
    ann = database.write_and_wait(lambda store: Planted(store, "ann", alone=True))
    table = METADATA.tables["decisions"]
    line = ann.made["decisions"]
    lines = [{**line, "number": number} for number in range(2, 2 * personal.PART + 2)]
    database.write_and_wait(lambda store: store.run(insert(table), lines))
    found, after = [], None
    while True:
        rows, after = database.read_and_wait(personal.rows, table, ann.member, after)
        found += [row["number"] for row in rows]
        if after is None:
            break
    assert found == list(range(1, 2 * personal.PART + 2))
