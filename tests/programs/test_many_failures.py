"""However many jobs fail at once, the coordinator knows each as failed soon after, and nothing stays held for them."""

import asyncio
import random

import pytest

from agents import a_town, until
from mesh.agent.asking.asked import JobFailed
from mesh.sdk import calls
from mesh.workloads.process import EngineCrashed

pytestmark = pytest.mark.anyio

KINDS_S = (30.0, 31.0, 32.0)
"""Jobs of other limits are of other kinds: some come alone, with a permit of their own, others under a series."""


@pytest.mark.parametrize("seed", range(2))
async def test_every_job_that_failed_is_known_as_failed_soon_after(tmp_path, seed):
    draw = random.Random(seed)
    async with a_town(tmp_path) as (town, ann, ben):
        asker = await ann.device("ann-box", work=False)
        workers = [await ben.device(f"ben-{number}") for number in range(1 + seed)]
        for worker in workers:
            worker.engines.failure = EngineCrashed()
        failed: set[str] = set()

        async def one(after_s, limit_s):
            await asyncio.sleep(after_s)
            with pytest.raises(JobFailed) as error:
                await asker.run(limit_s=limit_s)
            failed.add(error.value.facts["job"])

        for jobs in (1, 20, 3):
            await asyncio.gather(*(one(draw.random() / 2, draw.choice(KINDS_S)) for _ in range(jobs)))

        async def all_known():
            known = (await ann.do(calls.jobs(town.network, 200))).jobs
            return {one.job for one in known if one.state == "failed"} == failed

        await until(all_known)
        assert len(failed) == 24
        await asker.stop()  # its series are closed

        async def nothing_held():
            return (await ann.do(calls.balance(town.network))).held == 0

        await until(nothing_held)
        assert await ann.balance() == 0
        assert (await ann.do(calls.verify(town.network))).ok
