"""Spot checks as rules: who is drawn, when pay is free, what misses lead to, and when two answers are the same."""

import math
import random
from array import array

import pytest

from mesh.credits.checks import (
    LATER_JOBS,
    LATER_MS,
    Miss,
    Pending,
    chance_ppm,
    checkable,
    drawn,
    held_back,
    may_be_spent,
    needed,
    proven,
    weighs,
)
from mesh.credits.settlement import AttemptFacts, ShareFacts, settle_job
from mesh.credits.tariff import Rate
from mesh.ids import MemberId, ulid, ulid_draw
from mesh.protocol.values import JobSpec
from mesh.workloads.catalogue import CHAT_DEFAULT, EMBEDDINGS_DEFAULT
from mesh.workloads.comparing import CannotTell, NotCheckable, again, drawing, edits, same
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import payload_of
from mesh.workloads.replay import (
    FAR,
    GAP_MAX,
    STRETCH_BYTES,
    STRETCH_TOKENS,
    TOKENS_LEAST,
    Replayed,
    Token,
    Trace,
    beginning,
    judged,
    stretches,
)

ANN, BOB = MemberId("ann"), MemberId("bob")


def test_the_first_jobs_are_all_drawn_then_one_in_ten():
    assert [chance_ppm(jobs) for jobs in (0, 9, 10, 10**6)] == [10**6, 10**6, 100_000, 100_000]
    assert drawn(20, 99_999) and not drawn(20, 100_000)
    assert drawn(0, 999_999)


def test_the_draw_of_a_new_id_is_even():
    ids = random.Random(4)
    draws = [ulid_draw(ulid(1_790_000_000_000, ids.randbytes(10))) for _ in range(20_000)]
    assert all(0 <= draw < 10**6 for draw in draws)
    assert 0.045 < sum(draw < 50_000 for draw in draws) / len(draws) < 0.055


def test_pay_waits_where_nobody_vouches_for_its_owner_and_in_quarantine():
    assert held_back("strict", False, quarantined=False)
    assert not held_back("strict", True, quarantined=False)
    assert not held_back("friends", False, quarantined=False)
    assert held_back("friends", True, quarantined=True)


@pytest.mark.parametrize(
    ("pay", "passes", "free"),
    [
        (Pending(LATER_JOBS, 0), 3, True),
        (Pending(LATER_JOBS - 1, 0), 3, False),
        (Pending(0, LATER_MS), 3, True),
        (Pending(10_000, 10 * LATER_MS), 2, False),
        (Pending(LATER_JOBS, LATER_MS, check="open"), 3, False),
        (Pending(LATER_JOBS, LATER_MS, check="missed"), 3, False),
        (Pending(LATER_JOBS, LATER_MS, check="passed", deniable=True), 3, False),
    ],
)
def test_pay_is_free_after_later_work_or_a_week_and_three_checks_that_weigh(pay, passes, free):
    assert may_be_spent(pay, passes) is free


def test_a_pass_weighs_only_from_an_admin_about_others():
    assert weighs(checker_admin=True, same_owner=False)
    assert not weighs(checker_admin=True, same_owner=True)
    assert not weighs(checker_admin=False, same_owner=False)


def test_a_check_that_weighs_is_drawn_until_there_are_three():
    assert needed(0, weighs=True) and needed(2, weighs=True)
    assert not needed(3, weighs=True) and not needed(0, weighs=False)


def test_one_miss_proves_nothing_and_one_person_alone_never_does():
    assert not proven([Miss(ANN, admin=True)])
    assert not proven([Miss(BOB, admin=False)] * 50)
    assert proven([Miss(ANN, admin=True)] * 2)
    assert proven([Miss(ANN, admin=False), Miss(BOB, admin=False)])


def test_what_is_sensitive_is_never_looked_at():
    assert checkable("embeddings", "private") and checkable("chat", "public")
    assert not checkable("embeddings", "sensitive")
    assert not checkable("transcribe", "public")


