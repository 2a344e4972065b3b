"""Contribution: by whose terms a device works for others, and in which words it says that it does not."""

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.devices.contribution import (
    DEFAULT_TERMS,
    IDLE_AGAIN,
    MINUTES_A_DAY,
    REASONS,
    BadTerms,
    Hours,
    Terms,
    check,
    contributes,
    hours_of,
    willing,
)
from mesh.protocol.values import Capability, Condition

LAPTOP = Capability("linux", "x86_64", 4, 8 << 30, 2)
PHONE = Capability("linux", "aarch64", 8, 4 << 30, 0, phone=True)
NOON = 12 * 60
SHARES = st.floats(0, 1)
MINUTES = st.integers(0, MINUTES_A_DAY - 1)
HOURS = st.builds(Hours, MINUTES, MINUTES)
TERMS = st.builds(
    Terms,
    on=st.booleans(),
    hours=st.lists(HOURS, max_size=3).map(tuple),
    idle_below=st.none() | SHARES,
    share=st.floats(0.01, 1),
    jobs_max=st.none() | st.integers(1, 256),
    battery_min=SHARES,
    headroom_min=SHARES,
)
CONDITIONS = st.builds(
    Condition,
    cpu_busy=st.none() | SHARES,
    gpu_busy=st.none() | SHARES,
    battery=st.none() | SHARES,
    plugged_in=st.none() | st.booleans(),
    thermal_headroom=st.none() | SHARES,
)
MACHINES = st.sampled_from([LAPTOP, PHONE])


def ask(terms=DEFAULT_TERMS, machine=LAPTOP, minute=NOON, before="", **condition):
    return willing(terms, machine, Condition(**condition), minute=minute, before=before)


def test_by_default_a_machine_works_for_others_whatever_its_owner_does():
    assert ask(cpu_busy=1.0, gpu_busy=1.0).willing
    assert ask(plugged_in=True, battery=0.1).willing
    assert not ask(plugged_in=False, battery=0.3).willing


def test_switched_off_is_off():
    refused = ask(Terms(on=False))
    assert (refused.willing, refused.code) == (False, "off") and refused.retry_after_s > 0


@pytest.mark.parametrize(
    ("minute", "open_"),
    [(21 * 60 + 59, False), (22 * 60, True), (23 * 60, True), (0, True), (8 * 60 - 1, True), (8 * 60, False)],
)
def test_hours_go_over_midnight_and_end_at_their_end(minute, open_):
    assert ask(Terms(hours=(hours_of("22:00-08:00"),)), minute=minute).willing is open_


def test_outside_its_hours_a_device_says_when_they_begin():
    refused = ask(Terms(hours=(hours_of("22:00-08:00"), hours_of("14:30-15:00"))))
    assert refused.code == "hours"
    assert refused.reason == "it is 12:00, outside 22:00-08:00, 14:30-15:00"
    assert refused.retry_after_s == timedelta(hours=2, minutes=30).total_seconds()


def test_use_by_others_has_a_border_with_two_sides():
    terms = Terms(idle_below=0.5)
    assert ask(terms, cpu_busy=0.49).willing
    refused = ask(terms, cpu_busy=0.5)
    assert refused.code == "use" and "50%" in refused.reason
    assert not ask(terms, cpu_busy=0.49, before="use").willing
    assert ask(terms, cpu_busy=0.5 * IDLE_AGAIN - 0.01, before="use").willing
    assert not ask(terms, cpu_busy=0.0, gpu_busy=0.9).willing
    assert ask(terms).willing  # nothing was measured yet


def test_power_and_heat():
    assert ask(Terms(battery_min=0.4), plugged_in=False, battery=0.41).willing
    assert ask(Terms(battery_min=0.4), plugged_in=False, battery=0.39).code == "battery"
    assert ask(Terms(battery_min=0.4), battery=0.1).willing  # not known to be off its charger
    assert ask(machine=PHONE, battery=0.9).code == "charger"
    assert ask(machine=PHONE, plugged_in=True, battery=0.9).willing
    assert ask(Terms(headroom_min=0.3), thermal_headroom=0.2).code == "heat"


@given(TERMS, MACHINES, CONDITIONS, MINUTES, st.sampled_from(["", *REASONS]))
def test_every_no_has_a_known_code_words_and_a_time_to_ask_again(terms, machine, condition, minute, before):
    answer = willing(terms, machine, condition, minute=minute, before=before)
    if answer.willing:
        assert (answer.code, answer.reason) == ("", "")
        hot = condition.thermal_headroom is not None and condition.thermal_headroom < 0.1
        assert contributes(machine, condition).willing or hot or machine.phone  # its own terms may ask for less
    else:
        assert answer.code in REASONS and answer.code and answer.reason
        assert 0 < answer.retry_after_s <= 24 * 3600
        seen = contributes(machine, Condition(contributes=False, limit=answer.code))
        assert not seen.willing and seen.reason == REASONS[answer.code]


@given(TERMS, MACHINES, CONDITIONS, MINUTES)
def test_less_use_more_power_and_more_headroom_never_close_a_device(terms, machine, condition, minute):
    better = Condition(cpu_busy=0.0, gpu_busy=0.0, battery=1.0, plugged_in=True, thermal_headroom=1.0)
    if willing(terms, machine, condition, minute=minute).willing and terms.idle_below != 0:
        assert willing(terms, machine, better, minute=minute).willing


@given(HOURS, MINUTES)
def test_the_hours_told_to_wait_end_where_they_begin(hours, minute):
    answer = ask(Terms(hours=(hours,)), minute=minute)
    if not answer.willing:
        opens = (minute + int(answer.retry_after_s) // 60) % MINUTES_A_DAY
        assert ask(Terms(hours=(hours,)), minute=opens).willing
    assert hours_of(str(hours)) == hours


@given(st.text(max_size=12))
def test_any_text_is_hours_or_refused(text):
    with contextlib.suppress(BadTerms):
        assert check(Terms(hours=(hours_of(text),)))


@pytest.mark.parametrize(
    "terms",
    [
        Terms(share=0.0),
        Terms(share=1.5),
        Terms(idle_below=-0.1),
        Terms(battery_min=2.0),
        Terms(headroom_min=float("nan")),
        Terms(jobs_max=0),
        Terms(jobs_max=10**9),
        Terms(hours=(Hours(-1, 5),)),
        Terms(hours=(Hours(0, MINUTES_A_DAY),)),
    ],
)
def test_terms_that_cannot_be_are_refused(terms):
    with pytest.raises(BadTerms):
        check(terms)


@given(TERMS)
def test_terms_that_can_be_pass(terms):
    assert check(terms) is terms


def test_a_code_that_is_not_known_here_still_has_words():
    assert contributes(LAPTOP, Condition(contributes=False, limit="moonlight")).reason == "its owner's limits"
