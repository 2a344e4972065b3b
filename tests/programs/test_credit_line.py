"""The credit line changes: nobody can spend what was run up while nobody was held to anything, and nothing is lost.

Touches: files (databases), threads, sockets (databases).
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from engines import ENGINES
from ledger_world import Party, World
from mesh.coordinator.acts.credit_line import set_credit_line
from mesh.coordinator.acts.networks import BadSetting
from mesh.coordinator.store import decisions
from mesh.coordinator.store.connection import Store
from mesh.credits.transfers import WELCOME
from mesh.errors import MeshError
from mesh.networks.membership import NotMember
from programs.test_overspending import asking

JOB, NET = 3700, 3515
DAY_MS = 86_400_000


@pytest.fixture(params=ENGINES[:2])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    proof = made.verify()
    assert proof.ok is not made.broken, proof.wrong
    made.database.close()


def change(world: World, line: str) -> None:
    world.now_ms += 1000
    world.database.write_and_wait(
        lambda store: set_credit_line(store, world.network, line, by=world.ann.member, moment=world.moment)  # type: ignore[arg-type]
    )


def has(world: World, *parties: Party) -> list[int]:
    return [world.balance(party).balance for party in parties]


def work(world: World, worker: Party) -> None:
    permit = world.grant(worker)
    world.report(world.used(permit, worker, claim=world.claim(permit, worker)))


def test_each_line_has_its_own_balances_and_the_allowance_comes_once(world: World) -> None:
    work(world, world.bob)
    change(world, "strict")
    assert has(world, world.ann, world.bob) == [WELCOME, WELCOME]
    assert world.balance(world.ann).free == WELCOME
    work(world, world.bob)
    change(world, "friends")
    assert has(world, world.ann, world.bob) == [-JOB, NET], "as it was"
    change(world, "strict")
    assert has(world, world.ann, world.bob) == [WELCOME - JOB, WELCOME + NET]
    lines = world.rows("select kind, approver, reason from postings where kind = 'line'")
    assert {(row.approver, row.reason) for row in lines} == {
        (world.ann.member, f"the credit line is {line} now") for line in ("strict", "friends")
    }


def test_the_same_line_again_changes_nothing(world: World) -> None:
    work(world, world.bob)
    change(world, "friends")
    assert has(world, world.ann, world.bob) == [-JOB, NET]
    assert not world.rows("select id from postings where kind = 'line'")


def test_a_line_that_does_not_exist_and_a_network_that_does_not_exist_are_refused(world: World) -> None:
    with pytest.raises(BadSetting):
        change(world, "loose")
    world.network = world.ids()
    with pytest.raises(NotMember):
        change(world, "strict")
    world.network = world.rows("select id from networks")[0].id


def test_a_hold_made_under_friends_is_released_and_its_job_is_paid_from_what_is_free(world: World) -> None:
    small, large = world.grant(world.bob), world.grant(world.bob, maximum=2 * WELCOME, units=10**9)
    change(world, "strict")
    assert world.balance(world.ann).held == 0
    claim = world.claim(large, world.bob, units=500 * 10**6)
    world.report(world.used(large, world.bob, units=500 * 10**6, claim=claim))
    assert world.states(large) == {1: "owed"}, "more than the allowance"
    world.report(world.used(small, world.bob, claim=world.claim(small, world.bob)))
    assert has(world, world.ann, world.bob) == [WELCOME - JOB, WELCOME + NET]


def test_a_series_ends_with_the_line_and_what_was_claimed_before_is_paid_under_it(world: World) -> None:
    series = world.series((world.bob, 40_000))
    said, later = world.under(series), world.under(series)
    world.report(world.claim(said, world.bob))
    change(world, "strict")
    assert world.balance(world.ann).held == 0
    world.report(world.used(later, world.bob, claim=world.claim(later, world.bob)))
    assert has(world, world.ann, world.bob) == [WELCOME - JOB, WELCOME + NET]
    change(world, "friends")
    assert has(world, world.ann, world.bob) == [-JOB, NET]


def test_what_was_pending_is_no_more_deniable_and_stays_where_it_was_earned(world: World) -> None:
    permit = world.grant(world.bob)
    world.report(world.claim(permit, world.bob))
    world.after_window(permit)
    assert world.balance(world.bob).pending == NET
    change(world, "strict")
    assert (world.balance(world.bob).balance, world.balance(world.bob).pending) == (WELCOME, 0)
    world.report(world.failed(permit, world.bob))
    world.now_ms += 2 * DAY_MS
    world.sweep()
    assert has(world, world.ann, world.bob) == [WELCOME, WELCOME]
    change(world, "friends")
    assert has(world, world.ann, world.bob) == [-JOB, NET]


@pytest.mark.parametrize("jobs", [200, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("many", [2, 5])
def test_colluders_can_spend_no_more_however_often_the_line_changes(tmp_path: Path, many: int, jobs: int) -> None:
    """They do junk for each other under both lines, with jobs in every state when it changes."""
    world = World(tmp_path / "mesh.db", line="strict", more=1)
    seed = random.SystemRandom().randrange(10**6)
    dice, friends, line = random.Random(seed), world.parties[:many], "strict"
    for party in friends:
        world.give(party, 60_000)
    change(world, "friends")
    change(world, "strict")
    before = sum(has(world, *friends))
    for number in range(jobs):
        if number % 20 == 0:
            line = "friends" if line == "strict" else "strict"
            change(world, line)
        payer, worker = dice.sample(friends, 2)
        mine = asking(world, payer)
        mine.now_ms = world.now_ms
        with suppress(MeshError):  # nothing left, or stopped
            permit = mine.grant(worker, maximum=dice.choice([JOB, 20_000, 10**9]))
            claim = mine.claim(permit, worker, units=dice.choice([1000, 10**8]))
            tokens = [claim, mine.used(permit, worker, units=10**8, claim=claim), mine.failed(permit, worker)]
            mine.report(*dice.sample(tokens, dice.randint(0, 2)))
        if number % 7 == 0:
            world.now_ms += dice.choice([60_000, 30 * 60_000, DAY_MS])
            world.sweep()
            assert world.verify().ok, f"seed {seed}, job {number}"
        if line == "strict":
            money = [world.balance(party) for party in friends]
            assert sum(one.free or 0 for one in money) <= before, f"seed {seed}, job {number}"
            assert min(one.balance - one.held for one in money) >= 0, f"seed {seed}, job {number}"
    proof = world.verify()
    assert proof.ok, (proof.wrong, seed)
    world.database.close()


def test_the_line_changes_while_jobs_are_settled_beside_it(world: World) -> None:
    """Whatever comes first, each payment is in one line's balances, whole."""
    jobs = 30
    permits = [world.grant(world.bob) for _ in range(jobs)]
    tokens = [world.used(permit, world.bob, claim=world.claim(permit, world.bob)) for permit in permits]
    reporting = Thread(target=lambda: [world.report(token) for token in tokens])
    reporting.start()
    change(world, "strict")
    reporting.join(60)
    assert not reporting.is_alive()
    strict = has(world, world.bob)[0] - WELCOME
    change(world, "friends")
    assert strict + has(world, world.bob)[0] == jobs * NET
    assert strict % NET == 0