def test_pay_that_was_taken_back_stays_so_whatever_is_said_again():
    share = ShareFacts("s", "ended", 0, True, Rate(1, 3700, 1000))
    again_said = AttemptFacts(1, "s", 10_000, claimed=1000, outcome="done", used=1000, state="disproved")
    assert settle_job([again_said], {"s": share}, free=None) == ()


# --- comparing --------------------------------------------------------------------------------------------------------


def vectors(*rows):
    return Payload({"model": "m", "dim": len(rows[0]), "count": len(rows), "tokens": 1}, (_blob(rows),))


def _blob(rows):
    return array("f", [value for row in rows for value in row]).tobytes()


def turned(by):
    return (math.cos(by), math.sin(by))


def test_vectors_are_the_same_within_what_honest_devices_differ_in():
    asked, rows = payload_of(["a", "b"]), [0, 1]
    honest = vectors(turned(0.0), turned(1.0))
    assert same("embeddings", vectors(turned(1e-4), turned(1.0 + 1e-4)), honest, rows)
    assert not same("embeddings", vectors(turned(0.0), turned(1.0 + 0.02)), honest, rows)  # cosine 0.9998
    assert not same("embeddings", vectors((0.0, 0.0), turned(1.0)), honest, rows)
    longer = tuple(1.01 * value for value in turned(0.0))
    assert not same("embeddings", vectors(longer, turned(1.0)), honest, rows)
    assert not same("embeddings", vectors((1.0, 0.0, 0.0), (1.0, 0.0, 0.0)), honest, rows)
    assert drawing("embeddings", asked, honest) == (2, 2)
    assert again(a_spec("embeddings", EMBEDDINGS_DEFAULT), asked, honest, [1]).manifest == {"texts": ["b"]}
    assert same("embeddings", honest, vectors(turned(1.0)), [1])


def a_page(text):
    page = {"width": 1, "height": 1, "turned": 0, "confidence": 1.0, "text": text, "lines": ()}
    return Payload({"model": "m", "pages": [page]})


def test_readings_are_the_same_within_one_letter_in_a_hundred():
    text = "".join(random.Random(1).choices("abcdefgh ", k=1000))
    wrong = list(text)
    for place in (5, 105, 205, 305, 405, 505, 605, 705, 805):
        wrong[place] = "Z"
    assert same("ocr", a_page("".join(wrong)), a_page(text), [0])
    assert not same("ocr", a_page("".join(wrong).replace("a", "o", 9)), a_page(text), [0])
    assert same("ocr", a_page(text.replace(" ", " \n ")), a_page(text), [0])
    assert not same("ocr", a_page(""), a_page(text), [0])
    assert same("ocr", a_page("I1"), a_page("Il"), [0])


def test_the_band_of_edits_finds_what_the_whole_table_finds():
    chance = random.Random(2)
    for _ in range(300):
        one = "".join(chance.choices("abc", k=chance.randrange(14)))
        other = "".join(chance.choices("abc", k=chance.randrange(14)))
        most = chance.randrange(6)
        assert edits(one, other, most) == min(whole_table(one, other), most + 1)


def whole_table(one, other):
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        before, row = row, [at]
        for place, second in enumerate(other):
            row.append(min(before[place + 1] + 1, row[place] + 1, before[place] + (letter != second)))
    return row[-1]


# --- replaying --------------------------------------------------------------------------------------------------------


def likely(*tops):
    return Token(tops[0][0], tuple(tops))


def test_a_claim_that_the_engine_would_have_made_itself_has_no_gaps():
    trace = Trace("one two", ended=True)
    assert trace.take(likely((b"one", -0.1)))
    assert trace.take(likely((b" two", -0.2)))
    assert not trace.take(likely((b"", -0.3), (b" three", -1.0)))
    assert trace.over and trace.found() == Replayed(3, 0.0, 0.0, True) and judged(trace.found(), alike=True) == "passed"


