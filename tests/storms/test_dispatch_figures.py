"""What the simulation of dispatch promises, of the programs themselves, in time that is made up: so to the millisecond.

One of two devices is frozen (it says nothing), or hung (it answers and beats, its engine does nothing), and nobody
knows it when the jobs begin.
"""

import asyncio

import pytest

from storms.dispatch_world import JumpingLoop, World

JOBS = 24


def played(story, *arguments):
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(story(*arguments))


def a_world(*services_s):
    world = World(5, services_s)
    world.declines, world.scatter = 0.0, 0.0
    return world


async def bag(world, jobs=JOBS):
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(world.ask() for _ in range(jobs)))
    return asyncio.get_running_loop().time() - started


async def one_by_one(world, jobs=JOBS):
    started = asyncio.get_running_loop().time()
    for _ in range(jobs):
        await world.ask()
    return asyncio.get_running_loop().time() - started


async def alone(do, service_s):
    world = a_world(service_s)
    await bag(world)
    took = await do(world)
    await world.requester.stop()
    return took


async def with_one_out(do, service_s, how):
    world = a_world(service_s, service_s)
    for _ in range(3):
        await bag(world)
    out = world.devices[0]
    out.freeze() if how == "frozen" else out.working.clear()
    took = await do(world)
    assert world.ends == {"done": world.numbered}
    tried = world.attempts[out.id]
    await do(world)
    later = world.attempts[out.id] - tried
    out.thaw()
    out.working.set()
    before = world.attempts[out.id]
    for _ in range(20):
        await bag(world)
        if world.attempts[out.id] >= before + JOBS // 2:
            break
    else:
        raise AssertionError("it works again, and is not used again")
    await world.requester.stop()
    return took, later


@pytest.mark.parametrize("service_s", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("do", [bag, one_by_one])
@pytest.mark.parametrize("how", ["frozen", "hung"])
def test_a_device_that_is_out_costs_little_and_gets_no_new_work(how, do, service_s):
    took, later = played(with_one_out, do, service_s, how)
    assert took <= 1.15 * played(alone, do, service_s)
    assert later == 0 if how == "frozen" else later <= 8, "canaries alone"


async def two_against_one(service_s, jobs):
    one, two = a_world(service_s), a_world(service_s, service_s)
    for world in (one, two):
        await bag(world)
    before = two.attempts.copy()
    alone_s, together_s = await bag(one, jobs), await bag(two, jobs)
    for world in (one, two):
        await world.requester.stop()
    return alone_s / together_s, [two.attempts[device.id] - before[device.id] for device in two.devices]


@pytest.mark.parametrize(("service_s", "jobs"), [(0.02, 200), (0.3, 24), (3.0, 24)])
def test_two_equal_devices_do_a_bag_almost_twice_as_fast_and_share_it(service_s, jobs):
    faster, shares = played(two_against_one, service_s, jobs)
    assert faster >= 1.9
    assert max(shares) <= 1.1 * min(shares)


async def unequal():
    world = a_world(0.1, 1.0, 5.0)
    await bag(world, 60)
    took = await bag(world, 111)
    await world.requester.stop()
    return took


def test_a_slow_device_never_holds_up_the_end_of_a_bag():
    assert played(unequal) <= 1.25 * 111 / (10 + 1 + 0.2)


async def held_up():
    world = a_world(0.3, 0.3)
    await bag(world)
    jobs = [asyncio.ensure_future(world.ask()) for _ in range(4)]
    await asyncio.sleep(0.1)
    asyncio.get_running_loop()._time_s += 10.0  # nothing of this device ran for ten seconds
    await asyncio.gather(*jobs)
    await world.requester.stop()
    return world


def test_when_this_device_itself_was_held_up_nobody_else_was_silent():
    world = played(held_up)
    seen = world.requester.dispatch.knowledge.devices.values()
    assert [one.silent for one in seen] == [None, None]
    assert set(world.reasons) <= {"first", "finish"}


async def sensitive():
    world = a_world(0.3, 0.3)
    await bag(world)
    for device in world.devices:
        device.working.clear()
    job = asyncio.ensure_future(world.ask(sensitivity="sensitive"))
    await asyncio.sleep(0.1)
    for device in world.devices:
        if not device.attempts:
            device.working.set()
    await job
    await world.requester.stop()
    return world


def test_a_sensitive_job_leaves_a_hung_device_and_is_never_at_two():
    world = played(sensitive)  # the world itself refuses a second one
    assert world.ends == {"done": world.numbered}
    assert not {"backup", "canary"} & set(world.reasons)


async def benched_and_frozen(service_s):
    world = a_world(service_s, service_s)
    for _ in range(3):
        await bag(world)
    slow, out = world.devices
    slow.working.clear()
    await bag(world)
    slow.working.set()
    out.freeze()
    took = await bag(world, 8)
    assert world.ends == {"done": world.numbered}
    out.thaw()
    await world.requester.stop()
    return took


@pytest.mark.parametrize("service_s", [0.02, 0.3])
def test_a_device_that_was_slow_is_better_than_one_that_is_silent(service_s):
    """Before anything has shown that it works again: the silent one's jobs go there, not before long to nobody."""
    assert played(benched_and_frozen, service_s) <= 8 * service_s + 0.5
