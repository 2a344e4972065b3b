"""Many at once, on each engine, and on PostgreSQL through two coordinators: money moves as if one came after the other.

Touches: files, threads, processes, sockets (databases).
"""

import contextlib
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from engines import ENGINES, Place
from ledger_world import PRICE, World
from mesh.coordinator.acts import close, limits, record
from mesh.coordinator.acts.permit import grant
from mesh.coordinator.evidence import open_batch, permits_named
from mesh.coordinator.store import decisions, sealing, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.opening import open_database
from mesh.credits.limits import DayLimitReached
from mesh.credits.transfers import HoldRefused
from mesh.networks.tokens import JoinToken, TokenUsed, redeem

WAIT_S = 90


class Two:
    """A world, and a second coordinator on the same database where the engine lets there be one."""

    def __init__(self, world: World, place: Place) -> None:
        self.world = world
        self.second = world.database if isinstance(place.where, Path) else open_database(place.where)

    def at(self, number: int) -> Database:
        return (self.world.database, self.second)[number % 2]

    def close(self) -> None:
        proof = self.world.verify()
        assert proof.ok, proof.wrong
        if self.second is not self.world.database:
            self.second.close()
        self.world.database.close()


@pytest.fixture(params=ENGINES)
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    place = request.getfixturevalue(request.param)(tmp_path)
    made = Two(World(place, line="strict"), place)
    yield made
    made.close()


@pytest.fixture(params=ENGINES)
def friends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Two]:
    place = request.getfixturevalue(request.param)(tmp_path)
    made = Two(World(place), place)
    yield made
    made.close()


def together(acts: list[Callable[[], Any]]) -> list[Any]:
    """Run all at the same moment; each one's result or error."""
    gate, answers = threading.Barrier(len(acts)), [None] * len(acts)

    def one(at: int) -> None:
        gate.wait(WAIT_S)
        try:
            answers[at] = acts[at]()
        except Exception as error:  # noqa: BLE001 - looked at by whoever asked
            answers[at] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    return answers


