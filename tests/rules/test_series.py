"""Caps of a series: by speed, within the budget and the payer's credits, never less than one job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.jobs.series import (
    CAP_OVER,
    CAP_OVER_SHORT,
    SERIES_JOBS_MIN,
    caps,
    promised_s,
    renew_now,
    series_jobs,
    share_of_series,
)

JOB = 3_700
BUDGET = 100 * JOB
SERVICES = st.lists(st.floats(min_value=0.0, max_value=1e4, allow_nan=False), min_size=1, max_size=4)


def test_equal_devices_get_equal_caps_that_together_exceed_the_budget_by_half() -> None:
    shares = caps(BUDGET, [0.3] * 4, job=JOB)
    assert len(set(shares)) == 1
    assert sum(shares) == pytest.approx(CAP_OVER * BUDGET, abs=4)


def test_a_faster_device_gets_more_but_never_more_than_the_budget() -> None:
    fast, slow = caps(BUDGET, [0.01, 0.5], job=JOB)
    assert fast == BUDGET
    assert JOB <= slow < fast


def test_the_slowest_device_may_still_do_one_job() -> None:
    assert caps(BUDGET, [0.001, 1_000.0], job=JOB)[1] == JOB


@given(st.integers(0, 2**40), st.integers(0, 10**9), SERVICES)
def test_caps_lie_between_one_job_and_the_budget(budget: int, job: int, service_s: list[float]) -> None:
    for cap in caps(budget, service_s, job=job):
        assert job <= cap <= max(job, budget)


@given(st.integers(1, 2**40), SERVICES)
def test_caps_follow_speed(budget: int, service_s: list[float]) -> None:
    ranked = sorted(zip(service_s, caps(budget, service_s, job=1), strict=True))
    assert [cap for _, cap in ranked] == sorted((cap for _, cap in ranked), reverse=True)


@given(st.integers(0, 10**9), st.integers(1, 10**6), SERVICES, st.integers(0, 2 * 10**9))
def test_a_hold_never_exceeds_the_free_credits(budget: int, job: int, service_s: list[float], free: int) -> None:
    shares = share_of_series(budget, service_s, job=job, free=free)
    assert sum(shares) <= free
    assert bool(shares) == (free >= job)


def test_a_short_balance_gives_up_the_surplus_first_then_budget_then_candidates() -> None:
    assert sum(share_of_series(BUDGET, [0.3] * 4, job=JOB)) == pytest.approx(CAP_OVER * BUDGET, abs=4)
    exact = share_of_series(BUDGET, [0.3] * 4, job=JOB, free=BUDGET)
    assert (len(exact), sum(exact)) == (4, CAP_OVER_SHORT * BUDGET)
    assert share_of_series(BUDGET, [0.3] * 4, job=JOB, free=40 * JOB) == (10 * JOB,) * 4
    assert share_of_series(BUDGET, [0.3] * 4, job=JOB, free=2 * JOB) == (JOB, JOB)
    assert share_of_series(BUDGET, [0.3] * 4, job=JOB, free=JOB - 1) == ()


def test_a_series_is_promised_to_its_candidates_by_speed() -> None:
    assert promised_s(100, [0.5, 0.5]) == pytest.approx(25.0)
    assert promised_s(30, [1.0, 0.5]) == pytest.approx(10.0)  # 10 jobs of 1 s, 20 of half a second
    assert promised_s(5, []) == 0.0


def test_a_series_covers_two_minutes_of_use_and_at_least_a_hundred_jobs() -> None:
    assert series_jobs(0.0) == SERIES_JOBS_MIN
    assert series_jobs(1_000.0) == 120_000


def test_renewal_is_due_at_half_the_budget_or_when_the_best_candidate_is_nearly_used_up() -> None:
    assert not renew_now(used=49, budget=100, best_used=20, best_cap=40)
    assert renew_now(used=50, budget=100, best_used=20, best_cap=40)
    assert renew_now(used=40, budget=100, best_used=32, best_cap=40)
