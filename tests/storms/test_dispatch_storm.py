"""Jobs in bad weather: whatever the devices do, each job ends exactly once, with one result and one charge at most."""

import asyncio

import pytest

from storms.dispatch_world import JumpingLoop, World

STEPS = 10_000
SERVICES_S = (0.02, 0.02, 0.05, 0.3)


class Storm:
    def __init__(self, seed):
        self.world = World(seed, SERVICES_S)
        self.jobs = []

    def step(self):
        draw, world = self.world.draw, self.world
        act, device = draw.random(), draw.choice(self.world.devices)
        if act < 0.35:
            changes = {"sensitivity": draw.choice(("private", "private", "public", "sensitive"))}
            changes["limit_s"] = draw.choice((2.0, 600.0, 600.0))
            for _ in range(draw.choice((1, 1, 1, 4))):
                self.jobs.append(asyncio.ensure_future(world.ask(**changes)))
        elif act < 0.38:
            if self.jobs:
                draw.choice(self.jobs).cancel()
        elif act < 0.42:
            device.freeze()
        elif act < 0.60:
            device.thaw()
        elif act < 0.63:
            device.working.clear()
        elif act < 0.78:
            device.working.set()
        elif act < 0.82:
            device.die()
        elif act < 0.97:
            device.up.set()
        else:
            device.fails = draw.choice((0.0, 0.0, 0.0, 0.3))
        self.jobs = [job for job in self.jobs if not job.done()]

    async def run(self):
        for _ in range(STEPS):
            self.step()
            await asyncio.sleep(self.world.draw.choice((0.001, 0.01, 0.02, 0.1)))
            self.check()
        for device in self.world.devices:
            device.up.set()
            device.thaw()
            device.working.set()
            device.fails = 0.0
        await asyncio.gather(*self.jobs)
        await self.world.requester.stop()
        await asyncio.gather(*self.world.hearing)

    def check(self):
        assert not self.world.bugs, self.world.bugs
        for line in self.world.requester.dispatch.lines.values():
            for entry in line.entries:
                waits, flies = entry in line.waiting, bool(entry.flights)
                assert waits != flies or entry.over.done() or entry.not_before_s, "a job is nowhere, or in two places"
                assert len({flight.target.device for flight in entry.flights}) == len(entry.flights)


async def story(seed):
    storm = Storm(seed)
    await storm.run()
    return storm.world


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4, 5))])
def test_each_job_ends_once_with_one_result_and_one_charge(seed):
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        world = runner.run(story(seed))
    assert sum(world.ends.values()) == world.numbered, "a job ended twice, or never"
    assert len(world.answered) == world.numbered, "a job was not answered"
    paid = 0
    for job in world.answered:
        number, pays = world.settle(job)
        assert len(pays) <= 1, "a job is paid twice"
        assert [one.attempt for one in pays] == ([] if number is None else [number])
        paid += len(pays)
    assert paid == world.ends["done"] + len(world.crossed) and world.ends["done"] > world.numbered / 2
    assert world.crossed, "no cancel crossed a result"
    assert not world.denied & world.claims, "honest devices contradict each other"
    assert {"first", "finish", "backup", "canary", "retry"} <= set(world.reasons)
    assert not any(world.under_way.values()), "something still runs"


async def flood(rate_per_s, seconds, limit_s):
    """Jobs come at a steady rate, whatever becomes of them; two devices with one slot each, 0.3 s a job."""
    world = World(7, (0.3, 0.3))
    world.declines = 0.0
    loop, jobs = asyncio.get_running_loop(), []
    for number in range(int(rate_per_s * seconds)):
        await asyncio.sleep(max(0.0, number / rate_per_s - (loop.time() - 1000.0)))
        jobs.append(asyncio.ensure_future(world.ask(limit_s=limit_s)))
        assert sum(len(line.waiting) for line in world.requester.dispatch.lines.values()) < 4 * limit_s / 0.3
    await asyncio.gather(*jobs)
    await world.requester.stop()
    return world


def test_at_ten_times_the_load_devices_do_useful_work_alone_and_the_rest_is_told_when_to_ask_again():
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        world = runner.run(flood(rate_per_s=66.0, seconds=30.0, limit_s=10.0))
    able = 30.0 / 0.3 * 2
    assert world.ends["done"] > 0.9 * able
    assert world.ends["job.all_busy"] == world.numbered - world.ends["done"]
    assert world.hints == world.ends["job.all_busy"], "every refusal says when to ask again"
    assert max(world.took) < 10.0
    assert len(world.claims) <= 1.05 * world.ends["done"], "work was done in vain"
