"""Engines in their processes, with the real model: right answers, and clear ends whatever happens to the process."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from mesh.agent.engines.own import Engines
from mesh.errors import MeshError
from mesh.units import MIB
from mesh.workloads.catalogue import BUILTIN, EMBEDDINGS_DEFAULT, Catalogue, ModelFile, Source
from mesh.workloads.contract import BadInput, Listener, Payload, Turn
from mesh.workloads.embeddings import Embeddings, payload_of, vectors_of
from mesh.workloads.files import ModelFiles
from mesh.workloads.process import (
    CANCEL_GRACE_S,
    EngineCrashed,
    EngineNotLoaded,
    EngineOutOfMemory,
    JobTimedOut,
    child_environment,
)
from modelfolder import shared_model_files
from waiting import until
from wheels import sha256

pytestmark = pytest.mark.anyio

MODEL = EMBEDDINGS_DEFAULT
ENTRY = BUILTIN.entry("embeddings", MODEL)
WORDS = ("river", "paper", "light", "engine", "harbour", "seven", "quiet", "invoice", "over", "under", "the", "a")
PLENTY_S = 60.0
LARGE = Embeddings().rehearsal(3000)
"""Some ten seconds of work on two cores: never finished in these tests."""


@pytest.fixture
async def engines():
    async with Engines(shared_model_files(), lanes=2) as pool:
        yield pool


async def embed(pool: Engines, texts: Sequence[str], **limits: object) -> Payload:
    payload = payload_of(texts)
    result = await pool.run("embeddings", MODEL, payload, **{"limit_s": PLENTY_S, **limits})
    Embeddings().check_result(payload, result)
    return result


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def pid_of(pool: Engines) -> int:
    return pool.processes()[MODEL]


async def gone(pid: int, within_s: float = 60.0) -> None:
    """Wait until there is no such process (a zombie that nobody waits for counts as gone)."""

    def wait() -> None:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                process.wait(timeout=within_s)
        except psutil.NoSuchProcess:
            return

    await asyncio.to_thread(wait)


async def a_running_large_job(pool: Engines, **limits: object) -> "asyncio.Task[Payload]":
    """Start a job of some ten seconds and wait until it got somewhere."""
    started = asyncio.Event()
    job = asyncio.ensure_future(
        pool.run(
            "embeddings",
            MODEL,
            LARGE,
            **{"limit_s": PLENTY_S, "listener": Listener(advance=lambda _: started.set()), **limits},
        )
    )
    await asyncio.wait_for(started.wait(), PLENTY_S)
    return job


async def test_a_paraphrase_is_near_and_a_stranger_far(engines):
    result = await embed(
        engines,
        ["A cat sits on the mat.", "A kitten is resting on the rug.", "The central bank raised interest rates again."],
    )
    cat, kitten, bank = vectors_of(result)
    assert dot(cat, kitten) > 0.5
    assert dot(cat, bank) < 0.3
    assert all(dot(vector, vector) == pytest.approx(1, abs=1e-5) for vector in (cat, kitten, bank))
    assert result.manifest["model"] == MODEL and result.manifest["dim"] == 384


async def test_a_text_has_the_same_bits_alone_and_in_any_batch(engines):
    seeded = random.Random(7)
    texts = [" ".join(seeded.choices(WORDS, k=seeded.randint(1, 120))) for _ in range(48)]
    alone = [(await embed(engines, [text])).blobs[0] for text in texts]
    together = (await embed(engines, texts)).blobs[0]
    shuffled = seeded.sample(range(len(texts)), len(texts))
    queued = await asyncio.gather(*(embed(engines, [texts[place]]) for place in shuffled))
    assert together == b"".join(alone)
    assert [result.blobs[0] for result in queued] == [alone[place] for place in shuffled]


async def test_a_text_of_256_tokens_passes_and_one_more_is_refused_alone(engines):
    fits, too_long = "word " * 254, "word " * 255
    good, bad = await asyncio.gather(
        embed(engines, [fits]), embed(engines, ["short", too_long]), return_exceptions=True
    )
    assert isinstance(good, Payload) and good.manifest["tokens"] == 256
    assert isinstance(bad, MeshError)
    assert bad.wire_code == "input.text_too_long"
    assert bad.facts == {"index": 1, "tokens": 257, "limit": 256}
    assert "word" not in str(bad.wire())


async def test_a_text_that_is_too_long_is_cut_where_that_is_asked(engines):
    fits, long = "word " * 254, "word " * 254 + "harbour light " * 50
    cut = await engines.run("embeddings", MODEL, payload_of(["short", long], cut=True), limit_s=PLENTY_S)
    whole = await embed(engines, ["short", fits])
    assert cut.blobs == whole.blobs
    assert cut.manifest == whole.manifest


async def test_bad_input_is_refused_before_a_process_is_started(engines):
    with pytest.raises(BadInput):
        await embed(engines, [])
    assert engines.processes() == {}


async def test_a_small_job_does_not_wait_for_a_large_one(engines):
    large = await a_running_large_job(engines)
    await asyncio.wait_for(embed(engines, ["quick"]), PLENTY_S)
    assert not large.done()
    large.cancel()


async def test_a_killed_process_fails_its_jobs_with_the_reason_and_the_next_job_works(engines):
    large = await a_running_large_job(engines)
    first = pid_of(engines)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineCrashed) as failed:
        await large
    assert failed.value.wire_code == "engine.crashed"
    assert failed.value.facts == {"exit": -signal.SIGKILL}
    await embed(engines, ["after the crash"])
    assert pid_of(engines) != first


async def test_a_cancelled_job_leaves_the_process_to_the_others(engines):
    large = await a_running_large_job(engines)
    first = pid_of(engines)
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    await embed(engines, ["next"], limit_s=60.0)
    assert pid_of(engines) == first


LONGEST = payload_of(["word " * 250] * 64)
"""Batches of the largest size: some two seconds each where cores are busy with other tests."""


async def test_a_batch_that_nobody_wants_any_more_is_stopped_within_a_second(engines):
    await embed(engines, ["warm"])
    process, seen = engines._slots["embeddings", MODEL, ""].process, psutil.Process(pid_of(engines))
    for _ in range(3):
        job = asyncio.ensure_future(engines.run("embeddings", MODEL, LONGEST, limit_s=PLENTY_S))
        await until_busy(seen)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        cancelled = asyncio.get_running_loop().time()
        await until(lambda: not process._leaving)
        assert asyncio.get_running_loop().time() - cancelled < CANCEL_GRACE_S
    assert process.alive, "it stopped by itself, and was not killed"


async def until_busy(process, for_s=0.1):
    """Wait until a process has computed for a while."""

    def spent():
        return process.cpu_times().user

    before = spent()
    await until(lambda: spent() >= before + for_s)


async def test_an_engine_that_does_not_heed_a_cancel_is_killed_after_a_second(engines):
    await embed(engines, ["warm"])
    first = pid_of(engines)
    job = asyncio.ensure_future(engines.run("embeddings", MODEL, LONGEST, limit_s=PLENTY_S))
    await until_busy(psutil.Process(first))
    os.kill(first, signal.SIGSTOP)
    job.cancel()
    cancelled = asyncio.get_running_loop().time()
    await gone(first)
    assert CANCEL_GRACE_S * 0.9 < asyncio.get_running_loop().time() - cancelled < CANCEL_GRACE_S + 2
    await embed(engines, ["after"])


async def test_the_owners_job_overtakes_all_that_waits(engines):
    others = await a_running_large_job(engines)
    mine = asyncio.ensure_future(
        engines.run("embeddings", MODEL, Embeddings().rehearsal(300), limit_s=PLENTY_S, turn=Turn(first=True))
    )
    other = asyncio.ensure_future(embed(engines, ["of somebody else"] * 100))
    await mine
    assert not others.done() and not other.done()
    for job in (others, other):
        job.cancel()


async def test_a_lane_kept_for_the_owner_is_used_by_the_owner_alone(engines):
    engines.limit_others(0.5)
    others = await a_running_large_job(engines)
    seen = psutil.Process(pid_of(engines))

    def by_thread():
        return {one.id: one.user_time for one in seen.threads()}

    before = by_thread()
    await until_busy(seen, for_s=0.6)
    idle, busy = sorted(now - before.get(thread, 0.0) for thread, now in by_thread().items())[-2:]
    assert idle < 0.3 * busy
    await asyncio.wait_for(embed(engines, ["mine"] * 64, turn=Turn(first=True)), PLENTY_S)
    engines.limit_others(1.0)
    assert not others.done()
    others.cancel()


async def test_a_job_over_its_limit_ends_and_the_process_goes_on(engines):
    await embed(engines, ["warm"])
    first = pid_of(engines)
    with pytest.raises(JobTimedOut) as failed:
        await engines.run("embeddings", MODEL, LARGE, limit_s=0.3)
    assert failed.value.wire_kind == "timed_out"
    await embed(engines, ["next"], limit_s=60.0)
    assert pid_of(engines) == first


async def test_a_process_that_hangs_is_killed_after_the_limit(engines):
    await embed(engines, ["warm"])
    first = pid_of(engines)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(JobTimedOut):
        await embed(engines, ["never answered"], limit_s=0.2)
    await gone(first, CANCEL_GRACE_S + 30.0)
    await embed(engines, ["after"])
    assert pid_of(engines) != first


async def test_a_process_over_its_memory_limit_is_stopped():
    small = Catalogue((msgspec.structs.replace(ENTRY, memory_limit_bytes=50 * MIB),))
    async with Engines(shared_model_files(), lanes=1, catalogue=small) as pool:
        with pytest.raises(EngineOutOfMemory) as failed:
            await embed(pool, ["text"] * 2000)
        assert failed.value.facts["limit_bytes"] == 50 * MIB


async def test_files_that_are_no_model_do_not_load_and_the_error_says_so(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk")
    junk = tuple(
        ModelFile(name, 4, sha256(b"junk"), (Source(f"file:{tmp_path / 'junk'}"),))
        for name in ("model.onnx", "tokenizer.json")
    )
    catalogue = Catalogue((msgspec.structs.replace(ENTRY, files=junk),))
    async with Engines(ModelFiles(tmp_path / "models"), lanes=1, catalogue=catalogue) as pool:
        for _ in range(2):
            with pytest.raises(EngineNotLoaded):
                await embed(pool, ["text"])
        assert pool.processes() == {} and pool.warm() == ()


async def test_leaving_the_pool_leaves_no_process_and_jobs_in_it_fail():
    async with Engines(shared_model_files(), lanes=1) as pool:
        large = await a_running_large_job(pool)
        pid = pid_of(pool)
    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineCrashed):
        await large


async def test_an_idle_engine_gives_its_memory_back_and_comes_again():
    async with Engines(shared_model_files(), lanes=1, idle_s=0.1) as pool:
        await embed(pool, ["one"])
        await gone(pid_of(pool)) if pool.processes() else None
        await embed(pool, ["two"])


async def test_callers_share_one_start_and_see_its_progress():
    stages: list[str] = []
    async with Engines(shared_model_files(), lanes=1) as pool:
        impatient = asyncio.ensure_future(embed(pool, ["cancelled"]))
        patient = asyncio.ensure_future(pool.prepare("embeddings", MODEL, lambda stage, *_: stages.append(stage)))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert pool.warm() == (MODEL,)
        assert stages[-1] == "loading" and "checking" in stages


async def test_a_device_measures_itself_and_remembers(engines):
    assert engines.offer("embeddings", MODEL).units_per_s == 0
    offer = await engines.measure("embeddings", MODEL)
    assert offer.warm and offer.units_per_s > 100 and 0 <= offer.overhead_s < 5 and offer.cold_load_s > 0
    assert offer.digest == ENTRY.digest
    assert engines.expected_s("embeddings", MODEL, 1000) == pytest.approx(offer.overhead_s + 1000 / offer.units_per_s)
    async with Engines(shared_model_files(), lanes=2) as restarted:
        restarted.recall(offer)
        assert restarted.offer("embeddings", MODEL) == msgspec.structs.replace(offer, warm=False)
        restarted.recall(msgspec.structs.replace(offer, digest="another model", units_per_s=1e9))
        assert restarted.offer("embeddings", MODEL).units_per_s == offer.units_per_s


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_process_sees_nothing_of_the_agents_environment(engines, monkeypatch):
    monkeypatch.setenv("MESH_SECRET", "hunter2")
    await embed(engines, ["x"])
    seen = psutil.Process(pid_of(engines)).environ()
    assert set(seen) == set(child_environment("/"))
    assert (Path("/proc") / str(pid_of(engines)) / "oom_score_adj").read_text().strip() == "1000"


AGENT = """
import asyncio, sys
from modelfolder import shared_model_files
from mesh.agent.engines.own import Engines
from mesh.workloads.embeddings import Embeddings

async def main():
    async with Engines(shared_model_files(), lanes=2) as pool:
        await pool.prepare("embeddings", Embeddings.default_model)
        job = asyncio.ensure_future(
            pool.run("embeddings", Embeddings.default_model, Embeddings().rehearsal(3000), limit_s=60)
        )
        print(*pool.processes().values(), flush=True)
        await job

asyncio.run(main())
"""


async def test_an_agent_that_is_killed_leaves_no_process_behind():
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AGENT),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))},
    )
    assert agent.stdout is not None
    while not (line := await asyncio.wait_for(agent.stdout.readline(), PLENTY_S)).strip().isdigit():
        assert line, "the agent ended by itself"
    agent.kill()
    await agent.wait()
    await gone(int(line))
