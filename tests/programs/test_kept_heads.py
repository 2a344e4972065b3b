"""A coordinator that rewrites its whole past, so that it adds up again, is found out by whoever kept a head of it."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from agents import Person, Town, a_town, until
from mesh.cli.main import perform
from mesh.sdk import calls, credit
from mesh.sdk.home import Home, HomeRecord

pytestmark = pytest.mark.anyio

FORGET = (
    "delete from entries; delete from postings; delete from ledger_hours; delete from ledger_heads;"
    "update accounts set amount = 0, held = 0"
)


async def sealed(person: Person, town: Town, number: int) -> None:
    async def is_so() -> bool:
        return bool((await person.do(calls.verify(town.network))).sealed == number)

    await until(is_so)


async def test_a_past_that_was_rewritten_is_found_by_the_head_that_a_device_kept(tmp_path, monkeypatch, capsys) -> None:
    async with a_town(tmp_path) as (town, ann, ben):
        home = Home(tmp_path / "cli-ben")
        home.write(HomeRecord(coordinator=ben.record, session=ben.session, network=town.network))
        monkeypatch.setenv("MESH_HOME", str(home.path))

        async def verify():
            capsys.readouterr()
            code = await asyncio.to_thread(perform, ["ledger", "verify", "--json"])
            return code, json.loads(capsys.readouterr().out)

        async def give(amount):
            await ann.do(credit.give(town.network, ben.session.member, amount, "a test"))

        await give(5)
        await sealed(ben, town, 1)
        code, said = await verify()
        assert (code, said["compared"], said["sealed"]) == (0, None, 1)
        await give(6)
        await sealed(ben, town, 2)
        code, said = await verify()
        assert (code, said["compared"], said["sealed"]) == (0, 1, 2), "the past is the one that was kept"

        await town.away()
        with closing(sqlite3.connect(town.config.data / "coordinator.db")) as database:
            database.executescript(FORGET)
        await town.serve()
        assert (await ann.do(calls.verify(town.network))).ok, "by itself it adds up"
        code, said = await verify()
        assert (code, said["error"]["code"]) == (1, "ledger.history_changed")
        for amount in (7, 8):
            await give(amount)
        await sealed(ann, town, 2)
        code, said = await verify()
        assert (code, said["error"]["code"]) == (1, "ledger.history_changed"), "also with as many others in its place"
        assert said["error"]["facts"]["number"] == 2
