"""Batches in a running agent: every line once, also when it stops in the middle; limits, quotas, cancels, waits."""

import asyncio
import os
import stat

import pytest

from agents import EMBEDDINGS, WAIT_S, WIDTH, a_town, until
from mesh.errors import MeshError, RemoteError
from mesh.sdk import batch_input, batches, calls, control, credit
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import texts_of
from programs.test_agent_late_news import CrossingEngines

pytestmark = pytest.mark.anyio


async def ask(device, request):
    return await asyncio.to_thread(lambda: list(control.stream(device.home.control_socket, request, WAIT_S)))


def brought(device, lines):
    """Input in the device's home, as the command line leaves it there."""
    raws = [batch_input.Raw(number, line) for number, line in enumerate(lines, start=1)]
    return batch_input.bring(device.home.batches, batch_input.from_json(raws))


def numbered(count):
    return [b'{"id": "line %d", "text": "text %d"}' % (number, number) for number in range(count)]


async def submit(device, lines, **terms):
    request = batches.SubmitBatch(brought(device, lines), "embeddings", **terms)
    [batch] = await ask(device, request)
    return batch


async def ended(device, batch):
    *_, last = await ask(device, batches.GetBatch(batch.batch, watch=True))
    return last


async def results(device, batch, **how):
    found, after = [], -1
    while after is not None:
        [page] = await ask(device, batches.GetResults(batch.batch, after, **how))
        found += page.results
        after = page.next
    return found


async def now(device, batch):
    [seen] = await ask(device, batches.GetBatch(batch.batch))
    return seen


