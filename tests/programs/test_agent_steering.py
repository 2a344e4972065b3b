"""Pause, drain and resume, here and from afar; and a device that works for others by its owner's terms alone."""

import asyncio

import pytest

from agents import a_town, until
from mesh.devices.contribution import Terms
from mesh.errors import MeshError
from mesh.protocol.values import Routing
from mesh.sdk import calls, control

pytestmark = pytest.mark.anyio


async def state_of(person, town, device):
    listed = (await person.do(calls.devices(town.network))).devices
    return next(one.state for one in listed if one.device == device.id)


async def shown(person, town, device, state):
    async def as_wanted():
        return await state_of(person, town, device) == state

    await until(as_wanted)


async def code_of(work):
    with pytest.raises(MeshError) as refused:
        await work
    return refused.value.wire_code


async def test_an_owner_pauses_from_afar_and_an_admin_lifts_only_what_an_admin_did(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        worker, other = await ben.device("ben-box"), await ann.device("ann-box")
        wants = worker.agent.parts.myself
        await ben.do(calls.steer_device(town.network, worker.id, "paused"))
        await shown(ben, town, worker, "paused")
        await ann.do(calls.steer_device(town.network, worker.id, "ready"))  # Ann is the admin
        await ann.do(calls.steer_device(town.network, worker.id, "draining"))
        await shown(ben, town, worker, "draining")
        assert wants.set_by == "admin"
        await ann.do(calls.steer_device(town.network, worker.id, "ready"))
        await shown(ben, town, worker, "paused")
        assert wants.set_by == "owner"
        await ben.do(calls.steer_device(town.network, worker.id, "ready"))
        await shown(ben, town, worker, "ready")
        assert await code_of(ben.do(calls.steer_device(town.network, other.id, "paused"))) == "members.not_allowed"
        assert await code_of(ben.do(calls.steer_device(town.network, town.network, "paused"))) == "device.not_found"
        await worker.stop()
        await until(lambda: code_is_away(ben, town, worker))


async def code_is_away(person, town, device):
    try:
        await person.do(calls.steer_device(town.network, device.id, "ready"))
    except MeshError as error:
        return error.wire_code == "device.away"
    return False


async def test_a_pause_hands_back_what_waits_for_others_and_finishes_what_runs(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        worker.engines.service_s = 5.0
        running = asyncio.ensure_future(asker.run("one", limit_s=60.0))
        await worker.engines.started.get()
        waiting = asyncio.ensure_future(code_of(asker.run("two", limit_s=60.0)))
        await until(lambda: worker.agent.parts.worker.busy == 2)
        worker.agent.parts.myself.want("paused")
        assert await waiting in ("job.all_busy", "placement.nowhere")
        worker.engines.gate.set()
        assert (await running).device == worker.id


async def test_a_pause_and_the_terms_outlive_a_restart_and_a_drain_does_not(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben):
        box = await ann.device("ann-box")
        terms = Terms(idle_below=0.25, jobs_max=3, share=0.5)
        await ask(box, control.SetTerms(terms))
        await ask(box, control.SetState("paused"))
        await box.stop()
        await box.start()
        myself = box.agent.parts.myself
        assert (myself.wanted, myself.terms, box.engines.others_share) == ("paused", terms, 0.5)
        assert box.agent.parts.worker.work.others_max == 3
        await ask(box, control.SetState("draining"))
        assert await code_of(box.run(routing=Routing("device", box.id))) == "placement.nowhere"
        await box.stop()
        await box.start()
        assert box.agent.parts.myself.wanted == "ready"
        assert (await box.run()).device == box.id


async def ask(device, request):
    return await asyncio.to_thread(control.ask, device.home.control_socket, request, 60.0)


async def test_who_does_not_contribute_works_for_its_owner_and_the_gate_says_why_for_others(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        status = await ask(worker, control.SetTerms(Terms(on=False)))
        assert status.limit == "contribution is switched off"
        await until(lambda: why_not(asker, worker, "its owner has contribution switched off"))
        assert (await worker.run()).device == worker.id
        with pytest.raises(MeshError) as refused:
            await ask(worker, control.SetTerms(Terms(share=7.0)))
        assert refused.value.wire_code == "contribution.bad_terms"
        await ask(worker, control.SetTerms(Terms()))
        await until(lambda: works(asker, worker))


async def works(asker, worker):
    try:
        return (await asker.run()).device == worker.id
    except MeshError:
        return False


async def why_not(asker, worker, reason):
    try:
        await asker.run()
    except MeshError as error:
        gates = error.facts.get("gates", ())
        return any(one["device"] == worker.id and one["reason"] == reason for one in gates)
    return False


async def test_the_worker_itself_refuses_by_its_terms_and_says_when_to_ask_again(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await asker.run()  # a permit for more is at hand
        worker.agent.parts.myself.on_change = lambda: None  # the coordinator does not hear of it
        worker.agent.parts.myself.agree(Terms(on=False))
        with pytest.raises(MeshError) as refused:
            await asker.run()
        assert refused.value.wire_code == "job.all_busy"
        assert refused.value.facts["attempts"][0]["code"] == "worker.not_contributing"
        assert refused.value.facts["retry_after_s"] > 0


async def test_the_owners_jobs_are_told_to_the_engine_as_the_first(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await asker.run()
        await worker.run()
        assert [turn.first for turn in worker.engines.turns] == [False, True]
