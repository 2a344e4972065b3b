"""When a job is tried again, and the order in which a worker takes what waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agent.fair_queue import QUEUE_MAX, FairQueue, Queued
from mesh.agent.queueing import IN_ENGINE_MAX, Bid, QueueFull, TooLate, Work
from mesh.jobs.attempts import FAILURES_MAX, LOSSES_MAX, wait_before_next

ENDS = ("busy", "declined", "unreached", "lost", "failed")


@pytest.mark.parametrize(
    ("ends", "others", "expected"),
    [
        (["busy"], True, 0.0),
        (["declined", "busy"], True, 0.0),
        (["lost"], True, 0.0),
        (["busy"], False, None),
        (["declined", "busy"], False, None),
        (["failed"], True, 0.25),
        (["failed", "failed"], True, 0.75),
        (["failed"] * 3, True, None),
        (["lost"], False, 0.25),
        (["lost", "busy"], False, 0.25),
        (["lost"] * 9, True, 0.0),
        (["lost"] * 10, True, None),
        (["unreached"] * 5 + ["lost"] * 5, True, None),
    ],
)
def test_what_follows_an_attempt(ends, others, expected):
    assert wait_before_next(ends, others_open=others, draw=1.0) == expected


@given(st.lists(st.sampled_from(ENDS), min_size=1, max_size=40), st.booleans(), st.floats(0, 1))
def test_every_job_ends_and_no_wait_is_longer_than_two_seconds(ends, others, draw):
    wait = wait_before_next(ends, others_open=others, draw=draw)
    over = ends.count("failed") >= FAILURES_MAX or ends.count("lost") + ends.count("unreached") >= LOSSES_MAX
    assert wait is None or (0 <= wait <= 2.0 and not over)


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


def test_a_full_queue_pushes_out_who_has_most_and_else_refuses():
    work = Work("owner")
    for number in range(QUEUE_MAX):
        assert work.put(a_bid("heavy"), number) is None
    assert work.put(a_bid("light"), "light") == QUEUE_MAX - 1  # the newest of the longest line
    with pytest.raises(QueueFull):
        work.put(a_bid("heavy"), "one more")
    assert work.put(a_bid("owner"), "mine") is not None
    assert len(work.queue) == QUEUE_MAX


def test_a_queue_full_of_the_owners_own_jobs_refuses():
    work = Work("owner")
    for number in range(QUEUE_MAX):
        work.put(a_bid("owner"), number)
    for member in ("owner", "guest"):
        with pytest.raises(QueueFull):
            work.put(a_bid(member), "one more")


def test_admission_is_by_deadline():
    work = Work("owner")
    for number in range(10):
        work.put(a_bid("heavy", service_s=1.0), number)
    assert work.admit(a_bid("heavy", limit_s=20.0)) == 10.0
    with pytest.raises(TooLate) as late:
        work.admit(a_bid("heavy", limit_s=12.0))
    assert 0.4 < late.value.facts["retry_after_s"] < 0.6  # 12.5 s of wait with its margin, and the job itself
    assert work.admit(a_bid("heavy", limit_s=20.0, wait_limit_s=5.0)) is None


def test_the_engines_get_a_batch_of_short_jobs_but_one_long_one():
    work = Work("owner")
    for number in range(100):
        work.put(a_bid("m", service_s=0.001), number)
    started = [work.start() for _ in range(100)]
    assert sum(job is not None for job in started) == IN_ENGINE_MAX
    work = Work("owner")
    for number in range(3):
        work.put(a_bid("m", service_s=5.0), number)
    assert [work.start() is not None for _ in range(3)] == [True, False, False]
    first = work.load()
    work.end(5.0)
    assert work.load().sequence > first.sequence
    assert (work.load().depth, work.load().work_s) == (2, 10.0)
