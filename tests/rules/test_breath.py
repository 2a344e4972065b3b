"""Words of a stream that are said close together: which leave at once, which are kept, and that none is lost."""

import threading

from mesh.workloads.breath import GAP_S, Breath


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def a_breath():
    sent, clock = [], Clock()
    return Breath(lambda job, content: sent.append((job, content)), clock), sent, clock


def test_the_first_words_leave_at_once_and_those_close_behind_them_together():
    breath, sent, clock = a_breath()
    breath.say(1, b"a")
    assert sent == [(1, b"a")]
    for word in (b"b", b"c", b"d"):
        clock.now_s += GAP_S / 4
        breath.say(1, word)
    assert breath.leave_due() is not None and sent == [(1, b"a")]
    clock.now_s += GAP_S / 4
    assert breath.leave_due() is None
    assert sent == [(1, b"a"), (1, b"bcd")]


def test_a_slow_speaker_is_never_held_up():
    breath, sent, clock = a_breath()
    for word in (b"a", b"b", b"c"):
        breath.say(1, word)
        clock.now_s += GAP_S
        assert breath.leave_due() is None
    assert sent == [(1, b"a"), (1, b"b"), (1, b"c")]


def test_jobs_do_not_wait_for_each_other_and_are_never_mixed():
    breath, sent, clock = a_breath()
    breath.say(1, b"a")
    clock.now_s += GAP_S / 2
    breath.say(1, b"b")
    breath.say(2, b"x")
    breath.say(2, b"y")
    assert sent == [(1, b"a"), (2, b"x")]
    clock.now_s += GAP_S / 2
    breath.leave_due()
    assert sent == [(1, b"a"), (2, b"x"), (1, b"b")]


def test_the_end_of_a_job_lets_out_what_was_kept_once():
    breath, sent, clock = a_breath()
    for word in (b"a", b"b"):
        breath.say(1, word)
    breath.end(1)
    breath.end(1)
    clock.now_s += 10 * GAP_S
    assert breath.leave_due() is None
    assert sent == [(1, b"a"), (1, b"b")]


def test_what_was_kept_leaves_by_itself():
    left, all_came = [], threading.Event()

    def send(job, content):
        left.append(content)
        if b"".join(left) == b"abc":
            all_came.set()

    breath = Breath(send)
    threading.Thread(target=breath.run, daemon=True).start()
    for word in (b"a", b"b", b"c"):
        breath.say(1, word)
    assert all_came.wait(20)
