"""A network's own policy with real agents: at the permit, again at the worker, in versions, and who may change it."""

import asyncio

import msgspec
import pytest

from agents import WAIT_S, a_town, until
from mesh.errors import MeshError, RemoteError
from mesh.policies.default import DEFAULT_TEXT
from mesh.protocol.values import Policy, Routing
from mesh.sdk import calls
from mesh.sdk.client import Coordinator

pytestmark = pytest.mark.anyio

ONLY_CHAT = """
grants:
  - {name: chat for all, workload: chat}
tests:
  - {name: chat, workload: chat, expect: allow}
  - {name: no vectors, workload: embeddings, expect: deny}
"""
FAILING = DEFAULT_TEXT.replace("  - name: guests run public data\n    role: guest\n    sensitivity: public\n",
                               "  - name: guests run all\n    role: guest\n")  # fmt: skip


async def policy(person, town):
    return await person.do(calls.policy(town.network))


async def save(person, town, text, base):
    return (await person.do(calls.save_policy(town.network, text, base))).version


async def refused(person, call):
    with pytest.raises(RemoteError) as error:
        await person.do(call)
    return error.value


async def told(device, version):
    await until(lambda: device.agent.parts.membership.state.policy_version == version)


async def test_what_no_grant_allows_is_refused_at_the_permit_and_said_why(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        assert (await asker.run("before")).device == worker.id
        assert await save(ann, town, ONLY_CHAT, 0) == 1
        await told(worker, 1)
        await told(asker, 1)
        with pytest.raises(MeshError) as error:
            await asker.run("after", limit_s=60.0)
        assert error.value.wire_code == "placement.nowhere"
        gates = {(one["device"], one["gate"]): one["reason"] for one in error.value.facts["gates"]}
        assert gates[worker.id, "policy"] == "no grant allows it; nearest: chat for all, which needs workload chat"
        own = await worker.run("one's own device takes one's own work")
        assert (own.device, own.charge) == (worker.id, 0)


async def test_the_worker_decides_again_by_the_signed_state(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        membership = worker.agent.parts.membership
        membership.state = msgspec.structs.replace(membership.state, policy=Policy())  # it has heard of a change first
        routing = Routing("device", device=worker.id)
        with pytest.raises(Exception) as error:
            await asker.run("permitted, and still not taken", routing=routing)
        assert "worker.not_allowed" in str(error.value.facts) or error.value.wire_code in (
            "job.all_busy",
            "placement.nowhere",
        )
        assert worker.engines.started.empty()


async def test_sensitive_data_leaves_ones_own_devices_for_a_named_admins_device_alone(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        await ann.device("ann-box")
        asked = {"sensitivity": "sensitive", "device": "ann-box"}
        [anywhere] = (await ben.do(calls.policy_why(town.network, asked))).decisions
        assert not anywhere.allowed and "a device that is named" in anywhere.reason
        [named] = (await ben.do(calls.policy_why(town.network, {**asked, "named": "true"}))).decisions
        assert (named.allowed, named.rule) == (True, "members name an admin's device for sensitive data")


async def test_versions_say_who_when_and_why_and_a_stale_draft_overwrites_nothing(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        first = await policy(ann, town)
        assert (first.version, first.text, first.current) == (0, DEFAULT_TEXT, True)
        await ann.do(calls.save_policy(town.network, ONLY_CHAT, 0, "for the evening"))
        error = await refused(ann, calls.save_policy(town.network, DEFAULT_TEXT, 0))
        assert (error.wire_code, error.wire_kind) == ("policy.stale", "conflict")
        assert (error.facts["base"], error.facts["current"]) == (0, 1)
        assert await save(ann, town, DEFAULT_TEXT, 1) == 2
        listed = (await ann.do(calls.policy_versions(town.network))).versions
        assert [(one.version, one.note, one.name) for one in listed] == [(2, "", "Ann"), (1, "for the evening", "Ann")]
        earlier = await ann.do(calls.policy(town.network, 1))
        assert (earlier.text, earlier.current, earlier.by) == (ONLY_CHAT, False, ann.member)
        assert (await refused(ann, calls.policy(town.network, 9))).wire_code == "policy.no_version"


async def test_a_failing_test_is_named_with_both_lines_and_nothing_is_saved(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        error = await refused(ann, calls.save_policy(town.network, FAILING, 0))
        assert error.wire_code == "policy.tests_fail"
        [failing] = error.facts["tests"]
        lines = FAILING.splitlines()
        assert "guests stay public" in lines[failing["line"] - 1]
        assert "guests run all" in lines[failing["grant_line"] - 1]
        assert f"Line {failing['grant_line']} allows" in error.message and "guests stay public" in error.message
        assert (await policy(ann, town)).version == 0
        tried = await ann.do(calls.try_policy(town.network, FAILING))
        assert [one.name for one in tried.tests if not one.passed] == ["guests stay public"]


async def test_a_draft_says_who_could_run_what_tomorrow(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        worker = await ben.device("ben-box")
        lea = await town.person("Lea", await ann.link("member", role="guest"))
        tried = await ann.do(calls.try_policy(town.network, FAILING.split("tests:")[0]))
        gained = {(one.member, one.sensitivity, one.device) for one in tried.changes if one.allowed}
        assert gained == {(lea.member, "private", worker.id)}
        assert "Guests may run everything on any device." in tried.words
        assert (await ann.do(calls.try_policy(town.network))).changes == ()
        assert (await policy(ann, town)).version == 0, "trying saves nothing"


async def test_only_admins_change_it_and_everybody_may_ask_why(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        await ben.device("ben-box")
        for call in (calls.save_policy(town.network, ONLY_CHAT, 0), calls.try_policy(town.network)):
            assert (await refused(ben, call)).wire_code == "members.not_allowed"
        assert (await policy(ben, town)).version == 0
        [decision] = (await ben.do(calls.policy_why(town.network, {"member": "Ann"}))).decisions
        assert (decision.allowed, decision.rule) == (True, "members share their devices")
        for asked, code in (
            ({"member": "Nobody"}, "policy.unknown_name"),
            ({"device": "nowhere"}, "policy.unknown_name"),
            ({"at": "noon"}, "policy.bad_moment"),
            ({"sensitivity": "secret"}, "request.invalid"),
            ({"surprise": "1"}, "request.invalid"),
        ):
            assert (await refused(ben, calls.policy_why(town.network, asked))).wire_code == code
        assert (await refused(ann, calls.save_policy(town.network, "- [", 0))).wire_code == "policy.invalid"


async def test_the_same_save_again_is_one_version(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        call = calls.save_policy(town.network, ONLY_CHAT, 0)

        def twice():
            with Coordinator(ann.record, ann.session.token) as client:
                body = {"text": ONLY_CHAT, "base_version": 0, "note": ""}
                headers = {"idempotency-key": "once", "authorization": f"Bearer {ann.session.token}"}
                return [client._http.put(call.path, json=body, headers=headers).json() for _ in range(2)]

        first, again = await asyncio.wait_for(asyncio.to_thread(twice), WAIT_S)
        assert first == again == {"version": 1}
        assert len((await ann.do(calls.policy_versions(town.network))).versions) == 1


async def test_it_holds_over_a_restart_of_the_coordinator(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await save(ann, town, ONLY_CHAT, 0)
        await town.away()
        await town.serve()
        await until(lambda: asker.agent.parts.coordination.up and worker.agent.parts.coordination.up)
        assert (await policy(ann, town)).version == 1
        with pytest.raises(MeshError) as error:
            await asker.run("after", limit_s=61.0)
        assert error.value.wire_code == "placement.nowhere"
        await told(worker, 1)
        assert worker.agent.parts.membership.state.policy.grants[0].name == "chat for all"