def test_where_the_engine_would_have_said_something_else_the_gap_is_noted_and_it_goes_on_behind():
    trace = Trace("one zwei three", ended=False)
    trace.take(likely((b"one", -0.1)))
    assert not trace.take(likely((b" two", -0.5), (b" zwei", -0.9), (b" z", -3.0)))
    assert not trace.over and trace.prefix == "one zwei"
    trace.take(likely((b" three", -0.1)))
    found = trace.found()
    assert (found.tokens, found.whole) == (3, True) and found.gap_max == pytest.approx(0.4)


def test_what_is_not_among_the_likeliest_is_far_off_and_characters_are_never_cut():
    trace = Trace("żółw idzie", ended=False)
    trace.take(likely((b"kot", -0.1), ("ż".encode()[:1], -2.0)))
    assert trace.prefix == "ż"
    trace.take(likely((b"x", -0.1)))
    assert trace.prefix == "żółw" and trace.found().gap_max == FAR
    assert judged(trace.found(), alike=True) == "missed"


def test_an_answer_that_ends_where_the_model_would_go_on_is_found():
    trace = Trace("one", ended=True)
    trace.take(likely((b"one", -0.1)))
    trace.take(likely((b" two", -0.1), (b" and", -2.0)))
    assert trace.found().gap_max == FAR


def test_a_claim_that_goes_on_where_the_model_would_end_is_as_far_off_as_that_is_likely():
    trace = Trace("one two", ended=False)
    trace.take(likely((b"one", -0.1)))
    trace.take(Token(b" two", ((b"", -0.1), (b" two", -4.1))))  # it is kept from ending, so it says the next best
    assert trace.found().gap_max == pytest.approx(4.0) and trace.over


def test_a_word_that_was_read_as_the_wrong_tokens_is_read_once_more():
    trace = Trace("he also ran", ended=False)
    trace.take(likely((b"he", -0.1)))
    assert trace.take(likely((b" a", -0.5), (b" also", -0.8), (b" al", -5.0))), "the engine goes on from there"
    assert not trace.take(likely((b" dog", -0.1))), "nothing goes on with so: another reading is asked for"
    assert trace.prefix == "he also"
    trace.take(likely((b" ran", -0.1)))
    found = trace.found()
    assert found.whole and found.tokens == 3 and found.gap_max == pytest.approx(0.3)


def test_no_other_reading_is_looked_for_among_the_unlikely():
    trace = Trace("he also ran", ended=False)
    trace.take(likely((b"he", -0.1)))
    trace.take(likely((b" a", -0.5), (b" also", -4.0)))
    trace.take(likely((b" dog", -0.1)))
    assert trace.found().gap_max == FAR and trace.prefix == "he also"


def test_a_character_of_several_tokens_is_read_through():
    trace = Trace("a 😊!", ended=False)
    smile = " 😊".encode()
    for said in (b"a", smile[:2], smile[2:4], smile[4:]):
        assert trace.take(likely((said, -0.1)))
    trace.take(likely((b"!", -0.1)))
    assert trace.over and trace.found() == Replayed(5, 0.0, 0.0, True)


def test_other_text_is_given_up_before_it_is_read_to_its_end():
    trace = Trace(" ".join(["word"] * 500), ended=False)
    while not trace.over:
        trace.take(likely((b"x", -0.1)))
    assert not trace.found().whole and judged(trace.found(), alike=True) == "missed"


def test_many_small_gaps_are_one_large_one():
    assert judged(Replayed(100, GAP_MAX, 0.01, True), alike=True) == "passed"
    assert judged(Replayed(100, 0.3, 0.3, True), alike=True) == "missed"


@pytest.mark.parametrize(
    ("found", "alike", "elsewhere"),
    [
        (Replayed(64, 0.53, 0.02, True), "passed", "passed"),
        (Replayed(64, 1.3, 0.03, True), "unsure", "unsure"),
        (Replayed(64, 0.5, 0.07, True), "unsure", "unsure"),
        (Replayed(64, 0.5, 0.02, False), "unsure", "unsure"),
        (Replayed(64, 2.0, 0.04, True), "missed", "unsure"),
        (Replayed(64, 5.0, 0.6, True), "missed", "unsure"),
        (Replayed(20, 16.0, 1.9, False), "missed", "missed"),
    ],
)
def test_between_right_and_wrong_nobody_is_accused_and_of_another_build_only_what_is_certain(found, alike, elsewhere):
    assert judged(found, alike=True) == alike
    assert judged(found, alike=False) == elsewhere


