"""The next version of a tariff: what is a price, what a change means, and that nothing reaches back.

Touches: nothing.
"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.credits.repricing import (
    FEE_PPM_MAX,
    PER_MAX,
    PRICE_MICRO_MAX,
    TYPICAL_UNITS,
    WORKLOADS_MAX,
    Asked,
    BadFee,
    BadPrice,
    Change,
    Done,
    SameTariff,
    effects,
    next_version,
)
from mesh.credits.tariff import SHIPPED, Price, Tariff, fee, heard, told
from mesh.protocol.values import Prices
from mesh.units import MICRO_LIMIT

MICRO = st.integers(1, PRICE_MICRO_MAX)
NAMES = st.sampled_from(["chat", "embeddings", "ocr"])
OWN_NAMES = st.from_regex(r"x[a-z0-9._-]{0,20}", fullmatch=True)
CHANGES = st.builds(
    Change,
    st.dictionaries(NAMES, st.builds(Asked, MICRO, st.none()), max_size=3)
    | st.dictionaries(OWN_NAMES, st.builds(Asked, MICRO, st.integers(1, PER_MAX)), max_size=5),
    st.none() | st.integers(0, FEE_PPM_MAX),
)
DONE = st.builds(Done, NAMES, st.integers(0, 10**7), st.integers(0, 10**9), st.just(0))


def changed(now: Tariff, change: Change) -> Tariff:
    try:
        return next_version(now, change)
    except SameTariff:
        return now


@given(st.lists(CHANGES, max_size=6))
def test_versions_count_up_and_hold_what_was_asked_and_what_was_not_named_stays(changes: list[Change]) -> None:
    now = SHIPPED
    for change in changes:
        after = changed(now, change)
        assert after.version == now.version + (after is not now)
        for workload, price in now.priced.items():
            asked = change.prices.get(workload)
            assert after.priced[workload].micro == (price.micro if asked is None else asked.micro)
        assert set(after.priced) == set(now.priced) | set(change.prices)
        assert after.fee_ppm == (now.fee_ppm if change.fee_ppm is None else change.fee_ppm)
        for price in after.priced.values():
            assert 1 <= price.micro <= PRICE_MICRO_MAX and 1 <= price.per <= PER_MAX
        now = after


@given(CHANGES)
def test_a_state_says_the_same_prices(change: Change) -> None:
    after = changed(SHIPPED, change)
    said = msgspec.json.decode(msgspec.json.encode(told(after)), type=Prices | None)
    assert heard(said).priced == after.priced
    assert heard(said).version == after.version
    assert told(SHIPPED) is None, "an older device reads the State of a network that changed nothing"


@given(st.lists(DONE, max_size=30), CHANGES)
def test_what_a_change_means_adds_up_job_by_job(past: list[Done], change: Change) -> None:
    after = changed(SHIPPED, change)
    found = {one.workload: one for one in effects(past, SHIPPED, after)}
    assert set(found) == set(after.priced)
    for workload, one in found.items():
        mine = [job for job in past if job.workload == workload]
        rate, before = after.rate(workload), SHIPPED.rate(workload)
        assert rate is not None
        costs = [rate.cost(job.units) for job in mine]
        assert (one.jobs, one.charged, one.would) == (len(mine), sum(job.charged for job in mine), sum(costs))
        assert one.would_earn == sum(cost - fee(cost, after.fee_ppm) for cost in costs) <= one.would
        assert one.after == rate.cost(one.units)
        assert one.before == (None if before is None else before.cost(one.units))
        if not mine:
            assert one.units == TYPICAL_UNITS.get(workload, rate.per)


def test_a_change_says_what_a_job_of_the_average_size_costs() -> None:
    after = next_version(SHIPPED, Change({"ocr": Asked(48_750)}, 100_000))
    past = [Done("ocr", 20, 750_000, 37_500), Done("ocr", 40, 1_500_000, 75_000)]
    ocr = effects(past, SHIPPED, after)[0]
    assert (ocr.workload, ocr.units, ocr.before, ocr.after) == ("ocr", 30, 1_125_000, 1_462_500)
    assert (ocr.charged, ocr.would) == (2_250_000, 2_925_000), "30 % more"
    assert (ocr.earned, ocr.would_earn) == (2_137_500, 2_632_500)


@pytest.mark.parametrize(
    ("workload", "asked", "reason", "said"),
    [
        ("chat", Asked(-1), "negative", "less than nothing (-0.000001 credits)"),
        ("chat", Asked(-(2**80)), "negative", "less than nothing"),
        ("ocr", Asked(0), "zero", "The lowest price is 1 micro-credit"),
        ("ocr", Asked(PRICE_MICRO_MAX + 1), "too_high", "1000.000001 credits for 1 units. A price is at most 1,000"),
        ("ocr", Asked(2**53), "too_high", "at most 1,000"),
        ("ocr", Asked(10**400), "too_high", "at most 1,000"),
        ("chat", Asked(5, 1), "unit", "chat is priced for each 1,000 units, not 1."),
        ("knit", Asked(5, 0), "unit", "1 to 1,000,000 units, not for 0"),
        ("knit", Asked(5, -3), "unit", "1 to 1,000,000 units"),
        ("knit", Asked(5, PER_MAX + 1), "unit", "1 to 1,000,000 units"),
        ("Chat", Asked(5), "name", "1 to 63 of a-z"),
        ("", Asked(5), "name", "1 to 63 of a-z"),
        ("<b>", Asked(5), "name", "1 to 63 of a-z"),
        ("x" * 64, Asked(5), "name", "1 to 63 of a-z"),
    ],
)
def test_what_is_no_price_is_refused_with_its_reason(workload: str, asked: Asked, reason: str, said: str) -> None:
    with pytest.raises(BadPrice) as refused:
        next_version(SHIPPED, Change({workload: asked}))
    assert refused.value.facts["reason"] == reason
    assert said in refused.value.message
    assert len(refused.value.message) < 400
    msgspec.json.encode(refused.value.wire())


@pytest.mark.parametrize("ppm", [-1, FEE_PPM_MAX + 1, 2**53, -(10**400)])
def test_a_fee_leaves_at_least_half_to_who_works(ppm: int) -> None:
    with pytest.raises(BadFee) as refused:
        next_version(SHIPPED, Change({}, ppm))
    msgspec.json.encode(refused.value.wire())


def test_a_change_of_nothing_is_no_version_and_a_tariff_has_an_end() -> None:
    for change in (Change({}), Change({"chat": Asked(160_000)}), Change({}, SHIPPED.fee_ppm)):
        with pytest.raises(SameTariff):
            next_version(SHIPPED, change)
    with pytest.raises(BadPrice) as refused:
        next_version(SHIPPED, Change({f"x{number}": Asked(1) for number in range(WORKLOADS_MAX - 2)}))
    assert refused.value.facts["reason"] == "too_many"


def test_the_dearest_price_keeps_ordinary_jobs_below_what_is_counted_exactly() -> None:
    tariff = Tariff(2, {"ocr": Price(PRICE_MICRO_MAX, 1), "chat": Price(PRICE_MICRO_MAX, 1000)})
    for workload, units in (("ocr", 9_000_000), ("chat", 9 * 10**9)):
        rate = tariff.rate(workload)
        assert rate is not None
        assert rate.cost(units) < MICRO_LIMIT


def test_a_workload_that_a_version_does_not_name_has_its_shipped_price_and_an_unknown_one_none() -> None:
    older = Tariff(7, {"chat": Price(5, 1000)})
    assert older.rate("ocr") == (7, *SHIPPED.prices["ocr"])
    assert older.rate("knitting") is None
