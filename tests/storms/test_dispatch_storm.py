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
        if act < 0.55:
            changes = {"sensitivity": draw.choice(("private", "private", "public", "sensitive"))}
            changes["limit_s"] = draw.choice((2.0, 600.0, 600.0))
            for _ in range(draw.choice((1, 1, 1, 8))):
                self.jobs.append(asyncio.ensure_future(world.ask(**changes)))
        elif act < 0.60:
            if self.jobs:
                draw.choice(self.jobs).cancel()
        elif act < 0.63:
            device.freeze()
        elif act < 0.75:
            device.thaw()
        elif act < 0.77:
            device.working.clear()
        elif act < 0.85:
            device.working.set()
        elif act < 0.88:
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
    assert paid == world.ends["done"] > world.numbered / 2
    assert {"first", "finish", "backup", "canary", "retry"} <= set(world.reasons)
    assert not any(world.under_way.values()), "something still runs"
