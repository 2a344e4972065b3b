"""Which device gets the next job, when waiting is better, what is learned, by when silence means something."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agent.asking.flight import DeviceSeen
from mesh.jobs import benching, deadlines, dispatch, hedging
from mesh.jobs.deadlines import Signs, silence
from mesh.jobs.dispatch import Candidate, bag_finish, choose, wait_limit_s, window
from mesh.jobs.learning import Scatter, Shown, Sizes
from mesh.protocol.values import Choice, Load

SECONDS = st.floats(0.001, 100)


def device(name, wait_s=0.0, service_s=1.0, **changes):
    return Candidate(name, wait_s, 0.0, service_s, 0.001)._replace(**changes)


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.uuids().map(str),
        st.floats(0, 100),
        st.floats(0, 5),
        SECONDS,
        st.floats(0, 0.5),
        st.integers(0, 80),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


# --- whom to choose ---------------------------------------------------------------------------------------------------


def test_a_lone_job_goes_where_it_is_done_first():
    chosen = choose([device("slow", service_s=5), device("busy", 9), device("fast", 1)], remaining=1, draw=0.5)
    assert chosen.device == "fast"


def test_equal_devices_are_drawn_among_and_unequal_ones_are_not():
    alike = [device("a"), device("b", 0.05), device("c", 5)]
    assert {choose(alike, remaining=1, draw=draw / 10).device for draw in range(10)} == {"a", "b"}


def test_a_permit_for_one_job_names_them_best_first_unless_more_is_known_here():
    first, second = device("first", 0.9), device("second", 0.0)
    assert choose([first, second], remaining=1, draw=0, in_order=True).device == "first"
    assert choose([device("first", 1.1), second], remaining=1, draw=0, in_order=True).device == "second"
    benched = device("first", open=False)
    assert choose([benched, second], remaining=1, draw=0, in_order=True).device == "second"


def test_what_would_have_changed_a_choice_comes_true():
    few, many = device("few", 0.5), device("many", 3.0)
    assert dispatch.next_best([few, many, device("benched", open=False)], few) == many
    assert dispatch.next_best([few], few) is None
    choice = Choice("few", 2, few.finish_s, few.wait_s, "finish", many.device, many.finish_s)
    words = dispatch.turned("few", choice)
    assert (
        words
        == "attempt 2: many would have got it if it had been expected to take less than 1.501 s instead of 4.001 s"
    )
    below_s = few.finish_s * (1 - dispatch.NEAR_TIE) - 2 * dispatch.NEAR_S
    quicker = many._replace(wait_s=many.wait_s - (many.finish_s - below_s))
    assert {choose([few, quicker], remaining=1, draw=draw / 10).device for draw in range(10)} == {"many"}
    alike = Choice("few", 1, 1.0, 0.0, "finish", "many", 1.05)
    assert dispatch.turned("few", alike) == "attempt 1: many was expected to be as quick as few, a draw decided"
    in_order = Choice("few", 1, 1.0, 0.0, "first", "many", 0.9)
    assert str(dispatch.turned("few", in_order)).endswith("its permit names that one first")
    assert dispatch.turned("few", Choice("few", 1)) is None


def test_a_slow_device_takes_no_job_of_a_bag_that_the_fast_one_would_end_sooner():
    fast, slow = device("fast", 1.0, 1.0, in_flight=1), device("slow", 0.0, 50.0)
    assert choose([fast, slow], remaining=10, draw=0.5) is None
    assert choose([fast, slow], remaining=100, draw=0.5).device == "slow"


@given(CANDIDATES, st.integers(1, 500), st.floats(0, 1, exclude_max=True), st.booleans())
def test_who_is_chosen_may_take_a_job_and_nobody_idle_waits_for_ever(candidates, remaining, draw, in_order):
    chosen = choose(candidates, remaining=remaining, draw=draw, in_order=in_order)
    if chosen is not None:
        assert chosen in candidates and chosen.open
        assert chosen.in_flight < window(chosen.rtt_s, chosen.service_s)
    elif any(one.open for one in candidates):
        able = [one for one in candidates if one.open]
        soonest = min(able, key=lambda one: one.busy_s + one.service_s)
        assert not soonest.ready, "the best of all is free, and still nothing is sent"


@given(CANDIDATES, st.integers(1, 300))
def test_t_is_the_least_time_in_which_the_bag_could_be_done(candidates, remaining):
    until = bag_finish(candidates, remaining)

    def done(by):
        return sum(max(0, int((by - one.busy_s) / one.service_s)) for one in candidates)

    assert done(until * 1.000001) >= remaining
    assert remaining == 1 or done(until * 0.98 - 1e-9) < remaining


@given(st.floats(0, 1), SECONDS)
def test_windows_are_small_and_never_nothing(rtt_s, service_s):
    assert 1 <= window(rtt_s, service_s) <= dispatch.WINDOW_MAX
    assert window(0.0, max(service_s, dispatch.AHEAD_S * 1.001)) == 1


@given(CANDIDATES, st.integers(0, dispatch.BUSY_MAX - 1))
def test_a_job_that_was_told_busy_waits_longer_and_at_last_as_long_as_it_takes(candidates, answers):
    chosen = candidates[0]
    now, later = (wait_limit_s(chosen, candidates, count) for count in (answers, answers + 1))
    assert wait_limit_s(chosen, candidates, dispatch.BUSY_MAX) is None
    assert now is None or now >= chosen.wait_s, "it would be refused by what is known already"
    assert now is None or later is None or later > now


def test_a_job_that_would_be_done_too_late_is_told_when_to_ask_again():
    two = [device("a"), device("b")]
    assert dispatch.late_by(two, 10, 6.5) is None  # five each
    assert dispatch.late_by(two, 20, 10.0) == pytest.approx(1.8, abs=0.1)  # 1.25 * 9 s of waiting, and its own second
    assert dispatch.late_by(two, 100, 10.0) == pytest.approx(41, abs=2)
    assert dispatch.late_by(two, 1, 0.1) is None, "the device itself knows better"
    assert dispatch.late_by([device("a", open=False)], 50, 0.1) is None


@given(CANDIDATES, st.integers(1, 300), st.floats(0, 1000))
def test_who_is_turned_away_is_told_a_time_and_who_has_longer_never_is_worse_off(candidates, place, left_s):
    after_s = dispatch.late_by(candidates, place, left_s)
    assert after_s is None or after_s >= dispatch.SOON_S
    longer = dispatch.late_by(candidates, place, left_s + 1)
    assert after_s is not None or longer is None


def test_nobody_else_means_no_wait_limit():
    assert wait_limit_s(device("a"), [device("a"), device("b", open=False)], 0) is None


# --- what is learned --------------------------------------------------------------------------------------------------


def test_seconds_are_learned_as_a_fixed_part_and_one_for_each_unit():
    sizes, draw = Sizes(100, 9.0), random.Random(1)
    for _ in range(300):
        units = draw.randint(10, 1000)
        sizes.note(units, (0.2 + 0.001 * units) * draw.uniform(0.95, 1.05))
    assert sizes.predict(10) == pytest.approx(0.21, rel=0.1)
    assert sizes.predict(1000) == pytest.approx(1.2, rel=0.1)
    assert sizes.predict(100_000) > 60, "beyond what was seen it grows in proportion"


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1e5)), min_size=1, max_size=60), st.integers(0, 10**12))
def test_a_prediction_is_always_a_time(seen, units):
    sizes = Sizes(1, 0.0)
    for size, seconds in seen:
        sizes.note(size, seconds)
    assert 0 < sizes.predict(units) < float("inf")


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300))
def test_ninety_five_in_a_hundred_stay_below_the_high_ratio(ratios):
    scatter = Scatter()
    for ratio in ratios:
        scatter.note(ratio)
    weights = [dispatch_weight(len(ratios) - 1 - place) for place in range(len(ratios))]
    limit = scatter.high()
    below = sum(weight for ratio, weight in zip(ratios, weights, strict=True) if min(max(ratio, 1e-3), 1e3) <= limit)
    assert below >= 0.949 * sum(weights)


def dispatch_weight(age):
    return 0.99**age


def test_what_was_seen_last_counts_more():
    scatter = Scatter()
    for _ in range(500):
        scatter.note(10.0)
    for _ in range(500):
        scatter.note(1.0)
    assert scatter.high() < 1.2


# --- deadlines --------------------------------------------------------------------------------------------------------


def warm(service_s, spread=0.0, count=200):
    shown, draw = Shown(100, service_s), random.Random(7)
    for _ in range(count):
        shown.answered(100, service_s * draw.lognormvariate(0, spread))
    return shown


def test_a_deadline_is_twice_what_the_device_has_shown_and_has_a_floor_and_a_cap():
    assert deadlines.deadline_s(warm(3.0), 100, limit_s=600) == pytest.approx(6.0, rel=0.1)
    assert deadlines.deadline_s(warm(0.02), 100, limit_s=600) == deadlines.FLOOR_S
    assert deadlines.deadline_s(warm(100.0), 100, limit_s=600) == deadlines.CAP_S
    assert deadlines.deadline_s(warm(100.0), 100, limit_s=30) == 30


def test_an_unknown_device_has_five_times_what_was_said_of_it():
    assert deadlines.deadline_s(Shown(100, 2.0), 100, limit_s=600) == pytest.approx(10.0)


@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_healthy_jobs_do_not_miss_their_deadline_twice_in_a_row(spread):
    shown, draw, misses, benched = warm(1.0, spread), random.Random(3), 0, 0
    for _ in range(10_000):
        took = draw.lognormvariate(0, spread)
        limit_s = deadlines.deadline_s(shown, 100, limit_s=600)
        misses = misses + 1 if took > limit_s else 0
        benched += benching.missed(misses, beat_missing=False)
        shown.answered(100, min(took, limit_s))
    assert benched <= 10  # 0.1 %


def test_one_freeze_does_not_spoil_the_deadline():
    shown = warm(0.3)
    before = deadlines.deadline_s(shown, 100, limit_s=600)
    shown.answered(100, min(3600.0, before))
    assert deadlines.deadline_s(shown, 100, limit_s=600) < 1.1 * before


def signs(**changes):
    return Signs(submitted_s=100.0, rtt_s=0.01, life_s=100.0)._replace(**changes)


@pytest.mark.parametrize(
    ("seen", "now_s", "expected"),
    [
        (signs(), 100.06, None),
        (signs(), 100.08, "unaccepted"),
        (signs(), 100.28, "silent"),
        (signs(sent_s=1.0), 100.5, None),
        (signs(sent_s=1.0), 101.1, "unaccepted"),
        (signs(accepted_s=100.01, life_s=100.01, wait_s=2.0), 103.9, None),
        (signs(accepted_s=100.01, life_s=100.01, wait_s=2.0), 104.1, "late"),
        (signs(accepted_s=100.01, started_s=100.01, life_s=100.01), 101.0, None),
        (signs(accepted_s=100.01, started_s=100.01, life_s=100.01), 101.1, "late"),
        (signs(accepted_s=100.01, started_s=100.01, life_s=150.0), 151.0, None),  # progress is life
        (signs(accepted_s=100.01, started_s=100.01, life_s=150.0, loading=True), 152.9, None),
        (signs(accepted_s=100.01, started_s=100.01, life_s=150.0, loading=True), 153.1, "late"),
    ],
)
def test_what_silence_means(seen, now_s, expected):
    assert silence(seen, 1.0, now_s) == expected


def test_the_newest_word_about_a_load_counts_and_it_drains():
    seen = DeviceSeen("a device")
    seen.see(Load(7, 3, 4.0), 100.0)
    seen.see(Load(6, 9, 9.0), 100.1)  # overtaken on the way
    assert seen.wait_s(101.0) == pytest.approx(3.0)
    seen.sent(("a job", 1), 0.5)
    assert seen.wait_s(101.0) == pytest.approx(3.5)
    seen.counted(("a job", 1))
    assert seen.wait_s(200.0) == 0.0
    seen.see(Load(1, 1, 2.0), 200.0)  # it was started anew
    assert seen.wait_s(200.0) == pytest.approx(2.0)
    seen.forget()
    assert seen.wait_s(200.0) == 0.0


# --- benches and copies -----------------------------------------------------------------------------------------------


def test_the_silent_are_pinged_each_second_and_after_a_minute_every_five():
    seat, now = benching.bench("silent", 0.0), 0.0
    gaps = []
    for _ in range(80):
        gaps.append(seat.next_s - now)
        now = seat.next_s
        seat = benching.looked_in_vain(seat, now)
    assert set(gaps[:60]) == {1.0} and set(gaps[61:]) == {5.0}


def test_the_slow_get_a_canary_after_one_two_four_and_at_most_thirty_seconds():
    seat, now, gaps = benching.bench("slow", 0.0), 0.0, []
    for _ in range(8):
        gaps.append(seat.next_s - now)
        now = seat.next_s
        seat = benching.looked_in_vain(seat, now)
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_bench_is_not_begun_anew_and_silence_outweighs_slowness():
    slow = benching.bench("slow", 0.0)
    assert benching.bench("slow", 5.0, slow) is slow
    silent = benching.bench("silent", 5.0, slow)
    assert silent.cause == "silent" and benching.bench("slow", 6.0, silent) is silent


def test_two_misses_in_a_row_or_one_without_a_beat():
    assert not benching.missed(1, beat_missing=False)
    assert benching.missed(1, beat_missing=True) and benching.missed(2, beat_missing=False)
    assert not benching.missed(0, beat_missing=True)


@pytest.mark.parametrize(("copies", "jobs", "may"), [(1, 0, True), (2, 20, False), (9, 100, True), (10, 100, False)])
def test_copies_are_a_tenth_of_the_last_hundred_jobs_and_at_least_two(copies, jobs, may):
    assert hedging.may_copy(copies, jobs) == may


def test_a_copy_in_the_tail_is_made_where_it_gains():
    assert not hedging.gains(0.3, 1.0, 0.9)  # 0.7 s left
    assert hedging.gains(3.0, 1.0, 0.9)  # past its estimate: half of its age is left
    assert not hedging.gains(3.0, 1.0, 2.0)


def test_a_lone_job_is_overdue_past_its_wait_and_p95():
    assert not hedging.overdue(3.0, waited_s=2.0, p95_s=1.0, rtt_s=0.01)
    assert hedging.overdue(3.1, waited_s=2.0, p95_s=1.0, rtt_s=0.01)
