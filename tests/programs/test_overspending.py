"""Requesters that want more than they set aside, and people who work together against a ledger: nobody gets more.

A hostile requester shows one permit to every worker at once, and workers are killed in between; friends in a *strict*
network do junk for each other. Workers are real ones as far as shares go, the ledger is a real one.

Touches: files (databases), threads, processes, sockets (databases).
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engines import ENGINES
from ledger_world import Party, World
from mesh.agent.working.checks import PermitRefused
from mesh.coordinator.acts.permit import RequesterStopped
from mesh.errors import MeshError
from mesh.protocol.permit import Permit
from programs.test_worker_shares import Device

pytestmark = pytest.mark.anyio
JOB, NET = 3700, 3515
DAY_MS = 86_400_000


@pytest.fixture(params=ENGINES[:2])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path), line="strict")
    yield made
    proof = made.verify()
    assert proof.ok, proof.wrong
    made.database.close()


async def works(device: Device, permit: Permit, number: int) -> bool:
    """Whether a worker does a job under a permit: its share has room, and its claim is written before the result."""
    try:
        device.take(permit, JOB)
    except PermitRefused:
        return False
    await device.deliver(permit, number, JOB)
    return True


async def test_a_series_shown_to_all_while_workers_are_killed_buys_no_more_than_it_holds_and_pays_all(
    strict: World, tmp_path: Path
) -> None:
    hold = 3 * 10 * JOB
    strict.give(strict.ann, hold)
    workers = (strict.bob, strict.cyd, strict.dan)
    series = strict.series(*((worker, hold // 3) for worker in workers))
    machines = [await Device(tmp_path / worker.name, worker.device).start() for worker in workers]
    done: dict[str, int] = {worker.name: 0 for worker in workers}
    facts: list[str] = []
    for number in range(60):
        for worker, machine in zip(workers, machines, strict=True):
            job = strict.under(series)
            if not await works(machine, series, number):
                continue
            done[worker.name] += 1
            claim = strict.claim(job, worker)
            facts.append(strict.used(job, worker, claim=claim) if number % 2 else claim)  # the others: never answered
        if number % 7 == 0:
            for machine in machines:
                await machine.kill()
    for machine in machines:
        await machine.store.close()
    assert sum(done.values()) * JOB <= hold
    assert min(done.values()) >= 6, "a kill costs a begun step of a tenth"
    strict.report(*facts)
    strict.after_window(series)
    strict.now_ms += 2 * DAY_MS
    strict.sweep()
    assert {worker.name: strict.balance(worker).balance for worker in workers} == {
        name: jobs * NET for name, jobs in done.items()
    }, "honest workers are paid in full"
    assert strict.balance(strict.ann).balance == hold - sum(done.values()) * JOB
    assert strict.balance(strict.ann).held == 0


async def test_one_job_given_to_all_is_paid_while_there_is_something_and_stops_its_requester(
    strict: World, tmp_path: Path
) -> None:
    strict.give(strict.ann, 2 * JOB + 100)
    workers = (strict.bob, strict.cyd, strict.dan)
    permit = strict.grant(*workers, maximum=JOB)
    for number, worker in enumerate(workers, 1):
        machine = await Device(tmp_path / worker.name, worker.device).start()
        assert await works(machine, permit, number), "none of them can know of the others"
        await (await machine.kill()).store.close()
        strict.report(strict.used(permit, worker, number, claim=strict.claim(permit, worker, number)))
    assert strict.states(permit) == {1: "paid", 2: "paid_second", 3: "owed"}
    assert [strict.balance(worker).balance for worker in workers] == [NET, NET, 0]
    assert strict.balance(strict.ann).balance == 100
    strict.give(strict.ann, 10 * JOB)
    with pytest.raises(RequesterStopped):
        strict.grant(strict.bob)


def asking(world: World, party: Party) -> World:
    """The same world as one in whose name this party asks."""
    other = World.__new__(World)
    other.__dict__.update(world.__dict__, ann=party)
    return other


@pytest.mark.parametrize("jobs", [200, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("vouched", [True, False])
@pytest.mark.parametrize("many", [2, 5])
def test_friends_who_do_junk_for_each_other_can_spend_no_more_than_before(
    tmp_path: Path, many: int, vouched: bool, jobs: int
) -> None:
    """Whatever they claim, acknowledge, deny and say late; an admin even clears what counts against them."""
    world = World(tmp_path / "mesh.db", line="strict", vouched=vouched, more=1)
    seed = random.SystemRandom().randrange(10**6)
    dice, friends, permit, done = random.Random(seed), world.parties[:many], None, 0
    for party in friends:
        world.give(party, 60_000)
    before = many * 60_000
    while done < jobs:
        payer, worker = dice.sample(friends, 2)
        mine = asking(world, payer)
        mine.now_ms = world.now_ms
        with suppress(MeshError):  # nothing left, or kept apart
            permit = mine.grant(worker, maximum=dice.choice([JOB, 20_000]))
            claim = mine.claim(permit, worker, units=dice.choice([1000, 10**9]))
            tokens = [claim, mine.used(permit, worker, units=dice.choice([1, 1000, 10**9]), claim=claim)]
            tokens += [mine.failed(permit, worker), mine.superseded(permit, worker)]
            mine.report(*dice.sample(tokens, dice.randint(1, 4)))
        done += 1
        if done % 20 == 0:
            world.now_ms += dice.choice([60_000, 30 * 60_000, DAY_MS])
            world.sweep()
            can_spend = sum((world.balance(party).free or 0) for party in friends)
            assert can_spend <= before, f"seed {seed}, job {done}"
    for _ in range(3):
        world.now_ms += 8 * DAY_MS
        while world.sweep().more:
            pass
    money = [world.balance(party) for party in friends]
    assert permit is not None and sum(one.held for one in money) == 0
    assert sum(one.balance + one.pending for one in money) < before, "the fee is lost to them"
    proof = world.verify()
    assert proof.ok, proof.wrong
    world.database.close()
