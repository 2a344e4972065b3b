"""No table and no column with people in it is forgotten where their data is exported and their account deleted."""

import pytest
from sqlalchemy import Column, MetaData, String, Table

from mesh.coordinator.store import personal
from mesh.coordinator.store.personal import FATES, HIDDEN, SHOWN_KEYS, is_id, name_of, points_at, shown
from mesh.coordinator.store.schema import METADATA
from mesh.coordinator.store.schema.columns import ID, KEY

COLUMNS = [column for table in METADATA.sorted_tables for column in table.columns]
NAMED = {name_of(column) for column in COLUMNS}


def test_every_column_with_an_id_says_whose_it_is():
    unexplained = [name_of(column) for column in COLUMNS if is_id(column) and points_at(column) is None]
    assert not unexplained, "name them in store.personal.WITHOUT_KEY, or give them a foreign key"


def test_an_unexplained_column_would_be_found():
    late = Table("late", MetaData(), Column("id", ID, primary_key=True), Column("whose", ID), Column("text", String(9)))
    assert [column.name for column in late.columns if is_id(column) and points_at(column) is None] == ["whose"]


def test_every_table_says_what_becomes_of_its_rows():
    assert set(FATES) == set(METADATA.tables)
    for table, fate in FATES.items():
        assert bool(fate.why) != fate.erased, f"{table}: rows that stay say why, and only those"
        assert set(fate.values) <= set(METADATA.tables[table].columns.keys()), table


def test_what_is_declared_is_there():
    for declared in (personal.WITHOUT_KEY, personal.BESIDE, SHOWN_KEYS, HIDDEN):
        assert set(declared) <= NAMED
    keyed = {name_of(column) for column in COLUMNS if column.type is KEY}
    assert keyed >= SHOWN_KEYS


@pytest.mark.parametrize("word", ["hash", "secret", "nonce", "commitment", "answer"])
def test_nothing_that_lets_somebody_in_is_exported(word):
    open_ = {name_of(column) for column in COLUMNS if word in column.name and shown(column)}
    assert open_ <= {"postings.sealed_hash", "decisions.hash"}
