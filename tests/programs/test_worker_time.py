"""Permits are judged by the coordinator's clock, whatever this machine's own says, and not right after a sleep."""

import pytest

from mesh.transport.clock import CoordinatorClock

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
