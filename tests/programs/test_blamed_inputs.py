"""Workers that put a failure down to the input: one of somebody else's is not believed, two that say the same are."""

import pytest

from agents import HeldEngines, a_town, until
from mesh.agent.asking.asked import JobFailed
from mesh.errors import MeshError, RemoteError
from mesh.sdk import calls

pytestmark = pytest.mark.anyio

UNREADABLE, TOO_LONG, CRASHED = "input.unreadable", "input.text_too_long", "engine.crashed"


class SayingEngines(HeldEngines):
    """Engines that say, whichever is asked next, the next of the codes that all of a network's share."""

    def __init__(self, codes):
        super().__init__()
        self.codes = codes

    async def run(self, workload, model, payload, **how):
        result = await super().run(workload, model, payload, **how)
        if self.codes:
            code = self.codes.pop(0)
            raise RemoteError(code, "invalid", f"It is the input, says this device: {code}.")
        return result


async def workers_of(person, codes, *names):
    workers = []
    for name in names:
        worker = await person.device(name, start=False)
        worker.engines = SayingEngines(codes)
        workers.append(await worker.start())
    return workers


def asked(workers):
    """How often any of them was asked since the last time."""
    queues = [worker.engines.started for worker in workers]
    return len([queue.get_nowait() for queue in queues for _ in range(queue.qsize())])


async def refused(asker, **how):
    with pytest.raises(MeshError) as error:
        await asker.run("a harbour at night", **how)
    return error.value


def offers(asker, worker):
    known = asker.agent.parts.membership.own.get(worker.id)
    return known is not None and known.capability.offers != ()


async def test_one_strangers_word_against_the_input_costs_that_device_the_job_and_nobody_else_anything(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, codes = await ann.device("ann-box", work=False), []
        workers = await workers_of(ben, codes, "ben-box", "ben-other", "ben-third")
        codes[:] = [UNREADABLE]
        done = await asker.run("a harbour at night")
        assert [one.code for one in done.attempts] == [UNREADABLE, ""]
        assert asked(workers) == 2
        codes[:] = [UNREADABLE, TOO_LONG]  # that is no agreement
        done = await asker.run("a harbour at night")
        assert [one.code for one in done.attempts] == [UNREADABLE, TOO_LONG, ""]
        assert asked(workers) == 3
        codes[:] = [UNREADABLE, UNREADABLE, UNREADABLE]
        assert (await refused(asker)).wire_code == UNREADABLE
        assert asked(workers) == 2, "two devices said the same: no third is asked"
        codes[:] = [UNREADABLE, CRASHED, CRASHED]
        error = await refused(asker)
        assert error.wire_code == JobFailed.code
        assert [one["code"] for one in error.facts["attempts"]] == [UNREADABLE, CRASHED, CRASHED]
        codes.clear()

        async def all_known():
            jobs = (await ann.do(calls.jobs(town.network))).jobs
            told = sorted(one.code for one in jobs if one.state == "failed")
            return told == [UNREADABLE, JobFailed.code]

        await until(all_known)


async def test_where_one_device_is_all_there_is_its_word_ends_the_job_and_so_does_that_of_an_own_one(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, codes = await ann.device("ann-box", work=False), []
        (alone,) = await workers_of(ben, codes, "ben-box")
        codes[:] = [UNREADABLE]
        error = await refused(asker)
        assert (error.wire_code, error.wire_kind, asked([alone])) == (UNREADABLE, "invalid", 1)
        own = await workers_of(ann, codes, "ann-first", "ann-second")
        await until(lambda: all(offers(asker, worker) for worker in own))
        await town.away()  # then only one's own are asked, but for what there is a permit for
        await until(lambda: not asker.agent.parts.coordination.up)
        codes[:] = [UNREADABLE]
        assert ((await refused(asker, limit_s=40.0)).wire_code, asked(own)) == (UNREADABLE, 1)
        done = await asker.run("a harbour at night", limit_s=40.0)
        assert done.device in {worker.id for worker in own}
