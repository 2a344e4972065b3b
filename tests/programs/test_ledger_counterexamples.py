"""The traces that once broke a rule of settlement, each against a real store: what every side has at the end of it.

The model behind the decision table found 23 of them. 18 are about the coordinator and are here by their numbers; 5, 6,
11, 15 and 16 are duties of the devices (what is durable before what leaves) and are kept by the agents' own tests.
``test_all_23_have_a_test`` says by which.

Touches: files (a database), threads.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_world import World
from mesh.coordinator.acts import settle
from mesh.coordinator.acts.permit import RequesterStopped

DAY_MS = 86_400_000
PAY, EARNED = 3700, 3515
"""1,000 units at the test's price, and what is left of it for the worker's owner."""


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    proof = made.verify()
    assert proof.ok, proof.wrong
    made.database.close()


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path), line="strict")
    made.give(made.ann, 10_000)
    yield made
    proof = made.verify()
    assert proof.ok, proof.wrong
    made.database.close()


def has(world: World, *names: str) -> list[int]:
    """What each has altogether, spendable or pending."""
    found = [world.balance(getattr(world, name)) for name in names]
    return [money.balance + money.pending for money in found]


def test_1_silence_is_paid_in_the_very_act_that_releases(world: World) -> None:
    granted = world.grant()
    world.report(world.claim(granted, world.bob))
    world.after_window(granted)
    assert has(world, "ann", "bob") == [-PAY, EARNED]
    assert world.balance(world.ann).held == 0


def test_2_the_first_job_of_a_series_does_not_end_the_hold_of_the_second(world: World) -> None:
    series = world.series((world.bob, 20_000))
    first, second = world.under(series), world.under(series)
    world.report(world.used(first, world.bob, claim=world.claim(first, world.bob)))
    world.report(world.used(second, world.bob, claim=world.claim(second, world.bob)))
    assert has(world, "bob") == [2 * EARNED]


def test_3_a_claim_above_the_submit_pays_what_the_submit_allows(world: World) -> None:
    granted = world.grant(world.bob)
    world.report(world.claim(granted, world.bob, units=3000, maximum=2 * PAY))
    world.after_window(granted)
    assert has(world, "ann") == [-2 * PAY]


def test_4_the_loser_of_a_hedge_neither_marks_nor_takes_the_winners_place(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    world.report(world.claim(granted, world.bob, 1, units=100), world.superseded(granted, world.bob, 1, by=2))
    world.report(world.used(granted, world.cyd, 2, claim=world.claim(granted, world.cyd, 2)))
    assert has(world, "ann", "bob", "cyd") == [-PAY, 0, EARNED]
    assert world.rows("select * from marks") == []


def test_7_a_coordinator_that_was_away_over_the_window_waits_for_outboxes_first(world: World) -> None:
    granted = world.grant()
    world.now_ms = granted.finish_by_ms + 15 * 60_000 + 1
    world.reopen()
    assert world.sweep().closed == 0
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert has(world, "bob") == [EARNED]


def test_8_what_can_still_be_denied_cannot_be_spent(world: World) -> None:
    granted = world.grant()
    world.report(world.claim(granted, world.bob))
    world.after_window(granted)
    assert world.balance(world.bob).balance == 0
    world.now_ms += DAY_MS - 1
    world.sweep()
    assert world.balance(world.bob).balance == 0
    world.report(world.failed(granted, world.bob))
    assert has(world, "ann", "bob") == [0, 0]


def test_9_good_work_takes_the_place_of_silent_bad_work_when_the_answer_comes_late(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    world.report(world.claim(granted, world.bob, 1), world.claim(granted, world.cyd, 2))
    world.after_window(granted)
    assert has(world, "bob", "cyd") == [EARNED, 0], "one-sided, to the lowest attempt"
    world.report(world.used(granted, world.cyd, 2))
    assert has(world, "ann", "bob", "cyd") == [-PAY, 0, EARNED]


def test_10_a_denial_makes_way_for_the_claim_that_waited_behind_it(world: World) -> None:
    granted = world.grant(world.bob, world.cyd)
    world.report(world.claim(granted, world.bob, 1), world.claim(granted, world.cyd, 2))
    world.after_window(granted)
    world.report(world.failed(granted, world.bob, 1))
    assert has(world, "ann", "bob", "cyd") == [-PAY, 0, EARNED]


def test_12_nothing_more_counts_what_is_still_on_its_way(world: World) -> None:
    granted = world.grant(world.bob)
    world.report(world.no_more(granted, world.ann, 1), world.no_more(granted, world.bob, 1))
    assert world.balance(world.ann).held == granted.maximum
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert has(world, "bob") == [EARNED]
    assert world.balance(world.ann).held == 0


def test_13_one_job_under_two_permits_is_paid_once(world: World) -> None:
    first = world.grant(world.bob)
    second = world.grant(world.cyd, job=first.job)
    world.report(world.claim(first, world.bob, 1))
    world.report(world.used(second, world.cyd, 2, claim=world.claim(second, world.cyd, 2)))
    world.after_window(first)
    assert has(world, "ann", "bob", "cyd") == [-PAY, 0, EARNED]


def test_14_what_the_payers_side_admits_is_paid_without_the_claim(world: World) -> None:
    granted = world.grant(world.bob)
    world.report(world.submit(granted, world.bob), world.used(granted, world.bob, units=500))
    world.after_window(granted)
    assert has(world, "ann") == [-PAY // 2]


def test_17_a_lost_count_does_not_lower_what_was_delivered(world: World) -> None:
    """The worker claims all it delivered; its last count is older. The requester's word is what counts."""
    granted = world.grant(world.bob)
    count = world.count(granted, world.bob, units=100)
    claim = world.claim(granted, world.bob, units=1000, outcome="broken", count=count)
    world.report(world.used(granted, world.bob, units=1000, claim=claim))
    assert has(world, "ann", "bob") == [-PAY, EARNED]


