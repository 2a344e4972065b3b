"""What is forgotten when: job records, decisions, ended sign-ins, names on links; and never the ledger."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from coordinators import Bench, Person, a_coordinator
from engines import ENGINES
from ledger_world import World
from mesh.coordinator.acts import networks as acts
from mesh.coordinator.store import decisions, records
from mesh.networks.retention import BadRetention, Retention, changed, retention_of
from mesh.units import DAY

pytestmark = pytest.mark.anyio
DAY_MS = int(DAY * 1000)


async def put(bench: Bench, network: str, person: Person, body: dict[str, Any]) -> Any:
    return await bench.http.put(f"/v1/networks/{network}/settings", json=body, headers=person.headers)


async def numbers(bench: Bench, network: str, person: Person) -> tuple[list[int], int | None]:
    page = (await bench.get(f"/v1/networks/{network}/decisions", person)).json()
    return [one["number"] for one in page["decisions"]], page["broken"]


def test_the_rules_have_limits() -> None:
    assert retention_of({}) == Retention(30, 0)
    assert changed(Retention(), 15, None) == Retention(15, 0)
    assert changed(Retention(20, 90), None, 0) == Retention(20, 0)
    for jobs, log in ((14, None), (3651, None), (None, 89), (None, 3651), (None, -1), (0, None)):
        with pytest.raises(BadRetention):
            changed(Retention(), jobs, log)


async def test_an_admin_sets_what_is_kept_how_long(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        path = f"/v1/networks/{network}/settings"
        found = (await bench.get(path, bob)).json()
        assert (found["keep_jobs_days"], found["keep_decisions_days"]) == (30, 0)
        assert (await put(bench, network, bob, {"keep_jobs_days": 15})).json()["error"]["code"] == "members.not_allowed"
        refused = await put(bench, network, ann, {"keep_jobs_days": 14})
        assert refused.json()["error"]["code"] == "network.bad_retention"
        assert (await put(bench, network, ann, {"keep_jobs_days": 15})).status_code == 200
        assert (await put(bench, network, ann, {"keep_decisions_days": 90})).status_code == 200
        found = (await bench.get(path, bob)).json()
        assert (found["keep_jobs_days"], found["keep_decisions_days"], found["credit_line"]) == (15, 90, "friends")


@pytest.mark.parametrize("engine", ENGINES)
async def test_old_decisions_sign_ins_and_names_on_links_are_forgotten(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", name="Bob of old"), "")
        await put(bench, network, ann, {"keep_decisions_days": 90})
        await put(bench, network, ann, {"keep_jobs_days": 40})
        bench.clock.forward(89 * DAY)
        await put(bench, network, ann, {"keep_jobs_days": 50})
        await bench.coordinator.upkeep.once()
        assert await numbers(bench, network, ann) == ([3, 2, 1], None)
        assert "Bob of old" in (await bench.get("/v1/me", bob)).text
        tokens = (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
        assert [one["name"] for one in tokens] == [""], "he is known by it, the used link need not be"
        bench.clock.forward(2 * DAY)
        await bench.coordinator.upkeep.once()
        database = bench.coordinator.parts.database
        assert [one.number for one in await database.read(_log, network)] == [3]
        assert await database.read(decisions.first_broken, network) is None
        sessions = await database.read(lambda store: store.rows(text("select member from sessions")))
        assert len(sessions) == 2, "91 days of a quarter: they have just ended, and stay for a month"
        bench.clock.forward(60 * DAY)
        await bench.coordinator.upkeep.once()
        assert await database.read(lambda store: store.rows(text("select member from sessions"))) == []
        assert [one.number for one in await database.read(_log, network)] == [3], "the newest stays: others follow it"
        await database.write(acts.set_approval, network, True, by=ann.member, moment=bench.coordinator.parts.moment())
        assert await database.read(decisions.first_broken, network) is None
        await database.write(lambda store: store.run(text("update decisions set facts = '{}' where number = 3")))
        assert await database.read(decisions.first_broken, network) == 3


def _log(store: Any, network: Any) -> list[decisions.Decision]:
    return decisions.page(store, network, before=2**53, most=100)


@pytest.mark.parametrize("engine", ENGINES)
def test_job_records_go_once_nothing_can_change_them_and_the_ledger_stays(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    world = World(request.getfixturevalue(engine)(tmp_path), line="strict")
    world.give(world.ann, 10_000_000)
    paid, owed, silent = world.grant(world.bob), world.grant(world.bob), world.grant(world.cyd)
    world.report(world.claim(paid, world.bob), world.used(paid, world.bob))
    world.report(world.claim(owed, world.bob), world.used(owed, world.bob))
    update = text("update attempts set owed = 5 where job = :job").bindparams(job=owed.job)
    world.database.write_and_wait(lambda store: store.run(update))

    def forget(days: float) -> int:
        world.now_ms += int(days * DAY_MS)
        world.sweep()
        before_ms = world.now_ms - 30 * DAY_MS
        return world.database.write_and_wait(records.forget, world.network, before_ms=before_ms, most=100)  # type: ignore[arg-type]

    assert forget(20) == 0, "younger than what the network keeps"
    late = world.grant(world.bob)
    assert forget(11) == 2
    assert {row.job for row in world.rows("select job from jobs")} == {owed.job, late.job}, "what is owed stays shown"
    assert {row.id for row in world.rows("select id from permits")} == {owed.permit, late.permit}
    assert world.report(world.claim(silent, world.cyd)).refused, "it comes too late by far"
    assert world.rows("select * from postings where kind = 'settle'")
    proof = world.verify()
    assert proof.ok, proof.wrong
    world.database.close()
