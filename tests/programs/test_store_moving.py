"""An installation moves to another database and back: every row arrives, and nothing goes where something is.

Touches: files, processes, sockets, threads (databases).
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from ledger_world import World
from mesh.cli.main import perform
from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.tariff import Draft, publish
from mesh.coordinator.store import networks, sealing
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.errors import StoreInUse
from mesh.coordinator.store.moving import CopyDiffers, TargetNotEmpty, move
from mesh.coordinator.store.opening import open_database
from mesh.coordinator.store.postgres import engine_for
from mesh.coordinator.store.schema import METADATA
from mesh.credits.repricing import Asked, Change


def rows(database: Database) -> dict[str, int]:
    return database.read_and_wait(
        lambda store: {
            table.name: store.value(select(func.count()).select_from(table)) for table in METADATA.sorted_tables
        }
    )


def planned(there: str) -> set[str]:
    """Tables that a PostgreSQL server has statistics of."""
    with engine_for(there).connect() as connection:
        return set(
            connection.execute(text("select distinct tablename from pg_stats where schemaname = 'public'")).scalars()
        )


def busy(path: Path) -> World:
    """A world in which things are settled, held, sealed, owed to nobody, and still open."""
    world = World(path, line="strict")
    world.give(world.ann, 10**6)
    dearer = Draft(Change({"ocr": Asked(50_000)}), 1)
    published = world.database.write_and_wait(
        publish,
        world.network,  # type: ignore[arg-type]
        dearer,
        by=world.ann.member,  # type: ignore[arg-type]
        moment=world.moment,
    )
    world.epoch = published.epoch
    for _ in range(3):
        permit = world.grant(world.bob)
        world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    world.database.write_and_wait(sealing.seal, world.network, lambda number, hash_: f"{number}", world.now_ms)  # type: ignore[arg-type]
    world.grant(world.cyd)
    return world


def test_everything_arrives_and_the_ledger_is_the_same_there_and_back(tmp_path: Path, on_postgres: Any) -> None:
    world = busy(tmp_path / "mesh.db")
    before, money = rows(world.database), world.database.read_and_wait(ledger.accounts, world.network)  # type: ignore[arg-type]
    with pytest.raises(StoreInUse):
        move(tmp_path / "mesh.db", on_postgres(tmp_path).where, lambda stage, fraction: None)
    world.database.close()
    there, stages = on_postgres(tmp_path).where, []
    moved = move(tmp_path / "mesh.db", there, lambda stage, fraction: stages.append(stage))
    assert (moved.tables, moved.rows, moved.networks) == (len(before), sum(before.values()), 1)
    names = [table.name for table in METADATA.sorted_tables]
    assert stages == [*names, *(f"{name}, compared" for name in names), "ledgers, derived again"]
    assert planned(there) == {name for name, many in before.items() if many}, "the server knows what there is"
    with pytest.raises(TargetNotEmpty):
        move(tmp_path / "mesh.db", there, lambda stage, fraction: None)
    world.where, world.database = there, open_database(there)
    assert rows(world.database) == before
    assert world.database.read_and_wait(ledger.accounts, world.network) == money  # type: ignore[arg-type]
    known = world.database.read_and_wait(networks.get, world.network)  # type: ignore[arg-type]
    assert known is not None
    assert (known.tariff.version, known.tariff.prices["ocr"].micro) == (2, 50_000), "prices go along"
    proof = world.verify()
    assert (proof.ok, proof.sealed, proof.unsealed) == (True, 4, 0)
    permit = world.grant(world.bob)
    world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    world.database.close()
    back = move(there, tmp_path / "back.db", lambda stage, fraction: None)
    world.where, world.database = tmp_path / "back.db", open_database(tmp_path / "back.db")
    assert back.rows == sum(rows(world.database).values()) > moved.rows
    assert world.verify().ok
    world.database.close()


ALTERED = {
    "accounts": "update accounts set held = held + 1 where id = new.id",
    "memberships": "update memberships set role = 'admin' where member = new.member",
    "shares": "update shares set amount = amount + 1 where id = new.id",
    "networks": """update networks set settings = '{"permits_per_member": 7}' where id = new.id""",
}


@pytest.mark.parametrize("table", ALTERED)
def test_a_row_that_arrives_as_another_one_undoes_the_whole_copy(tmp_path: Path, table: str) -> None:
    busy(tmp_path / "mesh.db").database.close()
    there = tmp_path / "there.db"
    open_database(there).close()
    with closing(sqlite3.connect(there)) as raw:
        raw.execute(f"create trigger odd after insert on {table} begin {ALTERED[table]}; end")
    with pytest.raises(CopyDiffers) as refused:
        move(tmp_path / "mesh.db", there, lambda stage, fraction: None)
    assert refused.value.facts["table"] == table
    with open_database(there) as target:
        assert set(rows(target).values()) == {0}, "the target is as empty as it was"
    with open_database(tmp_path / "mesh.db") as source:
        assert rows(source)["postings"] == 4


def test_a_ledger_that_was_wrong_moves_as_it_is_and_is_named(tmp_path: Path, on_postgres: Any) -> None:
    world = busy(tmp_path / "mesh.db")
    wrong = text("update postings set units = 5 where sealed_number = 2")
    world.database.write_and_wait(lambda store: store.run(wrong))
    world.database.close()
    there = on_postgres(tmp_path).where
    assert move(tmp_path / "mesh.db", there, lambda stage, fraction: None).wrong == (world.network,)
    world.where, world.database = there, open_database(there)
    proof = world.verify()
    assert proof.wrong is not None and proof.wrong.found == 2
    world.database.close()


def test_the_command_moves_a_folder_and_says_why_it_does_not(
    tmp_path: Path, on_postgres: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    world = busy(data / "coordinator.db")
    world.database.close()

    def moved(to: str) -> Any:
        code = perform(["serve", "move", "--data", str(data), "--to", to, "--json"])
        return code, json.loads(capsys.readouterr().out)

    there = on_postgres(tmp_path).where
    code, said = moved(there)
    assert (code, said["networks"], said["wrong"]) == (0, 1, [])
    assert moved(there)[1]["error"]["code"] == "store.target_not_empty"
    assert moved("postgresql://u:secret@127.0.0.1:1/x")[1]["error"]["code"] == "store.unreachable"
    assert moved("nonsense")[1]["error"]["code"] == "store.url"