async def test_every_line_gets_its_result_in_the_order_of_the_input(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        lines = [*numbered(20), b'"a text alone"', b'{"id": "empty", "text": " "}', b'{"id": 7, "txt": "x"}']
        batch = await submit(asker, lines)
        assert (batch.lines, batch.again, batch.state) == (23, False, "running")
        done = await ended(asker, batch)
        assert (done.state, done.ok, done.failed, done.running) == ("done", 21, 2, 0)
        assert done.failures == {"input.empty": 1, "input.invalid": 1}
        assert [(one.device, one.lines) for one in done.devices] == [(worker.id, 21)]
        found = await results(asker, batch)
        assert [one.line for one in found] == list(range(1, 24))
        assert [one.id for one in found] == [*(f"line {number}" for number in range(20)), 21, "empty", 7]
        for one in found[:21]:
            assert EMBEDDINGS.to_line(Payload(one.manifest, one.blobs)) == {"embedding": [1.0] + [0.0] * (WIDTH - 1)}
        assert [one.error["code"] for one in found[21:]] == ["input.empty", "input.invalid"]
        assert len({one.job for one in found[:21]}) == 21
        assert done.charge == sum(one.charge for one in found) > 0
        assert {one.line for one in await results(asker, batch, as_they_came=True)} == set(range(1, 24))
        await asker.reported()
        await until(lambda: _charged(ann, -done.charge))
        for kept in asker.home.batches.rglob("*"):
            assert stat.S_IMODE(kept.stat().st_mode) == (0o700 if kept.is_dir() else 0o600)


async def _charged(person, balance):
    return await person.balance() == balance


async def test_the_same_name_and_content_is_the_same_batch_and_other_content_is_refused(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        first = await submit(box, numbered(3), name="monday")
        again = await submit(box, numbered(3), name="monday")
        assert (again.batch, again.again) == (first.batch, True)
        assert (await ended(box, first)).ok == 3
        assert box.engines.started.qsize() == 3
        for lines, terms in (
            (numbered(4), {}),
            (numbered(3), {"max_cost": 1}),
            (numbered(3), {"sensitivity": "public"}),
        ):
            with pytest.raises(RemoteError) as refused:
                await submit(box, lines, name="monday", **terms)
            assert refused.value.wire_code == "batch.differs"
        assert (await submit(box, numbered(3))).batch != first.batch
        with pytest.raises(RemoteError) as refused:
            await submit(box, numbered(3), name="../monday")
        assert refused.value.wire_code == "batch.bad_name"
        assert list(box.home.batches.glob("new-*")) == []
        [named] = await ask(box, batches.GetBatch("monday"))
        assert named.batch == first.batch


async def test_a_stopped_agent_goes_on_where_it_was_and_asks_nothing_twice(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        batch = await submit(asker, numbered(40))
        await until(lambda: _at_least(asker, batch, 5))
        worker.engines.gate.clear()
        await until(lambda: _under_way(asker, batch))
        before = await now(asker, batch)
        assert before.ok < 40
        await asker.stop()
        worker.engines.gate.set()
        await asker.start()
        done = await ended(asker, batch)
        assert (done.state, done.ok, done.failed) == ("done", 40, 0)
        found = await results(asker, batch)
        assert [one.id for one in found] == [f"line {number}" for number in range(40)]
        await asker.reported()
        await until(lambda: _charged(ann, -done.charge))


async def test_a_line_that_is_done_in_the_moment_of_the_stop_is_done_and_paid_once(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box", start=False)
        worker.engines = CrossingEngines(lambda: None)
        await worker.start()
        worker.engines.gate.clear()
        batch = await submit(asker, numbered(10))
        await until(lambda: not worker.engines.started.empty())
        stopped = []
        worker.engines.cancel = lambda: stopped or stopped.append(asyncio.ensure_future(asker.stop()))
        worker.engines.gate.set()
        await until(lambda: bool(stopped))
        await stopped[0]
        await asker.start()
        done = await ended(asker, batch)
        assert (done.state, done.ok) == ("done", 10)
        await asker.reported()
        await worker.reported()
        await until(lambda: _charged(ann, -done.charge))
        assert (await ann.do(credit.marks(town.network))).marks == (), "nobody denied anything"
        assert (await ann.do(calls.verify(town.network))).ok


async def _at_least(device, batch, lines):
    return (await now(device, batch)).ok >= lines


async def _under_way(device, batch):
    return (await now(device, batch)).running > 0


async def test_it_waits_for_a_device_and_says_why(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker = await ann.device("ann-box", work=False)
        batch = await submit(asker, numbered(5))
        await until(lambda: _is(asker, batch, "waiting", "placement.nowhere"))
        assert (await now(asker, batch)).message
        await ben.device("ben-box")
        done = await ended(asker, batch)
        assert (done.state, done.ok, done.code) == ("done", 5, "")
        jobs = await ann.do(_jobs(ann))
        assert len(jobs.jobs) == 5  # nobody's list is filled by a batch that asks again


def _jobs(person):
    from mesh.sdk import calls

    return calls.jobs(person._town.network, 100)


async def _is(device, batch, state, code):
    seen = await now(device, batch)
    return (seen.state, seen.code) == (state, code)


async def test_a_coordinator_that_is_away_pauses_it(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        await town.away()
        await until(lambda: not asker.agent.parts.coordination.up)
        batch = await submit(asker, numbered(5))
        await until(lambda: _is(asker, batch, "waiting", "link.down"))
        await town.serve()
        await ben.device("ben-box")
        assert (await ended(asker, batch)).ok == 5


async def test_cancel_stops_what_runs_leaves_what_is_done_and_it_can_be_resumed(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        run = worker.engines.run

        async def three(*job, **terms):
            if worker.engines.started.qsize() == 3:
                worker.engines.gate.clear()
            return await run(*job, **terms)

        worker.engines.run = three
        batch = await submit(asker, numbered(30))
        await until(lambda: _at_least(asker, batch, 3))
        await until(lambda: _under_way(asker, batch))
        worker.engines.run = run
        [cancelled] = await ask(asker, batches.CancelBatch(batch.batch))
        assert (cancelled.state, cancelled.running) == ("cancelled", 0)
        assert 3 <= cancelled.ok < 30
        assert len(await results(asker, batch)) == cancelled.ok
        worker.engines.gate.set()
        [resumed] = await ask(asker, batches.ResumeBatch(batch.batch))
        assert resumed.state == "running"
        done = await ended(asker, batch)
        assert (done.state, done.ok) == ("done", 30)
        await asker.reported()
        await until(lambda: _charged(ann, -done.charge))


async def test_it_stops_at_its_most_cost_and_never_above(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, _worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        batch = await submit(asker, numbered(30), max_cost=100)
        stopped = await ended(asker, batch)
        assert (stopped.state, stopped.code) == ("stopped", "batch.max_cost")
        price = stopped.charge // stopped.ok
        assert 100 - price - 5 <= stopped.charge <= 100
        [resumed] = await ask(asker, batches.ResumeBatch(batch.batch, max_cost=10_000))
        assert (resumed.state, resumed.max_cost) == ("running", 10_000)
        assert (await ended(asker, batch)).ok == 30


async def test_own_devices_are_free_so_a_limit_of_nothing_is_enough(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        done = await ended(box, await submit(box, numbered(10), max_cost=0))
        assert (done.state, done.ok, done.charge) == ("done", 10, 0)


async def test_a_poisoned_line_fails_alone_and_can_be_tried_again(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        box.engines.failure = PoisonError()
        batch = await submit(box, numbered(2))
        done = await ended(box, batch)
        assert (done.ok, done.failed) == (0, 2)
        found = await results(box, batch)
        assert all(one.error["code"] == "job.failed" and one.error["message"] for one in found)
        box.engines.failure = None
        await ask(box, batches.ResumeBatch(batch.batch, failed=True))
        done = await ended(box, batch)
        assert (done.ok, done.failed) == (2, 0)
        assert [one.error for one in await results(box, batch)] == [None, None]


class PoisonError(MeshError):
    """It breaks."""

    code = "engine.broke"


async def test_what_somebody_waits_for_goes_first(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        box.engines.gate.clear()
        batch = await submit(box, numbered(50))
        await until(lambda: _running(box, batch, 2))
        waiting = asyncio.create_task(box.run("somebody waits"))
        await until(lambda: box.agent.parts.requester.running == 3)
        box.engines.gate.set()
        await waiting
        assert (await now(box, batch)).ok < 50
        assert (await ended(box, batch)).ok == 50
        ran = [texts_of(box.engines.started.get_nowait())[0] for _ in range(51)]
        assert ran.index("somebody waits") < 6


async def _running(device, batch, lines):
    return (await now(device, batch)).running == lines


async def test_deleting_erases_all_of_it(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        box.engines.gate.clear()
        batch = await submit(box, numbered(9), name="gone")
        await until(lambda: _under_way(box, batch))
        assert await ask(box, batches.DeleteBatch("gone")) == [control.Ok()]
        assert list(box.home.batches.iterdir()) == []
        with pytest.raises(RemoteError) as refused:
            await now(box, batch)
        assert refused.value.wire_code == "batch.unknown"
        box.engines.gate.set()
        await box.stop()
        await box.start()
        [listed] = await ask(box, batches.GetBatches())
        assert listed.batches == ()


async def test_a_week_after_its_end_it_is_erased(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        batch = await submit(box, numbered(2))
        await ended(box, batch)
        await box.stop()
        box.agent.parts.store.open()
        await box.agent.parts.store.write(
            lambda db: db.execute("UPDATE batch SET changed_ms = changed_ms - ?", (7 * 24 * 3600 * 1000,)) and None
        )
        await box.agent.parts.store.close()
        await box.start()
        await until(lambda: not list(box.home.batches.iterdir()))
        with pytest.raises(RemoteError):
            await now(box, batch)


async def test_what_is_not_there_or_not_ours_is_refused(tmp_path):
    async with a_town(tmp_path) as (_, ann, _ben):
        box = await ann.device("ann-box")
        outside = tmp_path / "secret"
        outside.write_bytes(b'{"id": 1, "text": "a"}\n')
        box.home.batches.mkdir(exist_ok=True)
        os.symlink(outside, box.home.batches / "new-link")
        (box.home.batches / "new-empty").touch()
        (box.home.batches / "new-cut").write_bytes(b'{"id": 1, "text": "a"}')
        for name in ("new-nothing", "../secret", "new-link", "new-empty", "new-cut", "/etc/passwd"):
            with pytest.raises(RemoteError) as refused:
                await ask(box, batches.SubmitBatch(name, "embeddings"))
            assert refused.value.wire_code == "batch.input_gone"
        with pytest.raises(RemoteError) as refused:
            await ask(box, batches.SubmitBatch(brought(box, numbered(1)), "weather"))
        assert refused.value.wire_code == "workload.unknown"
        assert outside.exists()
