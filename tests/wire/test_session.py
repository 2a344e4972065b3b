"""The session machine: the order of frames, both ends alike, whatever the pieces that bytes arrive in."""

import examples
import pytest
from examples import JOB, LOAD, SECRET, SPEC, SUBMIT_TOKEN
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol import frames
from mesh.protocol.frames import FrameError
from mesh.protocol.session import Session
from mesh.protocol.values import Usage

SUBMIT = frames.Submit(JOB, 1, SUBMIT_TOKEN, SPEC, SECRET, None, b"x", 1)
ACCEPT = frames.Accept(JOB, 1, 0.0, LOAD)
STARTED = frames.Started(JOB, 1, LOAD)
DONE = frames.Done(JOB, 1, Usage(1), "c.c.c", b"r", 1, LOAD)
FAULT = frames.Fault(JOB, 1, {"code": "job.cancelled"}, None, LOAD)
CANCEL = frames.Cancel(JOB, 1)


def greeted() -> tuple[Session, Session]:
    """An asker and a worker that have admitted each other."""
    asker, worker = Session("asker"), Session("worker")
    for here, there in ((asker, worker), (worker, asker)):
        assert there.receive(here.send(frames.Hello("c.c.c"))) == [frames.Hello("c.c.c")]
    asker.admit()
    worker.admit()
    return asker, worker


def test_a_job_runs_from_submit_to_acknowledged():
    asker, worker = greeted()
    assert worker.receive(asker.send(SUBMIT)) == [SUBMIT]
    for frame in (ACCEPT, STARTED, frames.Progress(JOB, 1, "run", 0.5), frames.Chunk(JOB, 1, 0, b"a"), DONE):
        assert asker.receive(worker.send(frame)) == [frame]
    assert (asker.in_flight, worker.in_flight) == (0, 0)
    done = frames.Acknowledged(JOB, 1, "u.u.u")
    assert worker.receive(asker.send(done)) == [done]


def test_nothing_but_hello_is_parsed_before_the_certificate_is_admitted():
    asker, worker = Session("asker"), Session("worker")
    together = asker.send(frames.Hello("c.c.c")) + asker.send(SUBMIT)
    assert worker.receive(together) == [frames.Hello("c.c.c")]
    assert worker.receive(b"") == []
    worker.admit()
    assert worker.receive(b"") == [SUBMIT]


def test_a_stranger_cannot_make_us_keep_much():
    worker = Session("worker")
    worker.receive(Session("asker").send(frames.Hello("c.c.c")))
    with pytest.raises(FrameError):
        for _ in range(10):
            worker.receive(b"\0" * 100_000)


def test_a_hello_longer_than_its_limit_is_refused_by_its_length_alone():
    with pytest.raises(FrameError):
        Session("worker").receive((frames.HELLO_BYTES_MAX + 1).to_bytes(4))


def test_a_session_that_does_not_open_with_hello_is_refused():
    with pytest.raises(FrameError):
        Session("worker").receive(frames.encode(CANCEL))


@pytest.mark.parametrize("frame", [STARTED, DONE, frames.Chunk(JOB, 1, 0, b"a"), FAULT])
def test_a_worker_that_skips_a_step_breaks_the_session(frame):
    asker, worker = greeted()
    worker.receive(asker.send(SUBMIT))
    with pytest.raises(FrameError):
        asker.receive(frames.encode(frame))


def test_news_of_an_attempt_that_was_never_submitted_breaks_the_session():
    asker, _ = greeted()
    with pytest.raises(FrameError):
        asker.receive(frames.encode(ACCEPT))


@pytest.mark.parametrize("frame", [ACCEPT, DONE])
def test_an_asker_cannot_speak_as_a_worker(frame):
    _, worker = greeted()
    with pytest.raises(FrameError):
        worker.receive(frames.encode(frame))


def test_the_same_attempt_cannot_be_submitted_twice():
    asker, worker = greeted()
    worker.receive(asker.send(SUBMIT))
    with pytest.raises(FrameError):
        worker.receive(frames.encode(SUBMIT))


def test_done_that_crosses_a_cancel_is_still_a_last_word():
    asker, worker = greeted()
    worker.receive(asker.send(SUBMIT))
    crossing = worker.send(ACCEPT) + worker.send(STARTED) + worker.send(DONE)
    cancel = asker.send(CANCEL)
    assert asker.receive(crossing) == [DONE]
    assert worker.receive(cancel) == []
    assert (asker.in_flight, worker.in_flight) == (0, 0)


def test_after_a_cancel_the_worker_says_one_last_word():
    asker, worker = greeted()
    worker.receive(asker.send(SUBMIT))
    asker.receive(worker.send(ACCEPT))
    assert worker.receive(asker.send(CANCEL)) == [CANCEL]
    assert asker.receive(worker.send(FAULT)) == [FAULT]
    assert (asker.in_flight, worker.in_flight) == (0, 0)


def test_a_broken_stream_names_what_was_open():
    asker, _ = greeted()
    asker.send(SUBMIT)
    assert asker.abandon() == [(JOB, 1)]
    assert asker.in_flight == 0


@given(st.lists(st.integers(1, 40), max_size=60))
def test_frames_do_not_depend_on_how_bytes_are_cut(cuts):
    asker, worker = greeted()
    stream = asker.send(SUBMIT) + asker.send(frames.Beat(None)) + asker.send(CANCEL)
    got, at = [], 0
    for cut in [*cuts, len(stream)]:
        got += worker.receive(stream[at : at + cut])
        at += cut
    assert got == [SUBMIT, frames.Beat(None), CANCEL]


WORKER_WORDS = [ACCEPT, STARTED, frames.Progress(JOB, 1, "run", 0.1), frames.Chunk(JOB, 1, 0, b"a"), DONE, FAULT]


@given(st.lists(st.sampled_from(WORKER_WORDS), max_size=8), st.integers(0, 8))
def test_both_ends_judge_every_order_alike(words, cancel_at):
    """What a worker's machine lets it say, the asker's machine takes; what one refuses, so does the other."""
    asker, worker = greeted()
    worker.receive(asker.send(SUBMIT))
    for index, word in enumerate(words):
        if index == cancel_at:
            worker.receive(asker.send(CANCEL))
        try:
            sent = worker.send(word)
        except FrameError:
            with pytest.raises(FrameError):
                asker.receive(frames.encode(word))
            return
        asker.receive(sent)
        assert asker.state(JOB, 1) == worker.state(JOB, 1)


def test_examples_cover_every_kind_a_side_may_send():
    assert {type(f) for f in examples.ASKER_FRAMES} >= {frames.Submit, frames.Cancel, frames.Acknowledged}
