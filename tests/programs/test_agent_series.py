"""Series of jobs between real agents: no waiting for the coordinator, also while it is away; closed when unused."""

import asyncio

import msgspec
import pytest

from agents import a_town, until
from mesh.agent.asking import series as keeping
from mesh.errors import MeshError
from mesh.jobs.dispatch import WINDOW_MAX
from mesh.protocol import frames, link
from mesh.protocol.values import Routing
from mesh.sdk import calls
from programs.test_blamed_inputs import UNREADABLE, refused, workers_of

pytestmark = pytest.mark.anyio


class Asked:
    """Every permit request that an agent sends."""

    def __init__(self, device):
        self.requests = []
        self._coordination = device.agent.parts.coordination
        self._send = self._coordination._client.send
        self._coordination._client.send = self.send

    async def send(self, message):
        if isinstance(message, link.PermitRequest):
            self.requests.append(message)
        await self._send(message)

    @property
    def alone(self):
        return [request for request in self.requests if request.job is not None]

    @property
    def series(self):
        return [request for request in self.requests if request.job is None]


def kinds(device):
    return list(device.agent.parts.planner.series._kinds.values())


async def in_series(device, more=""):
    """Two jobs, and the series that the second one asked for."""
    await device.run(f"one{more}")
    await device.run(f"two{more}")
    await until(lambda: kinds(device)[0].series is not None)


async def held(person):
    return int((await person.do(calls.balance(person._town.network))).held)


