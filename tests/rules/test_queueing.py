"""The order in which a worker takes what waits, what it admits, and what the owner's own jobs wait for: nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agent.working.fair_queue import QUEUE_MAX, FairQueue, Queued
from mesh.agent.working.queueing import (
    IN_ENGINE_MAX,
    MEMBER_JOBS_MAX,
    SOON_S,
    Bid,
    QueueFull,
    TooLate,
    TooManyJobs,
    Work,
)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def drained(queue):
    order = []
    while (job := queue.take()) is not None:
        order.append(job.entry)
    return order


def test_members_take_turns_by_work_and_the_owner_goes_first():
    queue = FairQueue("owner")
    for number in range(3):
        queue.put(Queued("heavy", 1.0, f"h{number}"))
    queue.put(Queued("light", 1.0, "l0"))
    queue.put(Queued("owner", 9.0, "mine"))
    order = drained(queue)
    assert order[0] == "mine"
    assert order.index("l0") <= 2
    assert sorted(order) == ["h0", "h1", "h2", "l0", "mine"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.001, 5)), max_size=60))
def test_nothing_is_lost_and_each_members_jobs_keep_their_order(jobs):
    queue = FairQueue("a")
    for place, (member, seconds) in enumerate(jobs):
        queue.put(Queued(member, seconds, (member, place)))
    assert len(queue) == len(jobs)
    order = drained(queue)
    assert sorted(order) == sorted((member, place) for place, (member, _) in enumerate(jobs))
    for member in "abc":
        mine = [place for who, place in order if who == member]
        assert mine == sorted(mine)
    assert (len(queue), queue.work_s) == (0, 0.0)


def test_a_light_member_waits_for_its_turn_not_for_the_whole_queue():
    queue = FairQueue("owner")
    for number in range(100):
        queue.put(Queued("heavy", 1.0, number))
    assert queue.wait_s("heavy") == 100.0
    assert queue.wait_s("light") == 1.0
    assert queue.wait_s("owner") == 0.0


def a_bid(member, **changes):
    return Bid(member, 0.01, 10, 10.0, None)._replace(**changes)


def some_work():
    return Work("owner", Clock())


def started(work):
    """All jobs that may go to the engines now."""
    jobs = []
    while (job := work.next().job) is not None:
        jobs.append(job)
    return jobs


def test_a_full_queue_pushes_out_who_has_most_and_else_refuses():
    work = some_work()
    for number in range(QUEUE_MAX):
        assert work.put(a_bid("heavy"), number) is None
    assert work.put(a_bid("light"), "light") == QUEUE_MAX - 1  # the newest of the longest line
    with pytest.raises(QueueFull):
        work.put(a_bid("heavy"), "one more")
    assert work.put(a_bid("owner"), "mine") is not None
    assert len(work.queue) == QUEUE_MAX


def test_a_queue_full_of_the_owners_own_jobs_refuses():
    work = some_work()
    for number in range(QUEUE_MAX):
        work.put(a_bid("owner"), number)
    for member in ("owner", "guest"):
        with pytest.raises(QueueFull) as full:
            work.put(a_bid(member), "one more")
        assert full.value.facts["retry_after_s"] > 1


def test_admission_is_by_deadline():
    work = some_work()
    for number in range(10):
        work.put(a_bid("heavy", service_s=1.0), number)
    assert work.admit(a_bid("heavy", limit_s=20.0)) == 10.0
    with pytest.raises(TooLate) as late:
        work.admit(a_bid("heavy", limit_s=12.0))
    assert 0.4 < late.value.facts["retry_after_s"] < 0.6  # 12.5 s of wait with its margin, and the job itself
    with pytest.raises(TooLate) as late:
        work.admit(a_bid("heavy", limit_s=4.0))
    assert late.value.facts["retry_after_s"] >= 6.01  # wait + service - limit
    assert work.admit(a_bid("heavy", limit_s=20.0, wait_limit_s=5.0)) is None


@given(st.floats(0, 100), st.floats(0.001, 10), st.floats(0.001, 200))
def test_who_asks_again_when_told_is_admitted(queued_s, service_s, limit_s):
    clock = Clock()
    work = Work("owner", clock)
    work.put(a_bid("m", service_s=queued_s, limit_s=1e9), "earlier")
    started(work)
    bid = a_bid("m", service_s=service_s, limit_s=limit_s)
    try:
        work.admit(bid)
    except TooLate as late:
        assert late.facts["retry_after_s"] >= SOON_S
        clock.now_s += late.facts["retry_after_s"] + 0.001
        if service_s <= limit_s:  # else the device is too slow for it, whenever it is asked
            assert work.admit(bid) is not None


def test_what_waited_too_long_is_turned_away_and_the_next_one_taken():
    clock = Clock()
    work = Work("owner", clock)
    work.put(a_bid("a", service_s=1.0, limit_s=3.0, at_s=0.0), "late")
    work.put(a_bid("b", service_s=1.0, limit_s=9.0, at_s=0.0), "in time")
    clock.now_s = 2.5  # 2.5 s and 1 s of work are more than 3 s
    job, late = work.next()
    assert (job.entry, late) == ("in time", ["late"])
    assert work.load().depth == 1


def test_one_member_has_so_many_jobs_here_at_most_and_the_owner_any_number():
    work = some_work()
    for number in range(MEMBER_JOBS_MAX):
        bid = a_bid("m")
        work.admit(bid)
        work.hold(bid)
        work.put(bid, number)
    with pytest.raises(TooManyJobs) as refused:
        work.admit(a_bid("m"))
    assert refused.value.facts["retry_after_s"] >= SOON_S
    assert work.admit(a_bid("other")) is not None
    work.release(a_bid("m"))
    assert work.admit(a_bid("m")) is not None
    for _ in range(2 * MEMBER_JOBS_MAX):
        work.hold(a_bid("owner"))
    assert work.admit(a_bid("owner")) == 0.0


def test_the_engines_get_a_batch_of_short_jobs_but_one_long_one():
    work = some_work()
    for number in range(100):
        work.put(a_bid("m", service_s=0.001), number)
    assert len(started(work)) == IN_ENGINE_MAX
    work = some_work()
    for number in range(3):
        work.put(a_bid("m", service_s=5.0), number)
    jobs = started(work)
    assert len(jobs) == 1
    first = work.load()
    work.end(jobs[0])
    assert work.load().sequence > first.sequence
    assert (work.load().depth, work.load().work_s) == (2, 10.0)


def test_work_in_the_engines_drains_and_never_counts_for_more_than_is_left():
    clock = Clock()
    work = Work("owner", clock)
    for _ in range(2):
        work.put(a_bid("m", service_s=0.15), "short")
    jobs = started(work)
    assert len(jobs) == 2 and work.load().work_s == pytest.approx(0.3)
    clock.now_s = 0.1
    assert work.load().work_s == pytest.approx(0.2)
    work.end(jobs[0])
    assert work.load().work_s == pytest.approx(0.15)
    clock.now_s = 5.0
    assert work.load().work_s == 0.0
    work.end(jobs[1])
    assert (work.load().depth, work.running) == (0, 0)


def test_the_owners_jobs_go_to_the_engines_at_once_whatever_others_have_there():
    work = some_work()
    work.put(a_bid("m", service_s=30.0, limit_s=600), "long")
    assert [job.entry for job in started(work)] == ["long"]
    assert work.wait_s("owner") == 0.0
    assert work.admit(a_bid("owner", wait_limit_s=0.0)) == 0.0
    work.put(a_bid("n"), "short of others")
    work.put(a_bid("owner"), "mine")
    assert [job.entry for job in started(work)] == ["mine"]
    assert work.wait_s("n") > 29


def test_a_heap_of_the_owners_jobs_keeps_its_order_and_others_wait():
    work = some_work()
    for number in range(5):
        work.put(a_bid("owner", service_s=1.0), number)
    work.put(a_bid("m"), "other")
    jobs = started(work)
    assert [job.entry for job in jobs] == [0]
    work.end(jobs[0])
    assert [job.entry for job in started(work)] == [1]


def test_the_owners_cap_on_others_jobs_holds_back_only_them():
    work = some_work()
    work.others_max = 1
    for number in range(4):
        work.put(a_bid("m", service_s=0.001), number)
    jobs = started(work)
    assert [job.entry for job in jobs] == [0] and work.running_others == 1
    work.put(a_bid("owner"), "mine")
    assert [job.entry for job in started(work)] == ["mine"]
    work.end(jobs[0])
    assert [job.entry for job in started(work)] == [1]
