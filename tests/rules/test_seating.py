"""Callers take turns in a requester's line, by the work they ask for: no burst stands before another's one job."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.jobs.seating import CALLERS_MAX, Seating


def test_a_single_job_is_next_whatever_a_batch_has_waiting():
    seating = Seating()
    batch = [seating.seat("batch", 100) for _ in range(10_000)]
    assert batch == sorted(batch), "of one caller, who came first goes first"
    for seat in batch[:7]:
        seating.began(seat)
    single = seating.seat("command", 5000)
    assert batch[6] < single < batch[7]


def test_callers_share_by_work_and_not_by_jobs():
    seating = Seating()
    waiting = sorted(
        [(seating.seat("large", 900), "large", 900) for _ in range(40)]
        + [(seating.seat("small", 100), "small", 100) for _ in range(400)]
    )
    done = {"large": 0, "small": 0}
    for seat, caller, work in waiting[:200]:
        seating.began(seat)
        done[caller] += work
    assert abs(done["large"] - done["small"]) <= 900


def test_who_comes_back_does_not_pay_for_what_was_left():
    seating = Seating()
    given_up = [seating.seat("batch", 100) for _ in range(50)]
    seating.began(given_up[0])
    seating.all_left()
    back, other = seating.seat("batch", 1), seating.seat("command", 1)
    assert back < other, "both are newcomers: who came first goes first"
    assert given_up[-1] < back, "a seat that is still held goes before those of newcomers"


def test_many_callers_take_a_bounded_place():
    seating = Seating()
    seats = [seating.seat(f"key {number}", 10) for number in range(3 * CALLERS_MAX)]
    assert seats == sorted(seats)
    seating.began(seats[-1])
    seating.began(seating.seat("late", 10))
    assert len(seating._ends) <= 3 * CALLERS_MAX + 1
    for _ in range(3):
        seating.began(seating.seat("late", 100))
    seating.seat("later", 10)
    assert len(seating._ends) <= CALLERS_MAX


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.booleans()), max_size=80))
def test_nobody_waits_for_more_than_a_turn_of_each_other_caller(steps):
    """Between a caller's job and the one that it had before, another gets at most that work and one job more."""
    seating, waiting = Seating(), []
    served: dict[str, int] = {}
    for caller, work, take in steps:
        waiting.append((seating.seat(caller, work), caller, max(work, 1)))
        if take:
            waiting.sort()
            seat, who, amount = waiting.pop(0)
            seating.began(seat)
            served[who] = served.get(who, 0) + amount
    waiting.sort()
    if waiting:
        newcomer = seating.seat("new", 1)
        ahead: dict[str, int] = {}
        for seat, who, _ in waiting:
            if seat < newcomer:
                ahead[who] = ahead.get(who, 0) + 1
        assert all(count <= 1 for count in ahead.values()), ahead