async def test_from_the_third_job_on_nothing_is_asked_of_the_coordinator(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asked = Asked(asker)
        await in_series(asker)
        assert [request.jobs for request in asked.series] == [240], "two jobs in a second, for two minutes"
        results = [await asker.run(f"text {number}") for number in range(10)]
        assert (len(asked.alone), len(asked.series)) == (2, 1)
        assert {result.device for result in results} == {worker.id}
        assert all(result.explanation.chosen == worker.id for result in results)
        charge = sum(result.charge for result in results)
        await asker.reported()
        await until(lambda: _spent(ann, charge))
        assert (await ann.do(calls.verify(town.network))).ok


async def test_a_job_that_is_planned_anew_is_no_further_one_of_its_kind(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        await workers_of(ben, [UNREADABLE], "ben-box")
        asked = Asked(asker)
        assert (await refused(asker)).wire_code == UNREADABLE
        assert (len(asked.alone), asked.series) == (2, []), "nothing is set aside for jobs that nobody asked for"


async def _spent(person, least):
    return await person.balance() <= -least


async def test_while_the_coordinator_is_away_a_warm_series_goes_on_and_is_settled_afterwards(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await in_series(asker)
        await town.away()
        await until(lambda: not asker.agent.parts.coordination.up)
        results = await asyncio.gather(*(asker.run(f"text {number}") for number in range(20)))
        assert {result.device for result in results} == {worker.id}
        await town.serve()
        await asker.reported()
        await worker.reported()
        listed = await ann.do(calls.jobs(town.network, limit=50))
        assert len(listed.jobs) == 22
        await until(lambda: _spent(ann, sum(result.charge for result in results)))
        assert (await ann.do(calls.verify(town.network))).ok


async def test_what_is_held_for_a_series_comes_back_when_the_agent_leaves(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await in_series(asker)
        await asker.run("three")
        assert await held(ann) > 0
        await asker.stop()
        await asker.start()
        await asker.reported()
        await worker.reported()
        await until(lambda: _nothing_held(ann))


async def _nothing_held(person):
    return await held(person) == 0


async def test_a_series_that_nobody_uses_is_closed_and_its_hold_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "IDLE_S", 0.05)
    monkeypatch.setattr(keeping, "LOOK_S", 0.05)
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await asker.run("one")
        await asker.run("two")
        await until(lambda: not kinds(asker))
        await asker.reported()
        await worker.reported()
        await until(lambda: _nothing_held(ann))


async def test_the_next_series_is_asked_for_at_half_and_no_job_waits(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, _ = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asked = Asked(asker)
        await in_series(asker)
        first = kinds(asker)[0].series
        for _ in range(13):
            await asyncio.gather(*(asker.run("four") for _ in range(10)))
        await until(lambda: kinds(asker)[0].series is not first)
        assert first.retired
        assert len(asked.series) == 2
        assert len(asked.alone) == 2
        await asker.reported()
        assert (await ann.do(calls.verify(town.network))).ok


async def test_a_job_larger_than_what_is_left_has_a_permit_of_its_own(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asked = Asked(asker)
        await in_series(asker)
        result = await asker.run("long " * 2000)
        assert (result.device, len(asked.alone)) == (worker.id, 3)


async def test_jobs_of_another_kind_or_over_their_limit_are_not_in_the_series(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asked = Asked(asker)
        await in_series(asker)
        await asker.run("public", sensitivity="public")
        await asker.run("there", routing=Routing("device", worker.id))
        assert len(asked.alone) == 4
        assert len({request.spec.sensitivity for request in asked.alone}) == 2


async def test_a_change_of_the_network_ends_the_series(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        asked = Asked(asker)
        await in_series(asker)
        first = kinds(asker)[0].series
        other = await ben.device("ben-other", start=False)
        await ben.do(calls.remove_device(_town.network, other.home.read().device.id))
        await until(lambda: asker.agent.parts.membership.epoch > first.epoch)
        result = await asker.run("three")
        assert first.retired
        assert result.device == worker.id
        await until(lambda: len(asked.series) == 2)


async def test_under_a_strict_line_a_series_holds_no_more_than_there_is(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        await ann.do(calls.change_settings(town.network, {"credit_line": "strict"}))
        asker, _ = await ann.device("ann-box", work=False), await ben.device("ben-box")
        welcome, texts = await ann.balance(), ["word " * 200] * 2000
        await asker.run(*texts)
        charge = (await asker.run(*texts)).charge
        assert 100 * charge > welcome > 10 * charge
        await until(lambda: kinds(asker)[0].series is not None)
        permit = kinds(asker)[0].series.plan.permit
        assert 10 * charge < permit.maximum <= welcome - charge
        assert await held(ann) <= welcome
        await asker.run(*texts)
        assert (await ann.do(calls.verify(town.network))).ok


async def test_ones_own_device_is_used_without_asking_each_time(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben):
        asker, worker = await ann.device("ann-box", work=False), await ann.device("ann-other")
        asked = Asked(asker)
        await in_series(asker)
        results = [await asker.run(f"text {number}") for number in range(5)]
        assert {(result.device, result.charge) for result in results} == {(worker.id, 0)}
        assert len(asked.alone) == 2


async def test_the_token_of_a_series_travels_once_and_again_after_a_restart_of_the_worker(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await in_series(asker)
        shown = []
        check = worker.agent.parts.worker._submitted

        def submitted(peer, stream, frame):
            shown.append(frame.permit is not None)
            check(peer, stream, frame)

        worker.agent.parts.worker._submitted = submitted
        results = [await asker.run(f"text {number}") for number in range(4)]
        assert shown == [True, False, False, False]
        await worker.stop()
        await worker.start()
        results += [await asker.run(f"text {number}") for number in range(2)]
        assert {result.device for result in results} == {worker.id}


async def test_a_token_that_a_worker_turned_away_is_shown_again(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await in_series(asker)
        serving = worker.agent.parts.worker

        def blind(peer, stream, frame):
            seen = msgspec.structs.replace(frame, permit=None) if isinstance(frame, frames.Submit) else frame
            type(serving).frame(serving, peer, stream, seen)

        serving.frame = blind
        with pytest.raises(MeshError):
            await asker.run("three")
        del serving.frame
        assert (await asker.run("four")).device == worker.id


LONG = "word " * 3000
"""Half a second of work, by what the devices say of themselves."""


def waiting(device):
    return sum(len(line.waiting) for line in device.agent.parts.requester.dispatch.lines.values())


@pytest.mark.parametrize("warm", [True, False], ids=["under a series", "under permits of their own"])
async def test_a_device_that_comes_while_jobs_wait_gets_of_them_at_once(tmp_path, warm):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        if warm:
            await in_series(asker, LONG)
        worker.engines.gate.clear()
        jobs = [asyncio.ensure_future(asker.run(f"{number} {LONG}")) for number in range(WINDOW_MAX + 6)]
        await until(lambda: asker.agent.parts.requester.running == len(jobs) and waiting(asker) >= 6)
        fresh = await ben.device("ben-other")
        await fresh.engines.started.get()  # a permit lasts for minutes, and its first job is held
        worker.engines.gate.set()
        results = await asyncio.gather(*jobs)
        assert {result.device for result in results} == {worker.id, fresh.id}
        assert len({result.job for result in results}) == len(jobs)
        await asker.stop()
        await asker.start()
        await asker.reported()
        await until(lambda: _nothing_held(ann))
        assert (await ann.do(calls.verify(town.network))).ok
