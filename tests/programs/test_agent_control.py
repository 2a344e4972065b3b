"""The control socket, the supervisor, and what an agent keeps between its lives."""

import asyncio
import contextlib
import os
import signal
import stat
import sys

import pytest

from agents import MODEL, WAIT_S, a_home, a_town, until
from mesh.agent import control as serving
from mesh.agent.asking.numbers import BLOCK, Numbers
from mesh.agent.identity import KeyExposed, KeyUnreadable, load, load_or_make
from mesh.agent.lock import AgentRunning, only_one
from mesh.agent.outbox import Outbox
from mesh.agent.store import Outgoing, Reserved, Store, StoreBroken, Taken
from mesh.agent.supervisor import REFUSED, supervise
from mesh.errors import RemoteError
from mesh.ids import DeviceId, JobId, PermitId
from mesh.protocol import link
from mesh.protocol.values import Routing
from mesh.sdk import control
from mesh.transport.link import LinkDown
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import vectors_of

pytestmark = pytest.mark.anyio


async def ask(device, request):
    return await asyncio.to_thread(lambda: list(control.stream(device.home.control_socket, request, WAIT_S)))


async def test_the_command_line_asks_the_agent_of_its_home(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        assert stat.S_IMODE(asker.home.control_socket.stat().st_mode) == 0o600
        [status] = await ask(asker, control.GetStatus())
        assert (status.device, status.name, status.link, status.network) == (asker.id, "ann-box", "up", town.network)
        *_, ran = await ask(asker, control.Run("embeddings", {"texts": ["boats"]}))
        assert (ran.device, ran.path, ran.model, len(ran.blobs)) == (worker.id, "direct", MODEL, 1)
        *pings, end = await ask(asker, control.PingDevice("ben-box", count=3, interval_s=0.0))
        assert [(one.number, one.device, one.path) for one in pings] == [(n, worker.id, "direct") for n in (1, 2, 3)]
        assert end == control.Ok()
        assert all(one.rtt_ms >= 0 for one in pings)
        [peers] = await ask(asker, control.GetPeers())
        assert {(one.name, one.own) for one in peers.peers} == {("ann-box", True), ("ben-box", False)}
        [paused] = await ask(worker, control.SetState("paused"))
        assert paused.condition.state == "paused"
        for bad in (control.PingDevice("nobody"), control.Cancel(JobId("none")), control.Run("ocr", {})):
            with pytest.raises(RemoteError):
                await ask(asker, bad)
        await worker.stop()
        await worker.start()
        [status] = await ask(worker, control.GetStatus())
        assert status.condition.state == "paused"  # the owner's wish survives a restart


async def test_many_texts_are_spread_over_devices_and_come_back_in_order(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben):
        asker, one, two = (
            await ann.device("ann-box", work=False),
            await ben.device("ben-box"),
            await ben.device("ben-two"),
        )
        for worker in (one, two):
            worker.engines.telling = True
        texts = [f"text {number:03}" for number in range(128)]
        *told, ran = await ask(asker, control.Run("embeddings", {"texts": texts}))
        assert [vector[1] for vector in vectors_of(Payload(ran.manifest, ran.blobs))] == list(range(128))
        assert len(ran.parts) == 4 and len({part.job for part in ran.parts}) == 4
        assert {part.device for part in ran.parts} <= {one.id, two.id}
        assert (ran.job, ran.charge) == (ran.parts[0].job, sum(part.charge for part in ran.parts))
        assert ran.units == 128 * 8 and ran.manifest["count"] == 128
        assert [line.fraction for line in told] == [0.25, 0.5, 0.75, 1.0]
        *_, limited = await ask(asker, control.Run("embeddings", {"texts": texts}, max_cost=ran.charge))
        assert (limited.parts, len(limited.blobs[0])) == ((), len(ran.blobs[0]))
        where = Routing("device", two.id)
        *_, pinned = await ask(asker, control.Run("embeddings", {"texts": texts}, routing=where))
        assert (pinned.parts, pinned.device) == ((), two.id)


async def test_going_away_cancels_what_was_asked_over_the_socket(tmp_path):
    async with a_town(tmp_path) as (_, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.gate.clear()
        with control.reachable(asker.home.control_socket) as name:
            _, writer = await asyncio.open_unix_connection(name)
        writer.write(control.encode(control.Run("embeddings", {"texts": ["boats"]})))
        await worker.engines.started.get()
        writer.close()
        await until(lambda: worker.engines.cancelled == 1)


async def test_nonsense_and_other_users_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "agent.sock"

    async def handler(request, say):
        return control.Ok()

    async def said(line):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        answer = control.decode_answer(await reader.readline())
        writer.close()
        return answer

    async with serving.served(path, handler):
        assert await said(control.encode(control.Stop())) == control.Ok()
        for line in (b"\n", b"{}\n", b"\xff\n", b'{"c":"format_disk"}\n', b"[" * 5000 + b"\n"):
            assert (await said(line)).error["code"] == "agent.control_broken"
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert (await said(control.encode(control.Stop()))).error["code"] == "agent.other_user"


async def test_without_an_agent_the_client_says_so(tmp_path):
    with pytest.raises(control.AgentAway):
        control.ask(tmp_path / "agent.sock", control.GetStatus(), 1.0)


def test_one_agent_per_home(tmp_path):
    with only_one(tmp_path / "agent.lock"), pytest.raises(AgentRunning), only_one(tmp_path / "agent.lock"):
        raise AssertionError("two agents hold one home")
    with only_one(tmp_path / "agent.lock"):
        pass


def test_a_key_is_the_owners_alone(tmp_path):
    home = a_home(tmp_path)
    with pytest.raises(KeyUnreadable):
        load(home)
    me = load_or_make(home)
    assert load_or_make(home) == me
    assert stat.S_IMODE(home.device_key.stat().st_mode) == 0o600
    assert me.seed.hex() not in repr(me)
    home.device_key.chmod(0o644)
    with pytest.raises(KeyExposed):
        load(home)
    home.device_key.chmod(0o600)
    home.device_key.write_text("short")
    with pytest.raises(KeyUnreadable):
        load(home)


# --- the supervisor ---------------------------------------------------------------------------------------------------

CHILD = """
import os, sys, json
print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True)
sys.stdin.buffer.read()
"""


@contextlib.asynccontextmanager
async def supervised(script):
    said, stop = asyncio.Queue(), asyncio.Event()
    program = [sys.executable, "-c", script]
    task = asyncio.create_task(supervise(program, said.put_nowait, stop))
    try:
        yield said, stop, task
    finally:
        stop.set()
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(task, return_exceptions=True)


async def test_a_killed_agent_is_started_again_and_a_stopped_one_leaves(tmp_path):
    async with supervised(CHILD) as (said, stop, task):
        async with asyncio.timeout(WAIT_S):
            first = await said.get()
            os.kill(first["pid"], signal.SIGKILL)
            crashed, second = await said.get(), await said.get()
            assert (crashed["event"], crashed["exit_code"]) == ("crashed", -signal.SIGKILL)
            assert second["event"] == "ready"
            assert second["pid"] != first["pid"]
            stop.set()
            await task
        with pytest.raises(ProcessLookupError):
            os.kill(second["pid"], 0)


async def test_an_agent_that_refuses_is_not_started_again(tmp_path):
    refusing = f"""
import json, sys
print(json.dumps({{"error": {{"code": "home.not_joined", "kind": "unauthenticated", "message": "Join first."}}}}))
sys.exit({REFUSED})
"""
    async with supervised(refusing) as (said, _, task), asyncio.timeout(WAIT_S):
        with pytest.raises(RemoteError) as refused:
            await task
        assert refused.value.wire_code == "home.not_joined"
        assert said.empty()


async def test_an_agent_that_left_by_itself_stays_away(tmp_path):
    async with supervised('print(\'{"event": "ready"}\')') as (said, _, task), asyncio.timeout(WAIT_S):
        await task
        assert (await said.get())["event"] == "ready"
        assert said.empty()


# --- what is kept -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def a_store(tmp_path):
    store = Store(tmp_path / "agent.db")
    store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_job_numbers_never_come_twice_also_after_a_crash(tmp_path):
    seen, secrets = set(), set()
    for _ in range(3):
        async with a_store(tmp_path) as store:  # no part of a block that was left is used again
            numbers = Numbers(store)
            await numbers.open()
            for number in range(BLOCK + 10):
                numbered = await numbers.job(1_800_000_000_000)
                seen.add(numbered.job)
                secrets.add(numbered.secret)
                assert numbers.request(numbered.number, 0, 1) != numbers.request(numbered.number, 1, 1), number
    assert len(seen) == len(secrets) == 3 * (BLOCK + 10)


async def test_many_callers_at_a_blocks_end_get_different_numbers(tmp_path):
    async with a_store(tmp_path) as store:
        numbers = Numbers(store)
        await numbers.open()
        jobs = await asyncio.gather(*(numbers.job(1) for _ in range(3 * BLOCK)))
        assert len({one.job for one in jobs}) == 3 * BLOCK


async def test_one_used_per_job_and_its_papers_survive(tmp_path):
    async with a_store(tmp_path) as store:
        assert await store.add_answers(JobId("J"), 1, [Outgoing("fact", b"used")], 5)
        assert not await store.add_answers(JobId("J"), 2, [Outgoing("fact", b"used again")], 6)
    async with a_store(tmp_path) as store:
        assert [item.content for item in await store.outbox(10)] == [b"used"]
        assert not await store.add_answers(JobId("J"), 1, [Outgoing("fact", b"used")], 7)


async def test_a_claim_is_durable_with_the_attempt_that_it_is_for(tmp_path):
    taken = Taken(DeviceId("A"), JobId("J"), 1, PermitId("P"), 63, 1000)
    async with a_store(tmp_path) as store:
        store.reserve(Reserved(PermitId("P"), 100, 1000))
        number = await store.claim(taken, b"claim")
        await store.outdo(number, Outgoing("fact", b"used, with the claim in it"))
        assert await store.bury(PermitId("P"), 1000) == 1
    async with a_store(tmp_path) as store:
        assert [item.content for item in await store.outbox(10)] == [b"used, with the claim in it"]
        remembered = await store.remembered(500)
        assert [one.attempt for one in remembered.taken] == [1]
        assert remembered.reserved == [Reserved(PermitId("P"), 100, 1000)]
        assert remembered.tombstones == {"P": 1000}
        assert (await store.remembered(2000)).taken == []


async def test_a_store_that_refuses_tells_every_caller(tmp_path):
    async with a_store(tmp_path) as store:
        await store.write(lambda db: db.execute("PRAGMA max_page_count = 20") and None)

        async def fill():
            while True:
                await store.keep(os.urandom(8).hex(), b"x" * 4000)

        with pytest.raises(StoreBroken):
            await fill()
        assert await store.outbox_size() == 0  # reading goes on


class Sender:
    def __init__(self, never=2):
        self.sent = asyncio.Queue()
        self.never = never

    async def send(self, message):
        if message.batch == self.never:
            raise LinkDown
        self.sent.put_nowait(message)


async def test_the_outbox_repeats_until_it_is_acknowledged_and_loses_nothing(tmp_path):
    async with a_store(tmp_path) as store:
        outbox, sender = Outbox(store), Sender()
        running = asyncio.create_task(outbox.run(sender))
        await outbox.add_facts([f"fact {number}" for number in range(100)])
        assert sender.sent.empty()
        outbox.link_up()
        async with asyncio.timeout(WAIT_S):
            first = await sender.sent.get()
            assert len(first.facts) == link.REPORT_FACTS_MAX
            outbox.link_down()
            outbox.link_up()  # the second try finds the link down, the third gets through
            third = await sender.sent.get()
            assert (third.batch, third.facts) == (3, first.facts)
            outbox.acknowledged(link.ReportAck(1))  # late news of a batch that was repeated
            outbox.acknowledged(link.ReportAck(3, (link.Reported(0, "fact.unknown"),)))
            fourth = await sender.sent.get()
            assert fourth.facts == tuple(f"fact {number}" for number in range(64, 100))
            outbox.acknowledged(link.ReportAck(4))
            await until(lambda: _empty(outbox))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_refused_for_good_is_set_aside_and_the_rest_goes_on(tmp_path):
    async with a_store(tmp_path) as store:
        outbox, sender = Outbox(store), Sender(never=0)
        running = asyncio.create_task(outbox.run(sender))
        await outbox.add_facts(["one", "wrong", "two"])
        outbox.link_up()

        async def next_facts():
            batch = await sender.sent.get()
            return batch.batch, batch.facts

        def problem(batch, kind="invalid"):
            return RemoteError("report.odd", kind, "Odd.", {"batch": batch})

        async with asyncio.timeout(WAIT_S):
            assert await next_facts() == (1, ("one", "wrong", "two"))
            outbox.refused(problem(7))  # about something else
            outbox.refused(RemoteError("link.protocol", "invalid", "What?"))
            outbox.refused(problem(1, "unavailable"))  # that may pass
            assert sender.sent.empty() and await outbox.size() == 3
            outbox.refused(problem(1))
            for batch, fact in ((2, "one"), (3, "wrong"), (4, "two")):
                assert await next_facts() == (batch, (fact,))
                if fact == "wrong":
                    outbox.refused(problem(batch))
                else:
                    outbox.acknowledged(link.ReportAck(batch))
            await until(lambda: _empty(outbox))
            assert await outbox.set_aside() == 1
            await outbox.add_facts(["three", "four"])
            assert await next_facts() == (5, ("three", "four")), "all together again"
            outbox.acknowledged(link.ReportAck(5))
            await until(lambda: _empty(outbox))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_leaves_reports_first_and_waits_for_a_silent_coordinator_no_longer_than_was_said(tmp_path):
    async with a_store(tmp_path) as store:
        outbox, sender = Outbox(store), Sender()
        running = asyncio.create_task(outbox.run(sender))
        await outbox.add_facts(["one"])
        async with asyncio.timeout(WAIT_S):
            assert await outbox.emptied(3600) == 1, "without a link nothing is waited for"
            outbox.link_up()
            leaving = asyncio.create_task(outbox.emptied(3600))
            batch = await sender.sent.get()
            outbox.acknowledged(link.ReportAck(batch.batch))
            assert await leaving == 0
            await outbox.add_facts(["two"])
            assert await outbox.emptied(0.05) == 1, "what is not acknowledged stays"
            leaving = asyncio.create_task(outbox.emptied(3600))
            outbox.link_down()
            assert await leaving == 1, "the link ended meanwhile"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with a_store(tmp_path) as store:
        assert [one.content for one in await store.outbox(10)] == [b"two"]


async def _empty(outbox):
    return await outbox.size() == 0
