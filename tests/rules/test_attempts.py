"""When a job is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.jobs.attempts import FAILURES_MAX, LOSSES_MAX, NUMBERS_MAX, agreed, believed, wait_before_next

ENDS = ("busy", "declined", "unreached", "unstarted", "lost", "failed", "outrun")


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
        (["unstarted"] * 30, True, 0.0),
        (["unstarted"], False, 0.25),
        (["unstarted"] * 60, True, None),
        (["declined", "outrun"], False, None),
        (["lost", "outrun"], True, 0.0),
    ],
)
def test_what_follows_an_attempt(ends, others, expected):
    assert wait_before_next(ends, others_open=others, draw=1.0) == expected


@given(st.lists(st.sampled_from(ENDS), min_size=1, max_size=70), st.booleans(), st.floats(0, 1))
def test_every_job_ends_and_no_wait_is_longer_than_two_seconds(ends, others, draw):
    wait = wait_before_next(ends, others_open=others, draw=draw)
    losses = ends.count("lost") + ends.count("unreached")
    over = ends.count("failed") >= FAILURES_MAX or losses >= LOSSES_MAX or len(ends) >= NUMBERS_MAX
    assert wait is None or (0 <= wait <= 2.0 and not over)


@pytest.mark.parametrize(
    ("code", "others", "own", "ends"),
    [
        ("input.unreadable", [], False, False),
        ("input.unreadable", ["input.unreadable"], False, True),
        ("input.unreadable", ["engine.crashed", "input.text_too_long"], False, False),
        ("input.unreadable", [], True, True),
        ("engine.crashed", ["engine.crashed"], True, False),
    ],
)
def test_one_strangers_word_against_the_input_is_not_enough(code, others, own, ends):
    assert believed(code, others, own=own) is ends


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (["input.unreadable"], True),
        (["input.unreadable", "input.unreadable"], True),
        (["input.unreadable", "input.text_too_long"], False),
        (["input.unreadable", "engine.crashed"], False),
        (["engine.crashed"], False),
    ],
)
def test_where_nobody_is_left_to_ask_what_all_said_of_the_input_is_told(codes, told):
    assert agreed(codes) is told
