"""Permits are judged by the coordinator's clock, whatever this machine's own says, and not right after a sleep."""

import pytest

from mesh.protocol import frames
from mesh.transport.clock import CoordinatorClock
from programs.test_agent_permits import asking, declined

HOUR_S = 3600.0
TRUE_S = 1_800_000_000.0


class Machine:
    """A machine whose wall clock is wrong and may jump, and that may sleep."""

    def __init__(self, skew_s):
        self.skew_s, self.boot_s, self.awake_s = skew_s, 100.0, 100.0
        self.clock = CoordinatorClock(lambda: self.true_s + self.skew_s, lambda: self.boot_s, lambda: self.awake_s)

    @property
    def true_s(self):
        return TRUE_S + self.boot_s

    def passes(self, seconds, *, asleep=False):
        self.boot_s += seconds
        self.awake_s += 0.0 if asleep else seconds

    def hears(self):
        self.clock.sample(int(self.true_s * 1000), self.boot_s)

    @property
    def off_s(self):
        return self.clock.now_ms() / 1000 - self.true_s


@pytest.mark.parametrize("skew_s", [-HOUR_S, 0.0, HOUR_S])
def test_a_clock_an_hour_off_is_right_once_the_coordinator_was_heard(skew_s):
    machine = Machine(skew_s)
    assert not machine.clock.fresh
    assert machine.off_s == pytest.approx(skew_s, abs=0.01)
    machine.hears()
    assert machine.clock.fresh and abs(machine.off_s) < 0.01
    machine.passes(600.0)
    assert machine.clock.fresh and abs(machine.off_s) < 0.01


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_wall_clock_that_jumps_moves_nothing(jump_s):
    machine = Machine(0.0)
    machine.hears()
    machine.skew_s += jump_s
    machine.passes(5.0)
    assert machine.clock.fresh and abs(machine.off_s) < 0.01


def test_after_a_sleep_nothing_is_judged_until_the_coordinator_is_heard_again():
    machine = Machine(HOUR_S)
    machine.hears()
    machine.passes(HOUR_S, asleep=True)
    assert not machine.clock.fresh
    assert abs(machine.off_s) < 0.01, "sleep counts where the system can tell"
    machine.hears()
    assert machine.clock.fresh


@pytest.mark.anyio
async def test_a_permits_times_are_judged_with_thirty_seconds_of_leeway(tmp_path):
    async with asking(tmp_path) as asker:
        now_ms = asker.membership.clock.now_ms()
        for within in (
            {"start_by_ms": now_ms - 25_000},
            {"start_by_ms": now_ms - 25_000, "finish_by_ms": now_ms - 20_000},
            {"issued_ms": now_ms + 25_000},
        ):
            answer = await asker.say(asker.submit(asker.permit(**within)))
            # Taken in; of a permit whose time is over only what can be done in no time at all comes back.
            assert isinstance(answer, frames.Done | frames.Fault) or answer.error["code"] == "worker.late", answer
        for beyond, reason in (
            ({"start_by_ms": now_ms - 35_000}, "expired"),
            ({"finish_by_ms": now_ms - 35_000}, "expired"),
            ({"issued_ms": now_ms + 60_000}, "early"),
        ):
            declined(await asker.say(asker.submit(asker.permit(**beyond))), "permit.refused", reason)


@pytest.mark.anyio
@pytest.mark.parametrize("skew_s", [-HOUR_S, HOUR_S])
async def test_a_worker_whose_own_clock_is_an_hour_off_takes_and_refuses_what_others_would(tmp_path, skew_s):
    async with asking(tmp_path) as asker:
        clock = asker.worker.agent.parts.membership.clock
        clock._wall_s = lambda: TRUE_S + skew_s
        now_ms = asker.membership.clock.now_ms()
        assert isinstance(await asker.say(asker.submit(asker.permit())), frames.Done)
        late = asker.permit(start_by_ms=now_ms - 60_000)
        declined(await asker.say(asker.submit(late)), "permit.refused", "expired")


@pytest.mark.anyio
async def test_a_worker_that_has_just_woken_declines_until_it_is_told_the_time_and_says_when_to_ask_again(tmp_path):
    async with asking(tmp_path) as asker:
        clock = asker.worker.agent.parts.membership.clock
        awake_s = clock._awake_s
        clock._awake_s = lambda: awake_s() - HOUR_S  # the lid was shut for an hour
        answer = await asker.say(asker.submit(asker.permit()))
        declined(answer, "worker.clock_unsure")
        assert answer.retry_after_s > 0
        clock.sample(asker.membership.clock.now_ms(), clock.boot_s())
        assert isinstance(await asker.say(asker.submit(asker.permit())), frames.Done)
