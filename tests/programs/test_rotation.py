"""Keys replaced while everything runs: a device's, its network's and the coordinator's, in a town of real agents."""

import asyncio
from contextlib import suppress

import pytest

from agents import WAIT_S, Town, a_town
from mesh.agent.identity import Keychain
from mesh.agent.join import join
from mesh.coordinator.keys import Keys
from mesh.errors import MeshError
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate
from mesh.protocol.succession import COORDINATOR, read
from mesh.protocol.values import Routing
from mesh.sdk import calls
from mesh.sdk.home import Home
from mesh.sdk.signin import device_session
from mesh.transport.link import PinMismatch
from waiting import until

pytestmark = pytest.mark.anyio


async def turned(device):
    """Replace a device's key as the command does; returns the answer."""
    return await device.agent.parts.coordination.turning.turn()


async def network_turned(town: Town):
    return await town.owner.do(calls.rotate_network_key(town.network))


def knows(device, other, key):
    found = device.agent.parts.membership.device(other.id)
    return found is not None and found.certificate.key == key


async def test_a_device_replaces_its_key_in_the_middle_of_a_job_and_nobody_notices(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        worker.engines.gate.clear()
        jobs = [asyncio.create_task(asker.run(f"job {number}")) for number in range(3)]
        for _ in jobs:
            await asyncio.wait_for(worker.engines.started.get(), WAIT_S)
        old_asker, old_worker = asker.key, worker.key
        for device, other, old in ((worker, asker, old_worker), (asker, worker, old_asker)):
            answer = await turned(device)
            assert (answer.old, answer.key, answer.number) == (old, device.key, 1) and device.key != old
            await until(lambda other=other, device=device: knows(other, device, device.key))
        worker.engines.gate.set()
        results = [await asyncio.wait_for(job, WAIT_S) for job in jobs]
        for result in results:
            assert [one.code for one in result.attempts] == [""]  # the first attempt of each, undisturbed
        await asker.reported()
        await worker.reported()

        async def paid():  # all of it, by facts that old keys have signed
            return await ann.balance() == -sum(result.charge for result in results) and await ben.balance() > 0

        await until(paid)
        assert (await asker.run("afterwards")).device == worker.id  # under a permit of before, which names old keys
        assert (await asker.run("with a permit of now", sensitivity="public")).device == worker.id
        sessions = asker.agent.parts.sessions
        assert sessions.connected(worker.key) is not None  # under its new key now
        assert sessions.connected(worker.key).own == asker.key


async def test_the_keys_on_disk_and_the_next_start_are_the_new_ones_and_the_old_end_is_open_for_its_grace(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        old = worker.key
        await turned(worker)
        new = worker.key
        assert signed.public_key(bytes.fromhex(worker.home.device_key.read_text())) == new
        assert not worker.home.next_key.exists()
        assert worker.home.former_keys.stat().st_mode & 0o077 == 0
        assert await asyncio.to_thread(device_session, worker.home)
        await worker.stop()
        await worker.start()
        assert worker.key == new
        assert worker.agent.transport.keys == (new, old)
        await until(lambda: knows(asker, worker, new))
        assert (await asker.run("under the new key")).device == worker.id
        second = await turned(worker)
        assert second.number == 2 and worker.agent.transport.keys == (worker.key, new, old)


async def test_a_peer_that_knows_only_the_old_key_is_served_and_serves(tmp_path):
    """Both directions, with the coordinator away for the one that did not hear of the change."""
    async with a_town(tmp_path) as (town, ann, _):
        one, two = await ann.device("one"), await ann.device("two")
        await until(lambda: one.id in two.agent.parts.membership.own and two.id in one.agent.parts.membership.own)
        await until(lambda: two.agent.parts.membership.own[one.id].capability.offers)
        await until(lambda: one.agent.parts.membership.own[two.id].capability.offers)
        # Two is deaf for the change: it keeps what it knows of one.
        membership = two.agent.parts.membership
        kept, membership.take_peers = membership.take_peers, lambda news: None
        old = one.key
        await turned(one)
        await town.away()
        assert knows(two, one, old)
        for asker, worker in ((two, one), (one, two)):
            await until(lambda asker=asker: not asker.agent.parts.coordination.up)
            worker.engines.gate.set()
            result = await asker.run("by certificates alone", routing=pinned(worker))
            assert result.device == worker.id
        assert not membership.known(one.key)  # it still knows only the old one
        membership.take_peers = kept
        await town.serve()
        await until(lambda: knows(two, one, one.key))
        assert membership.known(old)  # in its grace
        assert (await one.run("again", routing=pinned(two))).device == two.id


def pinned(device):
    return Routing("device", device=device.id)


async def test_a_device_that_was_away_for_three_changes_of_network_and_coordinator_comes_back(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        late_link = await ann.link("device")
        await worker.stop()
        first = asker.agent.parts.membership.state.network_keys[-1].key
        for number in (1, 2, 3):
            answer = await network_turned(town)
            assert answer.number == number
            assert (await ann.do(calls.rotate_coordinator_key())).number == number
        await until(lambda: asker.agent.parts.membership.state.network_keys[-1].key == answer.key)
        await worker.start()
        state = worker.agent.parts.membership.state
        assert state.network_keys[-1].key == answer.key != first
        assert len(state.network_keys) == 4  # all are in their grace
        assert (await asker.run("back")).device == worker.id
        # A link from before all that, for a machine that knows nothing else.
        home = Home(tmp_path / "late")
        assert (await asyncio.to_thread(join, home, late_link, "late")).state == "ready"
        # And the coordinator itself starts again with its new keys.
        await town.away()
        await town.serve()
        await until(lambda: asker.agent.parts.coordination.up)
        assert (await asker.run("after a restart")).device == worker.id
        assert Keys(town.config.data / "keys").public != ann.record.key
        # Whoever has seen the newest key takes no earlier one for the coordinator's, also after a start.
        client = worker.agent.parts.coordination.turning.client
        newest = client.target.coordinator
        assert newest == Keys(town.config.data / "keys").public
        await worker.stop()
        await worker.start()
        client = worker.agent.parts.coordination.turning.client
        assert client.target.coordinator == newest
        chain = (await ann.do(calls.about())).successions
        for earlier in (ann.record.key, read(chain[1], COORDINATOR).new):
            with pytest.raises(PinMismatch):
                client._same(link.Challenge(earlier, "00", successions=chain))
        assert client._same(link.Challenge(newest, "00")) == newest
        with pytest.raises(MeshError) as refused:
            for _ in range(3):
                await network_turned(town)
        assert refused.value.wire_code == "rotation.too_often"


async def test_certificates_follow_the_network_s_new_key_and_jobs_go_on(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        worker.engines.gate.clear()
        job = asyncio.create_task(asker.run("through the change"))
        await asyncio.wait_for(worker.engines.started.get(), WAIT_S)
        before = worker.agent.parts.membership.certificate
        await network_turned(town)
        await ann.do(calls.rotate_coordinator_key())
        worker.engines.gate.set()
        assert [one.code for one in (await asyncio.wait_for(job, WAIT_S)).attempts] == [""]
        new = worker.agent.parts.membership
        await until(lambda: new.certificate != before)
        assert signed.verify(new.certificate, Certificate, new.state.network_keys[-1].key, town.network)
        assert (await asker.run("under permits of the new key")).device == worker.id


async def test_a_revoked_device_s_keys_are_all_refused_at_once(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop", start=False)
        await worker.start(alone=True)
        old = worker.key
        await turned(worker)
        new, device = worker.key, worker.id
        membership = asker.agent.parts.membership
        await until(lambda: membership.known(new) and membership.known(old))
        await ann.do(calls.remove_device(town.network, device))
        await until(lambda: not membership.known(new) and not membership.known(old))
        assert {old, new} <= set(membership.state.revoked)
        with suppress(MeshError):
            await worker.end()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_crash_around_the_change_leaves_a_device_that_works(tmp_path, where):
    """The next key is on disk; the coordinator has not heard of it, or has, and the device did not hear the answer."""
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        old, turning = worker.key, worker.agent.parts.coordination.turning
        client = turning.client

        async def crash(message):
            if where == "after":
                await type(client).send(client, message)
                await until(lambda: asker.agent.parts.membership.device(worker.id).certificate.key != old)
            raise asyncio.CancelledError

        async def unheard(key, certificate):
            return None

        turning.taken = unheard
        client.send, real = crash, client.send
        with pytest.raises(asyncio.CancelledError):
            await turned(worker)
        client.send = real
        assert worker.home.next_key.exists()
        await worker.stop()
        assert Keychain(worker.home).newest.key == old
        await worker.start()
        await until(lambda: worker.key != old and not worker.home.next_key.exists())
        assert Keychain(worker.home).newest.key == worker.key
        await until(lambda: knows(asker, worker, worker.key))
        assert (await asker.run("works")).device == worker.id


async def test_a_repeated_stale_or_foreign_statement_changes_nothing(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, worker = await ann.device("laptop", work=False), await ben.device("desktop")
        said = []
        client = worker.agent.parts.coordination.turning.client
        real = client.send

        async def listening(message):
            if isinstance(message, link.NewKey):
                said.append(message)
            await real(message)

        client.send = listening
        await turned(worker)
        await turned(worker)
        key, problems = worker.key, []
        worker.agent.parts.coordination.turning.refused = problems.append
        await client.send(said[1])  # the newest again: answered, and nothing changes
        await client.send(said[0])  # the one before
        await asker.agent.parts.coordination.send(said[1])  # another device's
        await until(lambda: problems)
        assert problems[0].wire_code == "rotation.not_next"
        assert worker.key == key
        await until(lambda: knows(asker, worker, key))
