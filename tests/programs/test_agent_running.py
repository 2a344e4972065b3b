"""Jobs that run are seen with their device, and are stopped from anywhere by whose they are, and by nobody else."""

import asyncio

import pytest

from agents import a_town, until
from mesh.coordinator.telling.running import WORKER_JOBS_MAX, Running, RunningJobs
from mesh.errors import MeshError
from mesh.protocol.link import Started
from mesh.protocol.values import Routing
from mesh.sdk import calls

pytestmark = pytest.mark.anyio


async def listed(person, town):
    return (await person.do(calls.jobs(town.network))).jobs


async def at_work(person, town, worker):
    return [one for one in await listed(person, town) if (one.state, one.device) == ("running", worker.id)]


@pytest.mark.parametrize("own", [False, True])
async def test_a_running_job_is_seen_with_its_device_and_cancelled_through_the_coordinator(tmp_path, own):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        worker = await (ann if own else ben).device("worker")
        worker.engines.gate.clear()
        if own:
            await until(lambda: offers(asker, worker))
        routing = Routing("device", worker.id) if own else Routing()
        job = asyncio.ensure_future(asker.run(routing=routing))
        await worker.engines.started.get()
        await until(lambda: at_work(ann, town, worker))
        (line,) = await at_work(ann, town, worker)
        assert (line.own, line.requester, line.workload) == (own, asker.id, "embeddings")
        if not own:
            assert not await at_work(ben, town, worker), "it is Ann's job"
        with pytest.raises(MeshError) as refused:
            await ben.do(calls.cancel(town.network, line.job))
        assert refused.value.wire_code == "job.not_found"
        assert worker.engines.cancelled == 0
        await ann.do(calls.cancel(town.network, line.job))
        with pytest.raises(asyncio.CancelledError):
            await job
        await until(lambda: worker.engines.cancelled == 1)
        await until(lambda: ended(ann, town, line.job))
        assert worker.agent.parts.worker.busy == 0


def offers(device, other):
    facts = device.agent.parts.membership.own.get(other.id)
    return facts is not None and facts.capability.offers != ()


async def ended(person, town, job):
    return all(one.state == "cancelled" for one in await listed(person, town) if one.job == job)


async def test_what_a_worker_runs_is_forgotten_with_its_link(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        box = await ann.device("ann-box")
        box.engines.gate.clear()
        job = asyncio.ensure_future(box.run())
        await until(lambda: at_work(ann, town, box))
        await box.stop()
        with pytest.raises(asyncio.CancelledError):
            await job

        async def gone():
            return not await at_work(ann, town, box)

        await until(gone)


def test_a_worker_shows_so_many_jobs_at_most_and_none_after_its_end():
    view = RunningJobs()
    for number in range(2 * WORKER_JOBS_MAX):
        view.told(Running("N", f"J{number}", "ann", "A", "W", False, 0, Started(f"J{number}", 1, "A")))
    assert len(list(view.of("N"))) == WORKER_JOBS_MAX
    view.told(Running("N", "J0", "ann", "A", "W", False, 0, Started("J0", 1, "A", ended=True)))
    assert not list(view.of("N", job="J0")) and not list(view.of("M")) and not list(view.of("N", "ben"))
    view.told(Running("N", "J0", "ann", "A", "V", False, 0, Started("J0", 1, "A", workload="x" * 100)))
    assert not list(view.of("N", job="J0")), "names are short"
    view.forget("W")
    assert not list(view.of("N"))
