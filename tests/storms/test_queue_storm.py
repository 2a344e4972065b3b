"""A worker's queue in bad weather: whatever comes, is cancelled, pushed out, late or jumps in time, each accepted job
ends exactly once, the owner never waits for others, and nothing is held at the end.
"""

import random

import pytest

from mesh.agent.working.fair_queue import QUEUE_MAX
from mesh.agent.working.queueing import Bid, QueueFull, TooLate, TooManyJobs, Work

STEPS = 10_000
MEMBERS = ("owner", "ann", "ben", "cyd", "dan")


class World:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.now_s = 0.0
        self.work = Work("owner", lambda: self.now_s)
        self.waiting, self.running, self.ended = {}, {}, {}
        self.refused = 0
        self.number = 0

    def end(self, number, how):
        assert number not in self.ended, f"{number} ended twice: {self.ended[number]}, {how}"
        self.ended[number] = how

    def arrive(self):
        self.number += 1
        draw = self.draw
        bid = Bid(
            draw.choices(MEMBERS, (1, 6, 3, 1, 1))[0],
            draw.choice((0.001, 0.02, 0.3, 4.0)),
            draw.choice((10, 10, 10**7)),
            draw.choice((0.5, 10.0, 600.0)),
            draw.choice((None, None, 1.0)),
            self.now_s,
        )
        try:
            if self.work.admit(bid) is None:
                return
            pushed = self.work.put(bid, self.number)
        except (TooLate, TooManyJobs, QueueFull) as error:
            assert error.facts["retry_after_s"] > 0
            self.refused += 1
            return
        self.work.hold(bid)
        self.waiting[self.number] = bid
        if pushed is not None:
            self.work.release(self.waiting.pop(pushed))
            self.end(pushed, "pushed out")

    def feed(self):
        while True:
            job, late = self.work.next()
            for number in late:
                self.work.release(self.waiting.pop(number))
                self.end(number, "late")
            if job is None:
                return
            assert self.now_s <= job.start_by_s
            self.running[job.entry] = (job, self.waiting.pop(job.entry))

    def finish(self, how):
        if self.running:
            number = self.draw.choice(list(self.running))
            job, bid = self.running.pop(number)
            self.work.end(job)
            self.work.release(bid)
            self.end(number, how)

    def cancel(self):
        if self.waiting:
            number = self.draw.choice(list(self.waiting))
            assert self.work.queue.remove(number)
            self.work.release(self.waiting.pop(number))
            self.end(number, "cancelled")

    def step(self):
        act = self.draw.random()
        if act < 0.45:
            self.arrive()
        elif act < 0.8:
            self.finish("done")
        elif act < 0.85:
            self.finish("cancelled")
        elif act < 0.88:
            self.cancel()
        elif act < 0.9:
            self.work.others_max = self.draw.choice((None, 1, 4))
        else:
            self.now_s += self.draw.choice((0.001, 0.05, 1.0, 1.0, 60.0))  # 60 s: the machine slept
        self.feed()

    def check(self):
        load = self.work.load()
        assert load.depth == len(self.waiting) + len(self.running) <= QUEUE_MAX + 64
        assert load.work_s >= 0 and self.work.running == len(self.running)
        owners = sum(bid.member == "owner" for _, bid in self.running.values())
        if any(bid.member == "owner" for bid in self.waiting.values()):
            assert owners, "the owner's jobs wait for each other alone"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_accepted_job_ends_exactly_once(seed):
    world = World(seed)
    for _ in range(STEPS):
        world.step()
        world.check()
    world.work.others_max = None
    while world.waiting or world.running:
        world.finish("done")
        world.feed()
    accepted = world.number - world.refused
    assert len(world.ended) <= accepted
    assert (len(world.work.queue), world.work.running, world.work.load().depth) == (0, 0, 0)
    assert (world.work._held_bytes, dict(world.work._held)) == (0, {})
    assert {"done", "cancelled", "late"} <= set(world.ended.values())
    assert world.refused > 0
