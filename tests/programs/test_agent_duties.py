"""What the two devices owe each other about money: choices and numbers outlive a crash, an answer ends an attempt."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from agents import a_town, until
from mesh.agent.asking.asked import JobTimedOut
from mesh.agent.asking.numbers import Numbers
from mesh.agent.checkup import examine
from mesh.agent.outbox import Outbox
from mesh.agent.store import Outgoing, Store
from mesh.devices.machine_findings import machine_findings
from mesh.ids import JobId, ulid
from mesh.protocol import link
from mesh.protocol.values import JobSpec, Routing
from mesh.sdk import calls, control
from programs.test_agent_control import ask

pytestmark = pytest.mark.anyio
JOB = JobId(ulid(1_790_000_000_000, b"0123456789"))
NOW_MS = 1_790_000_000_000


@asynccontextmanager
async def a_life(tmp_path):
    """One life of an agent's store; what was not written down is gone with it."""
    store = Store(tmp_path / "agent.db")
    store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_5_a_chosen_attempt_stays_chosen_over_a_crash(tmp_path):
    used = [Outgoing("fact", b"used 1")]
    async with a_life(tmp_path) as store:
        assert await store.add_answers(JOB, 1, used, NOW_MS)
    async with a_life(tmp_path) as store:
        assert not await store.add_answers(JOB, 2, [Outgoing("fact", b"used 2")], NOW_MS)
        assert [one.content for one in await store.outbox(10)] == [b"used 1"]


async def test_6_no_job_number_is_given_twice_however_often_the_program_dies(tmp_path):
    jobs, requests = set(), set()
    for life in range(5):
        async with a_life(tmp_path) as store:
            numbers = Numbers(store)
            await numbers.open()
            given = [await numbers.job(NOW_MS) for _ in range(1 + 40 * life)]
            jobs |= {one.job for one in given}
            requests |= {numbers.request(one.number, 0, NOW_MS) for one in given}
    assert len(jobs) == len(requests) == sum(1 + 40 * life for life in range(5))


async def test_a_job_that_goes_on_after_a_crash_has_the_same_id_and_secret(tmp_path):
    async with a_life(tmp_path) as store:
        numbers = Numbers(store)
        await numbers.open()
        first = await numbers.job(NOW_MS)
    async with a_life(tmp_path) as store:
        numbers = Numbers(store)
        await numbers.open()
        assert numbers.numbered(first.number, NOW_MS) == first


async def test_a_device_that_is_stopped_has_said_all_before_it_ends(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        desk, box = await ann.device("desk", work=False), await ben.device("box")
        done = await desk.run("one")
        for text in ("two", "three"):  # by now under a series, which is closed at the end
            await desk.run(text)
        waiting = asyncio.ensure_future(desk.run("what is under way is given up"))
        box.engines.gate.clear()
        await desk.stop()
        await asyncio.wait([waiting])
        async with a_life(desk.home.path) as store:
            assert await store.outbox_size() == 0
        jobs = {one.job: one.state for one in (await ann.do(calls.jobs(town.network))).jobs}
        assert jobs[done.job] == "done"
        assert set(jobs.values()) <= {"done", "cancelled", "running"}


async def test_16_an_attempt_that_was_answered_takes_no_result_any_more(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        desk, box = await ann.device("desk", work=False), await ben.device("box")
        box.engines.gate.clear()
        with pytest.raises(JobTimedOut):
            await desk.run("one", routing=Routing("device", device=box.id), limit_s=3.0)

        def answers() -> list[str]:
            with closing(sqlite3.connect(f"file:{town.folder / 'data' / 'coordinator.db'}?mode=ro", uri=True)) as known:
                return [kind for (kind,) in known.execute("select kind from evidence where kind in ('failed', 'used')")]

        await until(lambda: answers() == ["failed"])
        box.engines.gate.set()
        await desk.reported()
        await box.reported()
        await desk.run("two", routing=Routing("device", device=box.id))
        await until(lambda: sorted(answers()) == ["failed", "used"])  # the first job has one answer, for good
        assert await ben.balance() > 0


async def test_15_who_forgot_over_a_crash_what_became_of_an_attempt_never_denies_it(tmp_path):
    """Counterexample 15: it received Done, crashed before that was written down, and knows only that it asked."""
    async with a_town(tmp_path) as (town, ann, ben):
        desk, box = await ann.device("desk", work=False), await ben.device("box")
        box.engines.gate.clear()
        running = asyncio.ensure_future(desk.run("one", routing=Routing("device", device=box.id)))
        await until(lambda: not box.engines.started.empty())
        await town.away()
        kept = desk.home.agent_db.with_name("as-it-was.db")
        with closing(sqlite3.connect(desk.home.agent_db)) as now, closing(sqlite3.connect(kept)) as then:
            now.backup(then)
        box.engines.gate.set()
        job = (await running).job
        await desk.stop()
        for file in desk.home.agent_db.parent.glob("agent.db*"):
            file.unlink()
        kept.rename(desk.home.agent_db)
        await town.serve()
        await desk.start()
        await desk.reported()
        await box.reported()

        def said() -> set[str]:
            with closing(sqlite3.connect(f"file:{town.folder / 'data' / 'coordinator.db'}?mode=ro", uri=True)) as known:
                return {kind for (kind,) in known.execute("select kind from evidence where job = ?", [job])}

        await until(lambda: "claim" in said())
        later = await desk.run("two", routing=Routing("device", device=box.id))
        await desk.reported()  # all that it has to say of the first is said before what it says of the second
        assert later.job != job, "the number is not given again either"
        assert not said() & {"failed", "superseded"}
        await until(lambda: _has_something(ben))


async def _has_something(person):
    return await person.balance() > 0


async def test_a_report_that_the_coordinator_never_takes_is_set_aside_and_shown(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        desk, _ = await ann.device("desk", work=False), await ben.device("box")
        odd = link.JobReport(JobId("no id"), JobSpec("embeddings", "m", units=1), ())
        await desk.agent.parts.store.add_out([Outbox.job(odd)])
        done = await desk.run("one")
        await desk.reported()
        jobs = {one.job: one.state for one in (await ann.do(calls.jobs(town.network))).jobs}
        assert jobs[done.job] == "done"
        [status] = await ask(desk, control.GetStatus())
        assert (status.set_aside, status.outbox, status.link) == (1, 0, "up")
        found = machine_findings(await examine(desk.home, status))
        assert "reports.set_aside" in {one.code for one in found}
