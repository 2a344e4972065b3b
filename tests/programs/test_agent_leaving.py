"""Leaving: a removed device is cut off in the middle of its work, stays out, and what it did still counts."""

import asyncio
import json
import shutil

import pytest

from agents import Device, a_town, until
from mesh.agent.main import DeviceRemoved
from mesh.errors import MeshError
from mesh.protocol import signed
from mesh.protocol.papers import Certificate
from mesh.protocol.values import Routing
from mesh.sdk import calls
from mesh.sdk.home import Home

pytestmark = pytest.mark.anyio
CUT_S = 20.0
GONE = {"peer.removed", "transport.lost", "transport.failed"}
"""Either the State says it first, or the removed device's own end of the connection."""


async def removed(town, person, device):
    await person.do(calls.remove_device(town.network, device.id))


async def ended(device):
    """The device's agent ends by itself, because it was removed."""
    with pytest.raises(DeviceRemoved):
        await device.end(CUT_S)


async def a_device_that_may_leave(person, name):
    return await (await person.device(name, start=False)).start(alone=True)


async def test_a_worker_removed_in_mid_work_loses_the_job_to_another_within_seconds(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        leaving = await a_device_that_may_leave(ben, "leaving")
        leaving.engines.gate.clear()
        running = asyncio.create_task(asker.run("boats"))
        await until(lambda: not leaving.engines.started.empty())
        staying = await ben.device("staying")
        async with asyncio.timeout(CUT_S):
            await removed(town, ann, leaving)
            result = await running
        assert result.device == staying.id
        first, second = result.attempts
        assert (first.device, second.device) == (leaving.id, staying.id)
        assert first.code in GONE and second.code == ""
        await ended(leaving)
        assert leaving.engines.cancelled == 1, "the removed device stops working"


async def test_a_job_pinned_to_a_removed_device_fails_and_says_so(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        leaving = await a_device_that_may_leave(ben, "leaving")
        leaving.engines.gate.clear()
        running = asyncio.create_task(asker.run("boats", routing=Routing("device", device=leaving.id)))
        await until(lambda: not leaving.engines.started.empty())
        await removed(town, ann, leaving)
        async with asyncio.timeout(CUT_S):
            with pytest.raises(MeshError) as refused:
                await running
        assert refused.value.wire_code in ("job.failed", "placement.nowhere", "placement.unknown_device")
        await ended(leaving)
        await asker.reported()
        assert await ann.balance() == 0


async def test_a_removal_travels_between_peers_and_no_restart_undoes_it(tmp_path):
    async with a_town(tmp_path) as (town, ann, _):
        first, second = await ann.device("first", work=False), await ann.device("second")
        leaving = await a_device_that_may_leave(ann, "leaving")
        key = leaving.key
        await until(lambda: second.agent.parts.membership.known(key))
        await until(lambda: second.id in first.agent.parts.membership.own)
        await until(lambda: remembered(second, key))
        await second.stop()
        await removed(town, ann, leaving)
        await ended(leaving)
        await until(lambda: not first.agent.parts.membership.known(key))
        epoch = first.agent.parts.membership.epoch
        await town.away()
        await second.start()
        membership = second.agent.parts.membership
        assert membership.known(key) and membership.epoch < epoch, "it was away, and nobody told it yet"
        peer = await first.agent.parts.sessions.reach(first.agent.parts.planner.address(second.id))
        await peer.asking()
        assert membership.epoch == first.agent.parts.membership.epoch and not membership.known(key)
        await until(lambda: forgotten(second, key))
        await second.stop()
        await second.start()
        assert not second.agent.parts.membership.known(key)
        assert second.agent.parts.membership.epoch == first.agent.parts.membership.epoch


async def on_disk(device):
    """Which keys the device's file knows: what a restart begins with."""
    content = await device.agent.parts.store.kept("membership")
    tokens = [] if content is None else [one["certificate"] for one in json.loads(content)["peers"]]
    return [signed.peek(token, Certificate).key for token in tokens]


async def remembered(device, key):
    return key in await on_disk(device)


async def forgotten(device, key):
    return key not in await on_disk(device)


async def test_a_device_removed_while_it_was_away_is_told_once_and_ends(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        leaving = await a_device_that_may_leave(ben, "leaving")
        await leaving.stop()
        await removed(town, ann, leaving)
        await leaving.start(wait=False, alone=True)
        await ended(leaving)


async def test_what_a_removed_device_finished_counts_when_the_other_side_reports_it(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        leaving = await a_device_that_may_leave(ben, "leaving")
        leaving.engines.gate.clear()
        running = asyncio.create_task(asker.run("boats"))
        await until(lambda: not leaving.engines.started.empty())
        await town.away()
        leaving.engines.gate.set()
        charge = (await running).charge
        await leaving.stop()  # its own report is still in its outbox
        await asker.stop()  # and so is the requester's
        await town.serve()
        await removed(town, ann, leaving)
        await asker.start()
        await asker.reported()
        await until(lambda: paid(ann, -charge))
        await leaving.start(wait=False, alone=True)
        await ended(leaving)
        assert await ann.balance() == -charge and charge > 0
        assert (await ann.do(calls.verify(town.network))).ok


async def paid(person, amount):
    return await person.balance() == amount


async def test_a_copied_folder_is_noticed_both_hear_it_and_one_is_approved(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        original = await ben.device("original")
        await original.stop()
        shutil.copytree(original.home.path, tmp_path / "copy")
        copy = Device(town, Home(tmp_path / "copy"), work=True)
        await original.start()
        await until(lambda: original.agent.parts.coordination.up)
        assert notice(original) == ""
        await copy.start(wait=False, alone=True)
        await until(lambda: "copied" in notice(original) and "copied" in notice(copy))
        assert "mesh device approve" in notice(copy) and "mesh device join" in notice(copy)
        await copy.stop()
        await until(lambda: original.agent.parts.coordination.up)
        await ann.do(calls.approve_device(town.network, original.id))
        await until(lambda: notice(original) == "")
        await until(lambda: is_ready(ann, town, original))


async def is_ready(person, town, device):
    listed = (await person.do(calls.devices(town.network))).devices
    return next(one.state for one in listed if one.device == device.id) == "ready"


def notice(device):
    agent = getattr(device, "agent", None)
    return "" if agent is None else agent.parts.coordination.notice
