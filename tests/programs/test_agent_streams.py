"""Streams between real agents: in order and as they are made, held up by who reads slowly, paid as far as they came."""

import asyncio
from functools import partial

import pytest

from agents import a_town, until
from mesh.agent.asking.asked import Ask, Join, StreamBroken
from mesh.agent.asking.resuming import CannotResume, resumed
from mesh.agent.asking.streaming import streamed
from mesh.coordinator import main as coordinator
from mesh.coordinator.main import wall_ms
from mesh.sdk import calls, control
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


async def test_no_chat_is_refused_for_the_length_that_was_guessed_of_it(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(30):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        worker.engines.service_s = 100_000.0  # far more than its limit
        worker.engines.words.put_nowait(b"Very deep.")
        worker.engines.words.put_nowait(None)
        async with stream_of(asker) as answer:
            assert [piece async for piece in answer] == [b"Very deep."]


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


def resumed_by(asker, ask=None):
    return streamed(partial(resumed, asker.agent.parts.requester.run), ask or asked())


@pytest.mark.parametrize("how", ["crashed", "gone"])
async def test_a_stream_that_breaks_goes_on_elsewhere_where_its_reader_wants_that_and_both_are_paid(tmp_path, how):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(60):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        pieces: list[bytes | Join] = []
        async with resumed_by(asker) as answer:
            answer.on_join = pieces.append
            first, _ = await read_first(answer, workers)
            begun = await answer.begun()
            second = next(one for one in workers if one is not first)
            while not second.engines.words.empty():
                second.engines.words.get_nowait()
            for word in (b" fath", "öms".encode(), None):
                second.engines.words.put_nowait(word)
            if how == "crashed":
                first.engines.words.put_nowait(EngineCrashed())
            else:
                await first.stop()
            async for content in answer:
                pieces.append(content)
            result = answer.result
        paid = (len(QUESTION) + 3) * PER_BYTE
        (join,) = result.joins
        assert (join.at, join.device, join.after, join.charge) == (3, second.id, begun.job, paid)
        assert (pieces[0], b"".join(pieces[1:])) == (join, " fathöms".encode())
        assert (result.job, result.device) == (join.job, second.id)
        assert result.job != begun.job, "a job is paid once: the rest is one of its own"
        assert result.payload.manifest["text"] == "Ten fathöms"
        told = [payload.manifest.get("so_far") for payload in _all_of(second.engines.started)]
        assert told[-1] == "Ten"
        rest = (len(QUESTION) + len("Ten") + len(" fathöms".encode())) * PER_BYTE
        assert result.charge == paid + rest
        if how == "gone":
            await first.start()  # it reports what it had delivered
        await until(lambda: _is(ann, -result.charge))
        assert await ben.balance() == result.charge - paid // 20 - rest // 20
        await until(lambda: _nothing_held(ann, town))
        assert (await ann.do(calls.verify(town.network))).ok


async def test_a_stream_whose_worker_is_killed_for_good_is_paid_once_its_window_is_over(tmp_path, monkeypatch):
    ahead_ms = 0
    monkeypatch.setattr(coordinator, "wall_ms", lambda: wall_ms() + ahead_ms)
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(90):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        async with resumed_by(asker) as answer:
            first, _ = await read_first(answer, workers)
            begun = await answer.begun()
            (second,) = [one for one in workers if one is not first]
            _all_of(second.engines.words)
            for word in (b" fathoms", None):
                second.engines.words.put_nowait(word)
            first.agent.parts.outbox.link_down()  # from here on nobody hears of it again
            town.board.cut(asker.key, first.key)
            await first.stop()
            assert b"".join([content async for content in answer if isinstance(content, bytes)]) == b" fathoms"
            result = answer.result
        (join,) = result.joins
        assert (join.device, join.after, join.charge) == (second.id, begun.job, (len(QUESTION) + 3) * PER_BYTE)
        rest = result.charge - join.charge
        await until(lambda: _is(ann, -rest))
        await asker.reported()
        cut = await ann.do(calls.job(town.network, begun.job))
        assert (cut.charge, cut.state) == (0, "running"), "its worker may still come back with a claim"
        ahead_ms = 3600 * 1000
        await until(lambda: _is(ann, -result.charge))
        assert await ben.balance() == result.charge - join.charge // 20 - rest // 20
        cut = await ann.do(calls.job(town.network, begun.job))
        assert (cut.charge, cut.state, cut.device) == (join.charge, "done", first.id)
        await until(lambda: _nothing_held(ann, town))
        assert (await ann.do(calls.verify(town.network))).ok


def _all_of(queue):
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_where_nobody_can_go_on_a_stream_ends_as_it_broke(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(40):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        with pytest.raises(StreamBroken) as broken:
            async with resumed_by(asker) as answer:
                await read_first(answer, [worker])
                worker.engines.words.put_nowait(EngineCrashed())
                await anext(answer)
        assert (broken.value.facts["cause"], broken.value.facts["bytes"]) == ("engine.crashed", 3)
        await until(lambda: _is(ann, -18 * PER_BYTE))
        with pytest.raises(CannotResume):  # nobody goes on in the middle of JSON: that is said before it begins
            async with resumed_by(asker, asked(json=True)) as answer:
                await answer.begun()
        assert worker.engines.started.qsize() == 1


async def test_a_worker_that_streams_what_is_wrong_is_neither_gone_on_with_nor_paid_for_more_than_was_counted(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(40):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        with pytest.raises(StreamBroken) as broken:
            async with resumed_by(asker) as answer:
                worker, _ = await read_first(answer, workers)
                streams = asker.agent.parts.requester.exchanges._streams
                (one,) = [open for open in streams._open.values() if open.receiving.bytes]
                one.receiving._sequence += 1  # as if a part had been left out
                worker.engines.words.put_nowait(b" fathoms")
                await anext(answer)
        assert broken.value.facts["cause"] == "job.wrong_result"
        assert "charge" not in broken.value.facts


async def test_the_joins_are_told_in_the_stream_and_in_the_result(tmp_path):
    async with a_town(tmp_path) as (_town, ann, ben), asyncio.timeout(60):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device("ben-box"), await ben.device("ben-other")]
        heard: asyncio.Queue[control.Answer] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        manifest = {"messages": [{"role": "user", "content": QUESTION}]}

        def follow():
            request = control.Run("chat", manifest, stream=True, resume=True)
            for answer in control.stream(asker.home.control_socket, request, 40.0):
                loop.call_soon_threadsafe(heard.put_nowait, answer)

        following = asyncio.create_task(asyncio.to_thread(follow))
        await until(lambda: begun_at(workers))
        first = begun_at(workers)
        first.engines.words.put_nowait(b"Ten")
        lines = [await heard.get()]
        while not isinstance(lines[-1], control.Said):
            lines.append(await heard.get())
        second = next(one for one in workers if one is not first)
        for word in (b" fathoms", None):
            second.engines.words.put_nowait(word)
        first.engines.words.put_nowait(EngineCrashed())
        await following
        lines += [heard.get_nowait() for _ in range(heard.qsize())]
        told = [answer for answer in lines if isinstance(answer, control.Said | control.Joined)]
        assert [type(answer).__name__ for answer in told] == ["Said", "Joined", "Said"]
        ran = lines[-1]
        assert (ran.joined, told[1].at, told[1].device) == ((told[1],), 3, second.id)
        assert ran.manifest["text"] == "Ten fathoms"