def test_18_work_that_nobody_submitted_is_worth_nothing(world: World) -> None:
    granted = world.grant(world.bob)
    own = world.claim(granted, world.bob)
    forged = _as_requester(world, world.bob).claim(granted, world.bob)
    assert own != forged
    assert [code for _, code in world.report(forged).refused] == ["token.invalid"]
    world.after_window(granted)
    assert has(world, "ann", "bob") == [0, 0]


def test_all_23_have_a_test() -> None:
    """By number, here and where the devices' duties are tested."""
    files = ("test_ledger_counterexamples.py", "test_agent_duties.py", "test_agent_permits.py")
    text = "".join((Path(__file__).parent / file).read_text() for file in files)
    assert {int(number) for number in re.findall(r"def test_(\d+)_", text)} == set(range(1, 24))


def _as_requester(world: World, signer: object) -> World:
    """The same world to whoever signs a Submit in the requester's name with a key of their own."""
    import copy

    other = copy.copy(world)
    other.ann = copy.copy(world.ann)
    other.ann.seed = signer.seed  # type: ignore[attr-defined]
    return other


def test_19_a_known_answer_blocks_silent_pay_in_every_share_of_the_job(world: World) -> None:
    first = world.grant(world.bob)
    world.report(world.submit(first, world.bob), world.used(first, world.bob))
    world.now_ms += 1000
    second = world.grant(world.cyd, job=first.job)
    world.report(world.claim(second, world.cyd, 2))
    world.database.write_and_wait(settle_closing, world, second)
    assert has(world, "cyd") == [0], "its share closed first, and yet it is not paid"
    world.after_window(second)
    assert has(world, "ann", "bob", "cyd") == [-PAY, EARNED, 0]


def settle_closing(store: object, world: World, permit: object) -> None:
    """Close the shares of one permit of a job before those of the others."""
    shares = [row.id for row in store.rows(_text(f"select id from shares where permit = '{permit.permit}'"))]  # type: ignore[attr-defined]
    key = settle.JobKey(world.network, world.ann.device, permit.job)  # type: ignore[attr-defined]
    settle.settle(store, key, world.moment, world.ready_ms, closing=frozenset(shares))  # type: ignore[arg-type]


def _text(sql: str) -> object:
    from sqlalchemy import text

    return text(sql)