def test_one_odd_token_of_a_short_answer_is_no_bad_mean():
    trace = Trace("Yes", ended=False)
    trace.take(likely((b"No", -0.5), (b"Yes", -1.0)))
    assert trace.found().gap_mean == pytest.approx(0.5 / TOKENS_LEAST)
    assert judged(trace.found(), alike=True) == "passed"


def test_of_a_long_answer_a_stretch_is_looked_at_from_between_two_words_on():
    text = "word " * 1000
    assert stretches(text) == 5000 // STRETCH_BYTES
    trace = Trace(text, ended=True, begin=beginning(text, 3), most=STRETCH_TOKENS)
    assert 3 * STRETCH_BYTES - 5 < len(trace.prefix) <= 3 * STRETCH_BYTES
    for _ in range(STRETCH_TOKENS - 1):
        assert trace.take(likely((b" word", -0.1)))
    assert not trace.take(likely((b" word", -0.1)))
    assert trace.over and trace.found() == Replayed(STRETCH_TOKENS, 0.0, 0.0, True)


def test_a_stretch_begins_at_no_blank_among_others_and_at_the_beginning_where_there_is_none():
    assert (stretches("Yes."), beginning("Yes.", 0)) == (1, 0)
    assert beginning("x" * 1000, 2) == 0
    assert beginning("a b" + "x" * 1000, 2) == 1, "what has no blanks is looked at from its start on"
    assert beginning("a b" + " " * 1000 + "c", 2) == 1


def test_the_end_of_an_answer_is_looked_at_with_its_last_stretch():
    trace = Trace("one two", ended=True, begin=3, most=STRETCH_TOKENS)
    trace.take(likely((b" two", -0.1)))
    assert not trace.over
    trace.take(likely((b" three", -0.1), (b"", -3.1)))
    assert trace.over and trace.found().gap_max == pytest.approx(3.0)


def a_spec(workload, model):
    return JobSpec(workload, model, units=1)


def test_only_greedy_chats_in_free_text_of_models_of_mesh_are_replayed():
    claimed = Payload({"model": "m", "text": "Yes.", "finish": "stop", "left_out": 0})
    greedy, spec = Payload({"prompt": "Is it?", "temperature": 0}), a_spec("chat", CHAT_DEFAULT)
    assert drawing("chat", greedy, claimed) == (1, 1)
    replay = again(spec, greedy, claimed, [0]).manifest["replay"]
    assert replay == {"text": "Yes.", "finish": "stop", "begin": 0, "tokens": STRETCH_TOKENS}
    for of, payload, answer in (
        (spec, Payload({"prompt": "Is it?"}), claimed),
        (spec, Payload({"prompt": "Is it?", "temperature": 0, "json": True}), claimed),
        (spec, greedy, Payload({**claimed.manifest, "left_out": 1})),
        (spec, greedy, Payload({**claimed.manifest, "text": ""})),
        (a_spec("chat", "my-own"), greedy, claimed),
    ):
        with pytest.raises(NotCheckable):
            again(of, payload, answer, [0])


def test_who_says_that_another_build_answered_is_held_to_what_is_certain_only():
    def claimed(engine):
        return Payload({"text": "Yes.", "finish": "stop", "engine": engine})

    def mine(gap, mean):
        return Payload({"engine": "ours", "replayed": Replayed(64, gap, mean, True)._asdict()})

    assert same("chat", claimed("ours"), mine(0.2, 0.01), [0])
    assert not same("chat", claimed("ours"), mine(3.0, 0.2), [0])
    assert not same("chat", claimed("another"), mine(16.0, 3.0), [0])
    for engine in ("another", None):
        with pytest.raises(CannotTell):
            same("chat", claimed(engine), mine(3.0, 0.2), [0])