class Crash(Exception):
    """The coordinator ends with all of an act written and nothing committed."""


def test_a_change_that_ends_in_a_crash_has_changed_nothing(world: World) -> None:
    held = world.grant(world.bob)
    work(world, world.bob)

    def act(store: Store) -> None:
        set_credit_line(store, world.network, "strict", by=world.ann.member, moment=world.moment)  # type: ignore[arg-type]
        store.answered()
        raise Crash

    with pytest.raises(Crash):
        world.database.write_and_wait(act)
    world.reopen()
    assert has(world, world.ann, world.bob) == [-JOB, NET]
    assert world.balance(world.ann).held == held.maximum
    assert world.balance(world.ann).free is None, "still friends"


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("moved by something else", "update postings set kind = 'admin' where kind = 'line'"),
        ("by nobody", "update postings set approver = null where kind = 'line'"),
        ("by somebody who did not decide it", "update postings set approver = earner where kind = 'line'"),
        ("of another change", "update postings set business = business || '1' where kind = 'line'"),
        ("at another time", "update postings set posted_ms = posted_ms - 1 where kind = 'line'"),
        (
            "in another's name",
            "update accounts set member = 'x' where id = (select min(id) from accounts where kind = 'aside')",
        ),
    ],
)
def test_verify_finds_what_was_set_aside_otherwise(world: World, what: str, statement: str) -> None:
    work(world, world.bob)
    change(world, "strict")
    assert world.verify().ok
    world.database.write_and_wait(lambda store: store.run(text(statement)))
    wrong = world.verify().wrong
    assert wrong is not None, what
    assert wrong.invariant == "what is set aside is moved by changes of the credit line"
    world.broken = True


def test_a_change_whose_decision_was_forgotten_since_is_no_fault(world: World) -> None:
    work(world, world.bob)
    change(world, "strict")
    change(world, "friends")
    gone = world.now_ms
    forget = decisions.forget
    assert world.database.write_and_wait(lambda store: forget(store, world.network, before_ms=gone, most=9)) == 1  # type: ignore[arg-type]
    assert world.verify().ok