def test_64_permits_at_once_never_cross_the_floor(strict: Two) -> None:
    world = strict.world
    world.give(world.ann, 10_000 * 7 + 9_999)
    wanted = [world.wanted(world.bob) for _ in range(64)]
    moment = world.moment
    answers = together([
        lambda at=at: strict.at(at).write_and_wait(grant, wanted[at], moment) for at in range(64)
    ])  # fmt: skip
    kinds = Counter(type(one).__name__ for one in answers)
    assert kinds == {"Granted": 7, "HoldRefused": 57}, [one for one in answers if not isinstance(one, HoldRefused)]
    assert world.balance(world.ann).held == 70_000


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_64_permits_at_once_from_two_processes_never_cross_the_floor(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    world = World(where, line="strict")
    world.give(world.ann, 10_000 * 7 + 9_999)
    program = str(Path(__file__).parents[1] / "ledger_racing.py")
    with contextlib.ExitStack() as stack:
        racers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, program, where, str(number), "32"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for number in range(2)
        ]  # fmt: skip
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        told = [Counter(json.loads(racer.communicate(timeout=WAIT_S)[0])) for racer in racers]
    assert told[0] + told[1] == {"Granted": 7, HoldRefused.code: 57}
    assert world.balance(world.ann).held == 70_000
    proof = world.verify()
    assert proof.ok, proof.wrong
    world.database.close()


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_a_transaction_asleep_before_its_commit_is_sealed_after_it(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    """Whether the sealer waits for it or goes past it: nothing is left out, and no number is missing."""
    where = request.getfixturevalue(engine)(tmp_path).where
    world, second = World(where), open_database(where)
    late, early = world.grant(world.bob), world.grant(world.bob)
    posted, wake = threading.Event(), threading.Event()
    facts = [world.used(late, world.bob, claim=world.claim(late, world.bob))]
    opened = open_batch(
        facts, world.database.read_and_wait(record.keys_of, world.network, [late.permit]), world.network
    )  # type: ignore[arg-type, list-item]
    moment = world.moment

    def asleep(store: Store) -> None:
        record.record_facts(store, world.network, opened.facts, moment, world.ready_ms)  # type: ignore[arg-type]
        store.answered()
        posted.set()
        assert wake.wait(WAIT_S)

    asleep.side_by_side = True  # type: ignore[attr-defined]

    def seal(database: Database) -> Any:
        return database.write_and_wait(sealing.seal, world.network, lambda number, hash_: f"{number}", world.now_ms)  # type: ignore[arg-type]

    sleeper = threading.Thread(target=world.database.write_and_wait, args=(asleep,))
    sleeper.start()
    assert posted.wait(WAIT_S)
    awake = threading.Timer(1.0, wake.set)
    awake.start()
    world.now_ms += 1
    reported(second, world, world.used(early, world.bob, claim=world.claim(early, world.bob)))
    seal(second)
    wake.set()
    sleeper.join(WAIT_S)
    seal(second)
    numbers = [row.sealed_number for row in world.rows("select sealed_number from postings order by sealed_number")]
    assert numbers == [1, 2]
    proof = world.verify()
    assert (proof.ok, proof.sealed, proof.unsealed) == (True, 2, 0)
    second.close()
    world.database.close()


def test_one_request_asked_16_times_at_once_is_one_permit(strict: Two) -> None:
    world = strict.world
    world.give(world.ann, 25_000)
    request, job = world.ids(), world.ids()
    wanted = [world.wanted(world.bob, request=request, job=job) for _ in range(16)]
    moment = world.moment
    answers = together([lambda at=at: strict.at(at).write_and_wait(grant, wanted[at], moment) for at in range(16)])
    assert len({one.permit.permit for one in answers}) == 1, answers
    assert sum(one.fresh for one in answers) == 1
    assert world.balance(world.ann).held == 10_000


def test_a_join_link_for_one_is_used_by_one_of_64(friends: Two) -> None:
    world = friends.world
    token = JoinToken(id=world.ids(), purpose="member", expires_ms=world.now_ms + 10**6, network=world.network,
                      maker=world.ann.member)  # fmt: skip
    world.database.write_and_wait(tokens.add, token, secret_hash="5" * 64, now_ms=world.now_ms)

    def use(store: Store) -> str:
        found = tokens.by_secret(store, "5" * 64)
        assert found is not None
        redeem(found, purpose="member", now_ms=world.now_ms)
        tokens.use(store, found.id, now_ms=world.now_ms)
        return "in"

    answers = together([lambda at=at: friends.at(at).write_and_wait(use) for at in range(64)])
    assert answers.count("in") == 1
    assert {type(one) for one in answers if one != "in"} == {TokenUsed}


def reported(database: Database, world: World, *facts: str) -> record.Recorded:
    keys = database.read_and_wait(record.keys_of, world.network, permits_named(facts))  # type: ignore[arg-type]
    opened = open_batch(facts, keys, world.network).facts  # type: ignore[arg-type]
    return database.write_and_wait(record.record_facts, world.network, opened, world.moment, world.ready_ms)  # type: ignore[arg-type]


@pytest.mark.parametrize("rounds", [12, pytest.param(200, marks=pytest.mark.long)])
def test_claim_and_answer_that_arrive_at_two_coordinators_at_once_pay_once(friends: Two, rounds: int) -> None:
    world = friends.world
    jobs = [world.grant(world.bob) for _ in range(rounds)]
    for permit in jobs:
        claim, used = world.claim(permit, world.bob), world.used(permit, world.bob)
        tokens_ = (claim, used, world.used(permit, world.bob, claim=claim), claim)
        answers = together([
            lambda at=at, token=token: reported(friends.at(at), world, token) for at, token in enumerate(tokens_)
        ])  # fmt: skip
        assert all(isinstance(one, record.Recorded) for one in answers), answers
    paid = Counter(row.job for row in world.rows("select job from postings where kind = 'settle'"))
    assert paid == {permit.job: 1 for permit in jobs}, "neither twice, nor left to the window"
    assert world.balance(world.ann).held == 0


def test_batches_about_the_same_jobs_in_any_order_all_come_through(friends: Two) -> None:
    world, dice = friends.world, random.Random(5)
    series = world.series((world.bob, 400_000))
    jobs = [world.under(series) for _ in range(24)]
    facts = [world.used(job, world.bob, claim=world.claim(job, world.bob)) for job in jobs]
    batches = [dice.sample(facts, 12) for _ in range(16)] + [facts[:12], facts[12:]]
    answers = together([
        lambda at=at, batch=batch: reported(friends.at(at), world, *batch) for at, batch in enumerate(batches)
    ])  # fmt: skip
    assert all(isinstance(one, record.Recorded) for one in answers), answers
    assert world.balance(world.bob).balance == 24 * 3515
    no_more = (world.no_more(series, world.ann, 24, world.bob), world.no_more(series, world.bob, 24))
    together([lambda at=at, token=token: reported(friends.at(at), world, token) for at, token in enumerate(no_more)])
    assert world.balance(world.ann).held == 0, "the last word closes the share, whichever of the two it is"
    assert [row.state for row in world.rows("select state from permits")] == ["closed"]


@pytest.mark.parametrize("rounds", [15, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_a_settlement_and_the_closing_of_its_share_fired_together(strict: Two, rounds: int) -> None:
    world = strict.world
    world.give(world.ann, rounds * 10_000)
    for turn in range(rounds):
        permit = world.grant(world.bob)
        world.report(world.claim(permit, world.bob))
        late = permit.finish_by_ms + 15 * 60_000
        world.now_ms = max(world.now_ms, late)
        moment = world.moment
        used = world.used(permit, world.bob)
        reported_, swept = together([
            lambda at=turn, used=used: reported(strict.at(at), world, used),
            lambda at=turn, moment=moment: strict.at(at + 1).write_and_wait(close.sweep, moment, world.ready_ms),
        ])  # fmt: skip
        assert isinstance(reported_, record.Recorded) and isinstance(swept, close.Swept), (reported_, swept)
        assert world.balance(world.ann).held == 0
        paid = world.rows(f"select pay, state, how from attempts where job = '{permit.job}'")
        assert [(row.pay, row.state, row.how) for row in paid] == [(3700, "paid", "used")]
    ended = world.rows("select id from shares where state = 'ended'")
    assert len(ended) == rounds


def test_a_guests_day_is_not_passed_by_asking_at_once(friends: Two) -> None:
    world = friends.world
    sql = (
        f"update memberships set role = 'guest', invited_by = '{world.ann.member}' where member = '{world.dan.member}'"
    )
    world.database.write_and_wait(lambda store: store.run(text(sql)))

    def asked() -> Any:
        wanted = world.wanted(world.bob, maximum=25_000_000)
        permit = msgspec.structs.replace(wanted.permit, requester=world.dan.device, requester_key=world.dan.key)
        return wanted._replace(permit=permit, member=world.dan.member)

    wanted = [asked() for _ in range(12)]
    moment = world.moment
    answers = together([lambda at=at: friends.at(at).write_and_wait(grant, wanted[at], moment) for at in range(12)])
    assert Counter(type(one).__name__ for one in answers) == {"Granted": 2, DayLimitReached.__name__: 10}, answers


def test_sealers_of_two_coordinators_follow_one_another(friends: Two) -> None:
    world = friends.world
    for _ in range(6):
        permit = world.grant(world.bob)
        world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    world.now_ms += 1

    def sign(number: int, hash_: str) -> str:
        return f"{number}"

    def work(at: int) -> Any:
        permit = grants[at]
        return reported(friends.at(at), world, world.used(permit, world.bob, claim=world.claim(permit, world.bob)))

    grants = [world.grant(world.bob) for _ in range(6)]
    now_ms = world.now_ms
    answers = together([
        *(lambda at=at: work(at) for at in range(6)),
        *(lambda at=at: friends.at(at).write_and_wait(sealing.seal, world.network, sign, now_ms) for at in range(6)),
    ])  # fmt: skip
    assert not [one for one in answers if isinstance(one, Exception)], answers
    world.database.write_and_wait(sealing.seal, world.network, sign, world.now_ms)  # type: ignore[arg-type]
    numbers = [row.sealed_number for row in world.rows("select sealed_number from postings order by sealed_number")]
    assert numbers == list(range(1, 13))
    proof = world.verify()
    assert (proof.ok, proof.sealed, proof.unsealed) == (True, 12, 0)


def test_decisions_of_two_coordinators_have_one_order(friends: Two) -> None:
    world = friends.world
    change = ("unset", 5)
    by = (world.ann.member, world.moment)
    answers = together([
        lambda at=at: friends.at(at).write_and_wait(limits.set_terms, world.network, world.bob.member, change, by)
        for at in range(12)
    ])  # fmt: skip
    assert not [one for one in answers if isinstance(one, Exception)], answers
    assert world.database.read_and_wait(decisions.first_broken, world.network) is None  # type: ignore[arg-type]
    assert len(world.rows("select * from decisions")) == 12


def test_the_price_is_what_the_tests_think() -> None:
    assert PRICE.micro * 1000 // PRICE.per == 3700
