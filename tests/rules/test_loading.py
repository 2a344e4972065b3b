"""How far a model is: fractions by stage, and a time left only when a pace is known."""

from mesh.agent.engines.loading import Loading, Progress


def test_nothing_said_is_nothing_known():
    assert Progress().now(5.0) == Loading("waiting", 0.0, None)


def test_the_time_left_follows_the_pace_of_this_stage():
    progress = Progress()
    progress.say("downloading", 0, 100, 10.0)
    assert progress.now(10.5) == Loading("downloading", 0.0, None)
    progress.say("downloading", 25, 100, 10.5)
    assert progress.now(10.5) == Loading("downloading", 0.25, None)  # too soon for a pace
    progress.say("downloading", 50, 100, 12.0)
    assert progress.now(12.0) == Loading("downloading", 0.5, 2.0)
    progress.say("copying", 10, 100, 13.0)
    assert progress.now(13.0) == Loading("copying", 0.1, None)


def test_a_total_that_nobody_knows_gives_no_fraction():
    progress = Progress()
    progress.say("downloading", 70, 0, 1.0)
    assert progress.now(9.0) == Loading("downloading", 0.0, None)
