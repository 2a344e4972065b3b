"""What a job asks for: its price said beforehand, needs as gates, impossible wishes refused, waiting for a device."""

import asyncio
import math
import socket

import pytest

from agents import EMBEDDINGS, MODEL, WAIT_S, a_town, until
from mesh.errors import MeshError, RemoteError
from mesh.protocol.values import Need, Routing
from mesh.sdk import calls, control

pytestmark = pytest.mark.anyio
TEXTS = {"texts": ["a harbour at night", "boats in the dark"]}
PRICE = 130
"""35 bytes at 3,700 micro-credits a kilobyte, rounded up."""


def a_run(**terms):
    return control.Run("embeddings", TEXTS, **terms)


async def ask(device, request):
    return await asyncio.to_thread(lambda: list(control.stream(device.home.control_socket, request, WAIT_S)))


async def refused(device, request):
    with pytest.raises(RemoteError) as error:
        await ask(device, request)
    return error.value


async def estimate(device, **terms):
    [found] = await ask(device, control.Estimate(a_run(**terms)))
    return found


async def test_the_price_is_said_before_and_nothing_is_set_aside_for_it(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        said = await estimate(asker)
        assert (said.device, said.cost, said.error) == (worker.id, PRICE, None)
        assert said.expected_s > 0
        assert (await ann.do(calls.balance(town.network))).held == 0
        assert worker.engines.started.empty()
        *_, ran = await ask(asker, a_run())
        assert (ran.device, ran.charge) == (said.device, said.cost)
        free = await estimate(worker)
        assert (free.device, free.cost) == (worker.id, 0)
        pinned = await estimate(worker, routing=Routing("device", device=worker.id))
        assert (pinned.device, pinned.cost) == (worker.id, 0)
        dear = await estimate(asker, max_cost=PRICE - 1)
        assert (dear.device, dear.error["code"]) == (None, "placement.nowhere")
        assert "cost" in {gate.gate for gate in dear.explanation.refused}


async def test_how_far_a_device_is_counts_once_there_is_a_connection(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, box = await ann.device("ann-box", work=False), await ben.device("ben-box")
        assumed = (await estimate(asker)).explanation.scores[0]
        await asker.run("a harbour at night")
        measured = (await estimate(asker)).explanation.scores[0]
        assert assumed.device == measured.device == box.id
        assert measured.terms["rtt"] > assumed.terms["rtt"], "a millisecond, where none was known"


async def test_without_a_coordinator_ones_own_devices_are_looked_at(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        box = await ann.device("ann-box")
        await town.away()
        await until(lambda: not box.agent.parts.coordination.up)
        said = await estimate(box)
        assert (said.device, said.cost) == (box.id, 0)
        gone = await estimate(box, need=Need(gpu=True))
        assert (gone.device, gone.error["code"]) == (None, "placement.nowhere")


@pytest.mark.parametrize(
    ("need", "gate"),
    [
        (Need(tier_min=4), "tier"),
        (Need(gpu=True), "gpu"),
        (Need(memory_bytes=1 << 49), "memory"),
        (Need(tags=("blue",)), "tags"),
        (Need(latency_s=0.0001), "latency"),
    ],
)
async def test_a_need_that_nobody_meets_names_its_gate_for_every_device(tmp_path, need, gate):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        error = await refused(asker, a_run(need=need))
        assert error.wire_code == "placement.nowhere"
        assert (worker.id, gate) in {(one["device"], one["gate"]) for one in error.facts["gates"]}
        assert worker.engines.started.empty()


@pytest.mark.parametrize(
    ("terms", "what"),
    [
        ({"limit_s": 0.0}, "limit_s"),
        ({"limit_s": -1.0}, "limit_s"),
        ({"limit_s": 1e9}, "limit_s"),
        ({"max_cost": -1}, "max_cost"),
        ({"max_cost": 2**62}, "max_cost"),
        ({"need": Need(tier_min=-1)}, "need.tier_min"),
        ({"need": Need(tier_min=5)}, "need.tier_min"),
        ({"need": Need(memory_bytes=-1)}, "need.memory_bytes"),
        ({"need": Need(memory_bytes=1 << 60)}, "need.memory_bytes"),
        ({"need": Need(tags=("x",) * 17)}, "need.tags"),
        ({"need": Need(tags=("",))}, "need.tags"),
        ({"need": Need(latency_s=0.0)}, "need.latency_s"),
        ({"routing": Routing("tier", tier=5)}, "routing.tier"),
        ({"routing": Routing("tier")}, "routing.tier"),
        ({"routing": Routing("device")}, "routing.device"),
        ({"model": "m" * 64}, "model"),
    ],
)
async def test_impossible_wishes_are_refused_by_name_before_anybody_is_asked(tmp_path, terms, what):
    async with a_town(tmp_path) as (town, ann, _ben):
        box = await ann.device("ann-box")
        for wait in (False, True):
            error = await refused(box, a_run(**terms, wait=wait))
            assert (error.wire_code, error.facts["what"]) == ("jobs.bad_spec", what)
        assert (await refused(box, control.Estimate(a_run(**terms)))).wire_code == "jobs.bad_spec"
        assert box.engines.started.empty()
        await town.away()
        await until(lambda: not box.agent.parts.coordination.up)
        assert (await refused(box, a_run(**terms))).wire_code == "jobs.bad_spec"


async def test_what_is_unknown_is_named(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        assert (await refused(asker, control.Run("magic", TEXTS))).wire_code == "workload.unknown"
        error = await refused(asker, a_run(model="nobody-has-it"))
        assert error.wire_code == "placement.nowhere"
        gates = {(one["device"], one["gate"]): one["reason"] for one in error.facts["gates"]}
        assert "nobody-has-it" in gates[worker.id, "model"]
        pinned = await refused(asker, a_run(routing=Routing("device", device="01NOSUCHDEVICE00000000000")))
        assert {one["gate"] for one in pinned.facts["gates"]} >= {"routing"}


async def test_every_way_of_routing_leads_where_it_says(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        one, other = await ben.device("ben-one"), await ben.device("ben-other")
        tier = other.agent.parts.myself.capability().tier
        for routing, expected in (
            (Routing("device", device=one.id), {one.id}),
            (Routing("device", device=other.id), {other.id}),
            (Routing("tier", tier=tier), {one.id, other.id}),
            (Routing("local"), {one.id, other.id}),
            (Routing("auto"), {one.id, other.id}),
        ):
            *_, ran = await ask(asker, a_run(routing=routing))
            assert ran.device in expected
        local = (await ask(asker, a_run(routing=Routing("local"))))[-1].explanation
        assert all(score.terms["local"] == 1.0 for score in local.scores), "all of them are behind one address"


async def test_a_job_waits_for_a_device_says_why_and_leaves_no_other_record(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        waits: asyncio.Queue[control.Waiting] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def follow():
            for answer in control.stream(asker.home.control_socket, a_run(wait=True), WAIT_S):
                if isinstance(answer, control.Waiting):
                    loop.call_soon_threadsafe(waits.put_nowait, answer)
            return answer

        following = asyncio.create_task(asyncio.to_thread(follow))
        waiting = await waits.get()
        assert waiting.error["code"] == "placement.nowhere"
        assert {one["gate"] for one in waiting.error["facts"]["gates"]} >= {"model"}
        assert waiting.retry_s > 0
        worker = await ben.device("ben-box")
        ran = await following
        assert (ran.device, ran.job) == (worker.id, waiting.job)
        await asker.reported()
        assert [one.job for one in (await ann.do(calls.jobs(town.network))).jobs] == [ran.job]


async def test_whoever_stops_waiting_leaves_nothing_behind(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)

        def look_and_leave():
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(WAIT_S)
                with control.reachable(asker.home.control_socket) as name:
                    connection.connect(name)
                connection.sendall(control.encode(a_run(wait=True)))
                return control.decode_answer(connection.makefile("rb").readline())

        assert isinstance(await asyncio.to_thread(look_and_leave), control.Waiting)
        worker = await ben.device("ben-box")
        await until(lambda: asker.agent.parts.requester.running == 0)
        await ask(asker, a_run())
        assert worker.engines.started.qsize() == 1
        assert len((await ann.do(calls.jobs(town.network))).jobs) <= 1


async def test_waiting_does_not_help_against_what_is_wrong_with_the_input(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben):
        box = await ann.device("ann-box")
        assert (await refused(box, control.Run("embeddings", {"texts": []}, wait=True))).wire_code == "input.empty"


async def test_permits_of_one_person_are_limited_where_the_network_says_so(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await ann.do(calls.change_settings(town.network, {"permits_per_member": 1}))
        worker.engines.gate.clear()
        held = asyncio.create_task(asker.run("one that is held", limit_s=WAIT_S))
        await worker.engines.started.get()
        error = await refused(asker, a_run(limit_s=60.0))
        assert {one["gate"] for one in error.facts["gates"]} >= {"permits"}
        worker.engines.gate.set()
        await held

        async def open_again():
            try:
                return bool(await ask(asker, a_run(limit_s=61.0)))
            except MeshError:
                return False

        await until(open_again)


async def test_a_networks_weights_and_limits_are_set_by_its_admins_alone(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        fresh = {"seconds": 0.4, "rtt": 0.25}
        await ann.do(calls.change_settings(town.network, {"weights": fresh}))
        found = await ben.do(calls.settings(town.network))
        assert (found.weights["seconds"], found.weights["rtt"]) == (0.4, 0.25)
        assert math.isclose(sum(found.weights.values()), 1.0)
        for wrong in ({"seconds": 0.9}, {"speed": 0.1}, {"seconds": -0.5, "rtt": 1.15}):
            with pytest.raises(RemoteError) as error:
                await ann.do(calls.change_settings(town.network, {"weights": wrong}))
            assert error.value.wire_code == "network.bad_weights"
        with pytest.raises(RemoteError) as error:
            await ann.do(calls.change_settings(town.network, {"permits_per_member": -1}))
        assert error.value.wire_code == "network.bad_setting"
        with pytest.raises(RemoteError) as error:
            await ben.do(calls.change_settings(town.network, {"permits_per_member": 5}))
        assert error.value.wire_kind == "forbidden"
        assert await ben.do(calls.settings(town.network)) == found


async def test_an_estimate_is_made_by_the_networks_own_weights(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await ann.do(
            calls.change_settings(
                town.network,
                {"weights": {"seconds": 0.0, "rtt": 0.0, "plugged": 0.0, "thermal": 0.0, "idle": 0.0, "cost": 1.0}},
            )
        )
        [score] = (await estimate(asker)).explanation.scores
        assert (score.device, score.terms["seconds"], score.total) == (worker.id, 0.0, score.terms["cost"])
        assert (EMBEDDINGS.default_model, score.total) == (MODEL, sum(score.terms.values()))