def test_20_a_counted_denial_does_not_take_the_place_of_an_admitted_answer(world: World) -> None:
    first = world.grant(world.bob)
    second = world.grant(world.cyd, job=first.job)
    world.report(world.claim(first, world.bob, 1), world.count(first, world.bob, 1, units=300))
    world.report(world.failed(first, world.bob, 1))
    world.report(world.submit(second, world.cyd, 2), world.used(second, world.cyd, 2))
    world.database.write_and_wait(settle_closing, world, first)
    world.after_window(second)
    assert has(world, "ann", "bob", "cyd") == [-PAY, 0, EARNED]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_21_signed_counts_are_a_floor_in_whatever_order_they_come(world: World, order: tuple[int, ...]) -> None:
    granted = world.grant(world.bob)
    news = [
        world.count(granted, world.bob, units=500),
        world.failed(granted, world.bob),
        world.claim(granted, world.bob, outcome="broken"),
    ]
    for at in order:
        world.report(news[at])
    world.after_window(granted)
    assert has(world, "ann") == [-PAY // 2], "the delivered part cannot be denied away"
    low = world.grant(world.bob)
    count = world.count(low, world.bob, units=500)  # its claim carries it: the two cannot come apart
    news = [count, world.used(low, world.bob, units=10), world.claim(low, world.bob, count=count)]
    for at in order:
        world.report(news[at])
    world.after_window(low)
    assert has(world, "ann") == [-PAY], "nor counted down"


def test_22_proof_of_double_use_does_not_cross_the_floor(strict: World) -> None:
    granted = strict.grant(strict.bob, strict.cyd)
    for worker, attempt in ((strict.bob, 1), (strict.cyd, 2)):
        claim = strict.claim(granted, worker, attempt, units=2000)
        strict.report(strict.used(granted, worker, attempt, units=2000, claim=claim))
    assert strict.states(granted) == {1: "paid", 2: "owed"}
    assert strict.balance(strict.ann).balance == 10_000 - 2 * PAY
    strict.give(strict.ann, 100_000)
    with pytest.raises(RequesterStopped):
        strict.grant()


def test_23_a_receipt_from_before_the_horizon_is_not_paid_again(world: World) -> None:
    granted = world.grant()
    receipt = world.used(granted, world.bob, claim=world.claim(granted, world.bob))
    world.report(receipt)
    world.now_ms = granted.finish_by_ms + settle.HORIZON_MS + 1
    world.sweep()
    assert {code for _, code in world.report(receipt).refused} == {"evidence.no_permit"}
    assert has(world, "bob") == [EARNED]


# --- every kind of requester with every kind of worker ----------------------------------------------------------------

TRUE = 1000
"""Units that an honest worker delivers and an honest requester counts."""
ANSWERS = {"honest": TRUE, "silent": None, "denying": -1, "low": 400}
CLAIMS = {"honest": TRUE, "silent": None, "over-claiming": 2000, "inventing": TRUE}
PAID = {
    # An answer pays the least of what was counted and claimed; without a claim it is admitted at closing. The permit
    # allows 10,000 micro-credits.
    ("honest", "honest"): 3700, ("honest", "silent"): 3700, ("honest", "over-claiming"): 3700,
    ("silent", "honest"): 3700, ("silent", "silent"): 0, ("silent", "over-claiming"): 7400,
    ("denying", "honest"): 0, ("denying", "silent"): 0, ("denying", "over-claiming"): 0,
    ("low", "honest"): 1480, ("low", "silent"): 1480, ("low", "over-claiming"): 1480,
    # Nobody submitted what is invented: there is no Submit, whatever is said about other jobs.
    ("honest", "inventing"): 0, ("silent", "inventing"): 0, ("denying", "inventing"): 0, ("low", "inventing"): 0,
}  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("requester", "worker"), PAID)
def test_each_pair_of_requester_and_worker_is_paid_as_documented(
    world: World, requester: str, worker: str, backwards: bool
) -> None:
    granted = world.grant(world.bob)
    news: list[str] = []
    if worker == "inventing":
        news = [_as_requester(world, world.bob).claim(granted, world.bob)]
    else:
        news = [world.submit(granted, world.bob)]
        claimed, answer = CLAIMS[worker], ANSWERS[requester]
        if claimed is not None:
            news.append(world.claim(granted, world.bob, units=claimed))
        if answer == -1:
            news.append(world.failed(granted, world.bob))
        elif answer is not None:
            news.append(world.used(granted, world.bob, units=answer))
    for token in [*reversed(news), *news] if backwards else news:
        world.report(token)
    world.after_window(granted)
    assert has(world, "ann") == [-PAID[requester, worker]]
    assert world.balance(world.ann).held == 0
