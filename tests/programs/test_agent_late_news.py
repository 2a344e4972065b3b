"""News of an attempt that was given up: its requester ignores it, it is paid with nothing, the session goes on."""

import asyncio

import pytest

from agents import HeldEngines, a_town, until
from mesh.agent.asking.asked import Ask
from mesh.agent.asking.streaming import streamed
from mesh.sdk import calls, credit
from mesh.workloads import known
from mesh.workloads.chat import Chat, payload_of

pytestmark = pytest.mark.anyio

CHAT = Chat()
QUESTION = "How deep is it?"  # 15 bytes
LIMIT_S = 60.0


class StubbornEngines(HeldEngines):
    """Engines that do not heed a cancel: what they were asked for comes in the end, when ``late`` lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.late = asyncio.Event()
        self.came_late = 0

    def warm(self):
        return (*super().warm(), CHAT.default_model)

    async def run(self, workload, model, payload, **how):
        try:
            return await super().run(workload, model, payload, **how)
        except asyncio.CancelledError:
            await self.late.wait()
            self.gate.set()
            result = await super().run(workload, model, payload, **how)
            self.came_late += 1
            return result


async def two_stubborn(ben):
    workers = []
    for name in ("ben-box", "ben-other"):
        worker = await ben.device(name, start=False)
        worker.engines = StubbornEngines()
        workers.append(await worker.start())
    return workers


def session(asker, worker):
    return asker.agent.parts.sessions.connected(worker.key)


async def settled(town, ann, devices, charge):
    """All is reported, paid once, and nothing is held; returns the attempts of the only job, by device."""
    for device in devices:
        await device.reported()
    await until(lambda: _is(ann, -charge))
    await until(lambda: _nothing_held(ann, town))
    assert (await ann.do(calls.verify(town.network))).ok
    return (await ann.do(calls.jobs(town.network))).jobs


async def _is(person, balance):
    return await person.balance() == balance


async def _nothing_held(person, town):
    return (await person.do(calls.balance(town.network))).held == 0


async def test_a_result_that_comes_when_another_was_used_is_ignored_and_paid_with_nothing(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(LIMIT_S):
        asker, workers = await ann.device("ann-box", work=False), await two_stubborn(ben)
        for worker in workers:
            worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run("a harbour at night"))
        await until(lambda: all(not worker.engines.started.empty() for worker in workers))  # one, and its copy
        used, late = workers
        used.engines.gate.set()
        result = await job
        assert result.device == used.id
        before = session(asker, late)
        await until(lambda: late.engines.cancelled == 1)
        late.engines.late.set()
        await until(lambda: late.engines.came_late == 1)
        jobs = await settled(town, ann, [asker, *workers], result.charge)
        assert [(one.job, one.device, one.charge) for one in jobs] == [(result.job, used.id, result.charge)]
        assert await ben.balance() == result.charge - result.charge // 20
        again = await asker.run("boats in the dark")
        assert session(asker, late) is before, "the session goes on"
        await until(lambda: _is(ann, -result.charge - again.charge))


async def test_words_that_come_when_another_device_is_read_are_no_part_of_the_answer(tmp_path, monkeypatch):
    monkeypatch.setitem(known.WORKLOADS, "chat", CHAT)
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(LIMIT_S):
        asker, workers = await ann.device("ann-box", work=False), await two_stubborn(ben)
        ask = Ask(CHAT, payload_of([("user", QUESTION)]))
        async with streamed(asker.agent.parts.requester.run, ask) as answer:
            await until(lambda: all(not worker.engines.started.empty() for worker in workers))
            read, late = workers
            read.engines.words.put_nowait(b"Ten")
            assert (await answer.begun()).device == read.id
            await until(lambda: late.engines.cancelled == 1)
            late.engines.late.set()
            for word in (b"A hundred", b" fathoms", None):
                late.engines.words.put_nowait(word)
            await until(lambda: late.engines.came_late == 1)
            for word in (b" fathoms", None):
                read.engines.words.put_nowait(word)
            assert b"".join([content async for content in answer]) == b"Ten fathoms"
            result = answer.result
        assert (result.device, result.units) == (read.id, 15 + 11)
        jobs = await settled(town, ann, [asker, *workers], result.charge)
        assert [(one.job, one.device, one.charge) for one in jobs] == [(result.job, read.id, result.charge)]


async def test_a_result_that_comes_after_its_job_was_cancelled_changes_nothing(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(LIMIT_S):
        asker, workers = await ann.device("ann-box", work=False), await two_stubborn(ben)
        for worker in workers:
            worker.engines.gate.clear()
        job = asyncio.ensure_future(asker.run("a harbour at night"))
        await until(lambda: all(not worker.engines.started.empty() for worker in workers))
        job.cancel()
        await asyncio.wait([job])
        await until(lambda: all(worker.engines.cancelled == 1 for worker in workers))
        for worker in workers:
            worker.engines.late.set()
        await until(lambda: all(worker.engines.came_late == 1 for worker in workers))
        (one,) = await settled(town, ann, [asker, *workers], 0)
        assert (one.charge, await ben.balance()) == (0, 0)
        assert one.state == "cancelled", "a worker that knows of the cancel claims nothing"


class CrossingEngines(HeldEngines):
    """Engines whose work is done in the very moment in which its job is cancelled: the result and the cancel cross."""

    def __init__(self, cancel) -> None:
        super().__init__()
        self.cancel = cancel

    async def run(self, workload, model, payload, **how):
        result = await super().run(workload, model, payload, **how)
        self.cancel()
        return result


@pytest.mark.parametrize("texts", [1, 9000], ids=["short", "long"])
async def test_a_cancel_that_crosses_the_result_comes_too_late_and_the_work_is_paid(tmp_path, texts):
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(LIMIT_S):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box", start=False)
        worker.engines = CrossingEngines(lambda: job.cancel())
        await worker.start()
        job = asyncio.ensure_future(asker.run(*["a harbour at night"] * texts))
        await asyncio.wait([job])
        assert job.cancelled(), "its caller is not told otherwise"
        await until(lambda: _charged(ann, town))
        (one,) = (await ann.do(calls.jobs(town.network))).jobs
        assert (one.state, one.device, one.charge > 0) == ("done", worker.id, True)
        await settled(town, ann, [asker, worker], one.charge)
        assert (await ann.do(credit.marks(town.network))).marks == ()
        worker.engines.cancel = lambda: None
        assert (await asker.run("boats in the dark")).device == worker.id


async def test_words_that_cross_a_cancel_are_paid_as_far_as_they_came(tmp_path, monkeypatch):
    monkeypatch.setitem(known.WORKLOADS, "chat", CHAT)
    async with a_town(tmp_path) as (town, ann, ben), asyncio.timeout(LIMIT_S):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box", start=False)
        worker.engines = TalkingOn(lambda: job.cancel())
        await worker.start()
        job = asyncio.ensure_future(asker.run(workload=CHAT, payload=payload_of([("user", QUESTION)])))
        await asyncio.wait([job])
        await until(lambda: _charged(ann, town))
        (one,) = (await ann.do(calls.jobs(town.network))).jobs
        assert (one.state, one.units) == ("done", 15 + 3), "input, and the word that had left"
        assert (await ann.do(credit.marks(town.network))).marks == ()


class TalkingOn(StubbornEngines):
    """Engines that say a first word in the moment in which they are told to stop."""

    def __init__(self, cancel) -> None:
        super().__init__()
        self.cancel = cancel

    async def run(self, workload, model, payload, *, listener, **how):
        listener.outlet.put(b"Ten")
        self.cancel()
        await asyncio.Event().wait()


async def _charged(person, town):
    return any(one.charge for one in (await person.do(calls.jobs(town.network))).jobs)
