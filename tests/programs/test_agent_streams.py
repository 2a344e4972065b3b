"""Streams between real agents: in order and as they are made, held up by who reads slowly, paid as far as they came."""

import asyncio

import pytest

from agents import a_town, until
from mesh.agent.asked import Ask, StreamBroken
from mesh.agent.streaming import streamed
from mesh.sdk import calls
from mesh.workloads import known
from mesh.workloads.chat import Chat, payload_of
from mesh.workloads.frames import WINDOW_BYTES
from mesh.workloads.process import EngineCrashed

pytestmark = pytest.mark.anyio

CHAT = Chat()
QUESTION = "How deep is it?"  # 15 bytes
PER_BYTE = 160  # micro-credits


@pytest.fixture(autouse=True)
def chat(monkeypatch):
    monkeypatch.setitem(known.WORKLOADS, "chat", CHAT)


def asked(**settings):
    return Ask(CHAT, payload_of([("user", QUESTION)], **settings))


def stream_of(asker, ask=None):
    return streamed(asker.agent.parts.requester.run, ask or asked())


async def _is(person, balance):
    return await person.balance() == balance


def counted(worker):
    """Whether a signed Count of a stream has come to its worker."""
    return any(one.delivery and one.delivery.count for one in worker.agent.parts.worker._attempts.values())


def begun_at(workers):
    return next((worker for worker in workers if not worker.engines.started.empty()), None)


async def test_words_come_while_the_rest_is_not_said_yet_and_are_paid_once(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        async with stream_of(asker, asked(max_tokens=100)) as answer:
            worker.engines.words.put_nowait(b"Very ")
            begun = await answer.begun()
            assert (begun.device, begun.path) == (worker.id, "direct")
            assert begun.estimate == (len(QUESTION) + 100 * 6) * PER_BYTE
            assert await anext(answer) == b"Very "
            worker.engines.words.put_nowait("déep".encode())
            assert await anext(answer) == "déep".encode()
            worker.engines.words.put_nowait(None)
            assert [rest async for rest in answer] == []
            result = answer.result
        assert result.payload.manifest["text"] == "Very déep"
        assert (result.job, result.units, result.charge) == (begun.job, 15 + 10, 25 * PER_BYTE)
        await until(lambda: _is(ann, -result.charge))
        assert await ben.balance() == result.charge - result.charge // 20
        await until(lambda: _nothing_held(ann, town))


async def _nothing_held(person, town):
    return (await person.do(calls.balance(town.network))).held == 0


async def test_a_reader_that_takes_nothing_pauses_the_engine_within_a_window(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        word, words = b"x" * 1000, 100
        for _ in range(words):
            worker.engines.words.put_nowait(word)
        worker.engines.words.put_nowait(None)
        async with stream_of(asker, asked(max_tokens=20_000)) as answer:
            await answer.begun()
            await until(lambda: worker.engines.said >= WINDOW_BYTES)
            for _ in range(5):  # time for it to say more, if it would
                await asker.agent.parts.requester.exchanges.beat(await _session(asker, worker))
            assert worker.engines.said < WINDOW_BYTES + len(word)
            assert sum([len(content) async for content in answer]) == words * len(word)
        assert worker.engines.said == words * len(word)


async def _session(asker, worker):
    return await asker.agent.parts.sessions.connected(worker.key).asking()


async def read_first(answer, workers):
    """Read a first word that all of them would say; returns who says it, and how often the job was begun by then."""
    for worker in workers:
        worker.engines.words.put_nowait(b"Ten")
    begun = await answer.begun()
    assert await anext(answer) == b"Ten"
    worker = next(one for one in workers if one.id == begun.device)
    await until(lambda: counted(worker))
    return worker, sum(one.engines.started.qsize() for one in workers)


async def test_a_stream_that_breaks_says_how_far_it_got_is_not_begun_anew_and_pays_what_was_counted(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(40):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        with pytest.raises(StreamBroken) as broken:
            async with stream_of(asker) as answer:
                worker, begun = await read_first(answer, workers)
                worker.engines.words.put_nowait(EngineCrashed())
                await anext(answer)
        facts = broken.value.facts
        assert (facts["cause"], facts["device"]) == ("engine.crashed", worker.id)
        assert (facts["bytes"], facts["units"]) == (3, 18)
        await until(lambda: _is(ann, -18 * PER_BYTE))
        assert sum(one.engines.started.qsize() for one in workers) == begun
        await until(lambda: _nothing_held(ann, town))
        assert (await ann.do(calls.verify(town.network))).ok


async def test_a_worker_that_is_lost_in_the_middle_ends_the_stream_in_band(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(40):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        with pytest.raises(StreamBroken) as broken:
            async with stream_of(asker) as answer:
                worker, begun = await read_first(answer, workers)
                await worker.stop()
                await anext(answer)
        assert broken.value.facts["bytes"] == 3
        assert sum(one.engines.started.qsize() for one in workers) == begun


async def test_a_stream_that_pauses_for_long_goes_on_where_it_is(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(40):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        async with stream_of(asker) as answer:
            worker, _ = await read_first(answer, workers)  # a beat: far longer than a job of its kind may be silent
            worker.engines.words.put_nowait(b" fathoms")
            worker.engines.words.put_nowait(None)
            assert [content async for content in answer] == [b" fathoms"]
            assert answer.result.device == worker.id


async def test_leaving_a_stream_stops_its_engine_and_pays_what_came(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        async with stream_of(asker) as answer:
            worker.engines.words.put_nowait(b"Fathoms")
            assert await anext(answer) == b"Fathoms"
        await until(lambda: worker.engines.cancelled == 1)
        await until(lambda: _is(ann, -(15 + 7) * PER_BYTE))
        await until(lambda: _nothing_held(ann, town))
        assert (await ann.do(calls.verify(town.network))).ok


async def test_leaving_before_the_first_byte_costs_nothing(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        async with stream_of(asker):
            await worker.engines.started.get()
        await until(lambda: worker.engines.cancelled == 1)
        await until(lambda: _nothing_held(ann, town))
        assert await ann.balance() == 0


async def test_a_caller_who_takes_only_whole_results_never_sees_that_the_first_try_broke(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(30):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        job = asyncio.ensure_future(asker.agent.parts.requester.run(asked()))
        await until(lambda: begun_at(workers))
        first = begun_at(workers)
        second = next(one for one in workers if one is not first)
        first.engines.words.put_nowait(b"Half an ans")
        first.engines.words.put_nowait(EngineCrashed())
        second.engines.words.put_nowait(b"A whole one.")
        second.engines.words.put_nowait(None)
        result = await job
        assert result.payload.manifest["text"] == "A whole one."
        assert result.device == second.id
        assert (second.id, "") in [(one.device, one.code) for one in result.attempts]
        await until(lambda: _is(ann, -(15 + 12) * PER_BYTE))


async def test_between_devices_of_one_owner_a_stream_is_free_and_needs_no_counts(tmp_path):
    async with a_town(tmp_path) as (_town, ann, _ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ann.device("ann-desk")
        async with stream_of(asker) as answer:
            for word in (b"one ", b"two"):
                worker.engines.words.put_nowait(word)
            worker.engines.words.put_nowait(None)
            begun = await answer.begun()
            assert (begun.device, begun.estimate) == (worker.id, 0)
            assert b"".join([content async for content in answer]) == b"one two"
            assert answer.result.charge == 0
