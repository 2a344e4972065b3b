"""Jobs between real agents: paid once, moved on when a device is lost, cancelled, done without a coordinator."""

import asyncio
import contextlib
import sqlite3

import pytest

from agents import EMBEDDINGS, MODEL, WAIT_S, a_town, until
from mesh.agent import coordination
from mesh.agent.asking.asked import AllBusy, Ask, JobFailed
from mesh.agent.peers.stream import PeerSilent
from mesh.errors import MeshError
from mesh.jobs.placement import NowhereToRun
from mesh.protocol import frames
from mesh.protocol.values import Routing
from mesh.sdk import calls, control
from mesh.transport.link import LinkDown
from mesh.workloads.embeddings import payload_of, texts_of
from mesh.workloads.process import EngineCrashed

pytestmark = pytest.mark.anyio


async def paid(ann, ben, *charges):
    """The ledger says that Ann paid each of these once, and that Ben earned it less the fee."""
    await until(lambda: _is(ann, -sum(charges)))
    assert await ben.balance() == sum(charge - charge * 5 // 100 for charge in charges)


async def _is(person, balance):
    return await person.balance() == balance


async def test_a_job_goes_to_another_persons_device_and_is_paid_once(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        result = await asker.run("a harbour at night", "boats in the dark")
        assert (result.device, result.path, result.units) == (worker.id, "direct", 35)
        assert result.charge == 130  # 35 bytes at 3,700 micro-credits a kilobyte, rounded up
        assert result.payload.manifest["count"] == 2
        assert [(one.device, one.code) for one in result.attempts] == [(worker.id, "")]
        assert {gate.device for gate in result.explanation.gates} == {asker.id, worker.id}
        await paid(ann, ben, 130)
        await asker.reported()
        await worker.reported()
        assert (await ann.do(calls.verify(town.network))).ok
        assert await ann.balance() == -130


async def test_why_says_who_was_next_and_what_would_have_sent_the_job_there(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(60):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device(name) for name in ("ben-box", "ben-other")]
        result = await asker.run("Why there?")
        (other,) = [one for one in workers if one.id != result.device]
        why = {}

        async def explained():
            why.update(await ann.do(calls.why(town.network, result.job)))
            return why["attempts"] != [] and why["attempts"][0]["other"] != ""

        await until(explained)
        (attempt,) = why["attempts"]
        assert (attempt["worker"], attempt["other"]) == (result.device, other.id)
        assert attempt["expected_s"] > 0
        assert attempt["other_s"] > 0
        first = why["would_change"][0]
        assert first.startswith("attempt 1: ") and other.id in first


async def test_who_asks_while_a_model_is_on_its_way_to_another_device_is_told_how_far_it_is(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box", start=False)
        worker.engines.may_load.clear()
        await worker.start(wait=False)

        said = {}

        async def told():
            said.update(await _refusal(asker) or {})
            return "loading" in said

        await until(told)
        assert (said["loading"]["model"], said["loading"]["percent"]) == (MODEL, 30)
        assert said["loading"]["device"] == worker.id
        assert "eta_s" not in said["loading"], "nothing has come since it was first said"
        worker.engines.may_load.set()
        await until(lambda: _runs(asker))


async def _refusal(asker):
    """The facts of a job that finds no place; None where it was done."""
    try:
        await asker.run()
    except MeshError as error:
        assert error.wire_code == NowhereToRun.code
        return error.facts
    return None


async def _runs(asker):
    return await _refusal(asker) is None


async def test_one_connection_serves_many_jobs_at_once(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        results = await asyncio.gather(*(asker.run(f"text {number}") for number in range(40)))
        assert len({result.job for result in results}) == 40
        assert {result.device for result in results} == {worker.id}
        await paid(ann, ben, *(result.charge for result in results))


async def test_a_single_job_is_next_whatever_another_caller_has_waiting(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        long = "word " * 3000  # half a second by what the device says of itself: one at a time goes there
        many = [asyncio.ensure_future(asker.run(f"{number} {long}", caller="batch one")) for number in range(30)]
        line = asker.agent.parts.requester.dispatch
        await until(lambda: sum(len(one.entries) for one in line.lines.values()) == 30)
        await worker.engines.started.get()
        request = control.Run("embeddings", {"texts": [f"single {long}"]})
        single = asyncio.ensure_future(
            asyncio.to_thread(lambda: list(control.stream(asker.home.control_socket, request, WAIT_S)))
        )
        await until(lambda: sum(len(one.entries) for one in line.lines.values()) == 31)
        worker.engines.gate.set()
        *_, ran = await single
        assert isinstance(ran, control.Ran)
        await asyncio.gather(*many)
        order = [texts_of(worker.engines.started.get_nowait())[0].split()[0] for _ in range(30)]
        assert order.index("single") < 4, "behind what was at the device already, and nothing else"


async def test_long_inputs_and_results_travel_beside_the_session(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, _ = await ann.device("ann-box", work=False), await ben.device("ben-box")
        texts = ["word " * 200] * 20_00
        result = await asker.run(*texts)
        assert result.payload.manifest["count"] == len(texts)
        assert result.units == 2000 * 1000


async def test_a_device_lost_in_the_middle_costs_nothing_and_another_one_finishes(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        for worker in workers:
            worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run())
        first = await _first_started(asker, workers)
        second = next(worker for worker in workers if worker is not first)
        second.engines.gate.set()
        await first.stop()
        result = await job
        assert result.device == second.id
        assert next((one.device, one.code != "") for one in result.attempts) == (first.id, True)
        await paid(ann, ben, result.charge)


def tried(asker):
    """The attempts of the only job under way."""
    (entry,) = [entry for line in asker.agent.parts.requester.dispatch.lines.values() for entry in line.entries]
    return entry.job.tried


async def _first_started(asker, workers):
    """The worker of the first attempt, once its engine has the job. A copy at another may have begun before it."""
    await until(lambda: any(not worker.engines.started.empty() for worker in workers))
    first = next(worker for worker in workers if worker.id == tried(asker)[0].target.device)
    await until(lambda: not first.engines.started.empty())
    return first


async def test_a_silent_devices_job_is_done_elsewhere_long_before_its_silence_is_proven(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        for worker in workers:
            worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run())
        first = await _first_started(asker, workers)
        town.board.hold(asker.key, first.key)
        for worker in workers:
            worker.engines.gate.set()
        result = await job
        assert result.device != first.id
        assert result.attempts[0].code == "job.outrun"
        assert [choice.reason for choice in result.explanation.choices] == ["first", "backup"]
        town.board.release(asker.key, first.key)
        await paid(ann, ben, result.charge)
        await asker.reported()  # a claim with its Submit pays; why the job went there is the asker's own news
        why = await ann.do(calls.why(town.network, result.job))
        assert [(one["worker"], one["reason"]) for one in why["attempts"]] == [
            (first.id, "first"),
            (result.device, "backup"),
        ]
        assert all(one["expected_s"] > 0 for one in why["attempts"])


async def test_loading_a_model_is_life_and_no_reason_for_a_copy(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        for worker in workers:
            worker.engines.gate.clear()
            worker.engines.loaded = False
        heard = []
        ask = Ask(EMBEDDINGS, payload_of(["boats in the dark"]))
        job = asyncio.ensure_future(
            asker.agent.parts.requester.run(ask, lambda job, stage, fraction: heard.append(stage))
        )
        first = await _first_started(asker, workers)
        await until(lambda: heard.count("loading") >= 1)
        before = len(tried(asker))  # one, unless the machine was so busy that it was not even accepted at once
        await until(lambda: heard.count("loading") >= 4)  # far longer than such a job would take
        first.engines.loaded = True
        first.engines.gate.set()
        result = await job
        assert (result.device, len(result.attempts)) == (first.id, before)


async def test_a_lone_device_is_suspect_after_three_seconds_of_silence(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run())
        await worker.engines.started.get()
        town.board.hold(asker.key, worker.key)
        worker.engines.gate.set()
        await until(lambda: asker.agent.parts.sessions.connected(worker.key) is None)
        town.board.release(asker.key, worker.key)
        result = await job
        assert (result.device, result.attempts[0].code) == (worker.id, "session.silent")
        await paid(ann, ben, result.charge)


async def test_an_engine_that_crashes_three_times_ends_the_job_with_each_cause(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device(f"ben-{number}") for number in range(4)]
        for worker in workers:
            worker.engines.failure = EngineCrashed()
        with pytest.raises(JobFailed) as failed:
            await asker.run()
        attempts = failed.value.facts["attempts"]
        assert [one["code"] for one in attempts] == ["engine.crashed"] * 3
        assert len({one["device"] for one in attempts}) == 3
        await asker.reported()
        assert await ann.balance() == 0
        await until(lambda: _nothing_held(ann, town))


async def test_a_permit_that_comes_when_its_asker_has_given_up_holds_nothing(tmp_path, monkeypatch):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        with monkeypatch.context() as patched:
            patched.setattr(coordination, "PERMIT_S", 0.0)
            with pytest.raises(LinkDown):
                await asker.run()
        await until(lambda: _shares(town, [("ended", "no_more")]))
        assert await _nothing_held(ann, town)
        assert worker.engines.started.empty()
        await paid(ann, ben, (await asker.run()).charge)


async def _shares(town, expected):
    """How shares stand, and why they ended, in the order in which they were made."""
    where = f"file:{town.config.data / 'coordinator.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(where, uri=True)) as database:
        return database.execute("select state, end_reason from shares order by id").fetchall() == expected


async def _nothing_held(person, town):
    return (await person.do(calls.balance(town.network))).held == 0


async def test_cancelling_stops_the_engine_and_frees_what_was_held(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run())
        await worker.engines.started.get()
        assert (await ann.do(calls.balance(town.network))).held > 0
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: worker.engines.cancelled == 1)
        await until(lambda: _nothing_held(ann, town))
        assert await ann.balance() == 0


async def test_an_attempt_that_ends_before_it_has_begun_leaves_nothing_behind_on_either_side(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        there, here = worker.agent.parts.worker, asker.agent.parts.requester.dispatch
        taken, sent = there._submitted, here.send

        def cancelled_at_once(peer, stream, frame):
            taken(peer, stream, frame)
            there.frame(peer, stream, frames.Cancel(frame.job, frame.attempt))

        there._submitted = cancelled_at_once
        with pytest.raises(MeshError):
            await asker.run()
        assert (there.busy, there.load().work_s) == (0, 0), "the worker is as free as before"
        there._submitted = taken

        def taken_back_at_once(line, entry, target, choice, views):
            here.send = sent
            flight = sent(line, entry, target, choice, views)
            here.take_back(flight, "unstarted", PeerSilent())
            return flight

        here.send = taken_back_at_once
        assert (await asker.run()).device == worker.id
        assert not here.knowledge.device(worker.id).flights


async def test_a_full_device_says_so_and_the_job_ends_with_when_to_try_again(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.service_s = 100_000.0
        with pytest.raises(AllBusy) as busy:
            await asker.run()
        assert busy.value.facts["attempts"][0]["code"] == "worker.late"
        assert busy.value.facts["retry_after_s"] > 0


async def test_a_paused_device_works_for_its_owner_only(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        helper = await ben.device("ben-other", work=False)
        await until(lambda: _knows_offers(helper, worker))
        worker.agent.parts.myself.want("paused")
        with pytest.raises((AllBusy, NowhereToRun, MeshError)) as refused:
            await asker.run()
        assert refused.value.wire_code in ("job.all_busy", "placement.nowhere")
        result = await helper.run(routing=Routing("device", worker.id))
        assert (result.device, result.charge) == (worker.id, 0)


async def test_own_devices_work_for_each_other_while_the_coordinator_is_away(tmp_path):
    async with a_town(tmp_path) as (town, ann, _):
        asker, worker = await ann.device("ann-box", work=False), await ann.device("ann-server")
        await until(lambda: _knows_offers(asker, worker))
        await town.away()
        await until(lambda: not asker.agent.parts.coordination.up)
        pinned = await asker.run(routing=Routing("device", worker.id))
        free = await asker.run()
        assert {(one.device, one.charge, one.path) for one in (pinned, free)} == {(worker.id, 0, "direct")}
        await town.serve()
        await asker.reported()
        jobs = (await ann.do(calls.jobs(town.network))).jobs
        assert {one.job for one in jobs} == {pinned.job, free.job}
        assert await ann.balance() == 0


def _knows_offers(device, other):
    facts = device.agent.parts.membership.own.get(other.id)
    return facts is not None and facts.capability.offers != ()


async def test_a_device_does_its_own_jobs_by_the_same_way(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _):
        box = await ann.device("ann-box")
        result = await box.run()
        assert (result.device, result.path, result.charge) == (box.id, "local", 0)


async def test_what_was_not_reported_is_reported_once_after_a_restart(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run())
        await worker.engines.started.get()
        await town.away()
        await until(lambda: not asker.agent.parts.coordination.up)
        worker.engines.gate.set()
        result = await job
        await until(lambda: _has_outbox(asker))
        await until(lambda: _has_outbox(worker))
        for device in (asker, worker):
            await device.stop()
        await town.serve()
        await asyncio.gather(asker.start(), worker.start())
        await asker.reported()
        await worker.reported()
        await paid(ann, ben, result.charge)
        again = await asker.run()
        assert again.job != result.job
        await paid(ann, ben, result.charge, again.charge)


async def _has_outbox(device):
    return await device.agent.parts.outbox.size() > 0
