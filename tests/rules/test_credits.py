"""What work costs, how money moves, and the line nobody crosses.

Touches: nothing.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.credits import tariff, transfers
from mesh.credits.accounts import Account, Unbalanced, posting
from mesh.credits.tariff import SHIPPED, Rate
from mesh.jobs.lifecycle import ATTEMPT, PERMIT, SHARE, AttemptView, ImpossibleChange, advance, job_state
from mesh.units import CREDIT

AMOUNTS = st.integers(0, 10**12)
ANN, BOB = "ann", "bob"


def test_a_minute_of_a_typical_laptop_costs_about_six_credits() -> None:
    texts_a_minute = 300 * 60
    rate = SHIPPED.rate("embeddings")
    assert rate is not None
    assert rate.cost(texts_a_minute * 90) == pytest.approx(6 * CREDIT, rel=0.01)


def test_a_cost_is_rounded_up_once() -> None:
    rate = Rate(version=1, micro=3700, per=1000)
    assert [rate.cost(units) for units in (0, 1, 1000, 1001)] == [0, 4, 3700, 3704]
    assert Rate(version=1, micro=1, per=10**9).cost(1) == 1, "any work costs something"


@given(AMOUNTS, AMOUNTS, st.integers(0, tariff.PPM))
def test_taking_back_a_part_undoes_exactly_that_part(first: int, second: int, ppm: int) -> None:
    """Paying the smaller amount is the same as paying the larger one and taking the difference back, fee included."""
    large, small = max(first, second), min(first, second)
    fees = {amount: tariff.fee(amount, ppm) for amount in (large, small)}
    sums: dict[Account, int] = {}
    moves = [
        transfers.pay(ANN, BOB, amount=large, fee=fees[large], waits=True),  # type: ignore[arg-type]
        transfers.take_back(ANN, BOB, amount=large - small, fee=fees[large] - fees[small]),  # type: ignore[arg-type]
    ]
    for move in moves:
        assert sum(entry.amount for entry in move.entries) == 0
        for entry in move.entries:
            sums[entry.account] = sums.get(entry.account, 0) + entry.amount
    plain = transfers.pay(ANN, BOB, amount=small, fee=fees[small], waits=True)  # type: ignore[arg-type]
    assert {account: amount for account, amount in sums.items() if amount} == dict(plain.entries)


def test_answered_pay_is_earned_at_once_and_the_rest_is_pending() -> None:
    at_once = transfers.pay(ANN, BOB, amount=100, fee=5, waits=False)  # type: ignore[arg-type]
    pending = transfers.pay(ANN, BOB, amount=100, fee=5, waits=True)  # type: ignore[arg-type]
    assert (Account("balance", BOB), 95) in at_once.entries  # type: ignore[arg-type]
    assert (Account("pending", BOB), 95) in pending.entries  # type: ignore[arg-type]


@pytest.mark.parametrize("colluders", [2, 5])
def test_who_runs_junk_for_each_other_can_spend_no_more_together_than_before(colluders: int) -> None:
    """Attack 1, under *strict*: 10,000 jobs among them move what they had, less the fee, and make nothing."""
    chance = random.Random(colluders)
    accounts = dict.fromkeys((Account("balance", f"m{at}") for at in range(colluders)), transfers.WELCOME)  # type: ignore[arg-type]
    others: dict[Account, int] = {}
    before, refused = sum(accounts.values()), 0
    for _ in range(10_000):
        payer, earner = chance.sample(list(accounts), 2)
        amount = chance.randint(1, transfers.WELCOME // 2)
        lowest = transfers.floor("strict", None)
        if not transfers.covers(transfers.free(accounts[payer], 0, lowest), amount):
            refused += 1
            continue
        fee = tariff.fee(amount, 50_000)
        for entry in transfers.pay(payer.member, earner.member, amount=amount, fee=fee, waits=False).entries:
            kept = accounts if entry.account in accounts else others
            kept[entry.account] = kept.get(entry.account, 0) + entry.amount
        free = [transfers.free(balance, 0, lowest) or 0 for balance in accounts.values()]
        assert sum(free) <= before and min(accounts.values()) >= 0
    assert refused, "they came to the line"
    assert sum(accounts.values()) + sum(others.values()) == before
    assert set(others) == {Account("verification")}


def test_a_posting_that_does_not_sum_to_zero_cannot_be_made() -> None:
    with pytest.raises(Unbalanced):
        posting("admin", (Account("issue"), -1), (Account("burn"), 2))
    with pytest.raises(Unbalanced):
        posting("admin", (Account("issue"), -(2**60)), (Account("burn"), 2**60))


def test_a_posting_joins_amounts_of_one_account_and_leaves_out_zeros() -> None:
    made = posting("admin", (Account("issue"), -3), (Account("burn"), 1), (Account("burn"), 2), (Account("pending"), 0))
    assert made.entries == ((Account("issue"), -3), (Account("burn"), 3))


def test_the_floor_is_ones_own_else_the_networks() -> None:
    assert transfers.floor("friends", None) is None
    assert transfers.floor("strict", None) == 0
    assert transfers.floor("friends", -50) == transfers.floor("strict", -50) == -50
    assert transfers.free(100, 30, 0) == 70
    assert transfers.free(100, 30, -50) == 120
    assert transfers.free(10, 30, 0) == 0
    assert transfers.free(-(10**9), 0, None) is None
    assert transfers.covers(None, 10**12)
    assert not transfers.covers(9, 10)


@pytest.mark.parametrize("table", [PERMIT, SHARE, ATTEMPT])
def test_tables_name_only_states_they_have(table: dict[str, frozenset[str]]) -> None:
    assert set().union(*table.values()) <= table.keys()
    for state, after in table.items():
        assert state not in after
        assert advance(table, state, state) == state


def test_a_share_ends_once_and_a_paid_attempt_stays_paid() -> None:
    for table, before, after in ((SHARE, "ended", "open"), (ATTEMPT, "paid", "failed"), (PERMIT, "pruned", "open")):
        with pytest.raises(ImpossibleChange):
            advance(table, before, after)


def view(state: str, how: str | None = None, *, stands: bool = False, contradicted: bool = False) -> AttemptView:
    return AttemptView(state, how, stands, contradicted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempts", "open_shares", "state"),
    [
        ([], 1, "running"),
        ([view("claimed")], 1, "running"),
        ([view("paid", "used", stands=True)], 0, "done"),
        ([view("paid", "used", stands=True)], 1, "done"),
        ([view("reversed"), view("paid", "used", stands=True)], 0, "done"),
        ([view("one_sided", "one_sided", stands=True)], 0, "done_one_sided"),
        ([view("final", "one_sided", stands=True)], 0, "done_one_sided"),
        ([view("paid", "count", stands=True)], 0, "broken"),
        ([view("owed", "used")], 0, "owed"),
        ([view("failed", contradicted=True)], 0, "disputed"),
        ([view("failed"), view("unknown")], 0, "failed"),
        ([], 0, "failed"),
    ],
)
def test_a_jobs_state_follows_from_its_attempts(attempts: list[AttemptView], open_shares: int, state: str) -> None:
    assert job_state(attempts, open_shares=open_shares) == state


def test_an_own_job_is_what_its_requester_reported() -> None:
    assert job_state([], open_shares=0, own_code="") == "done"
    assert job_state([], open_shares=0, own_code="job.timeout") == "failed"
    assert job_state([], open_shares=0, own_code="job.cancelled", cancelled=True) == "cancelled"
    assert job_state([], open_shares=0, cancelled=True) == "cancelled"
