"""What of the processors others use: Mesh's own work is none of it."""

import os

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.agent.probe import OthersUse, Probe, machine_times, process_time
from mesh.protocol.values import Load

CORES = 4


class Machine:
    """A machine of four cores, on which the agent, engines and others use what a test says."""

    def __init__(self):
        self.now_s = 0.0
        self.used = 0.0
        self.spent = {os.getpid(): 0.0}
        self.use = OthersUse(self.times, self.spent.get, lambda: self.now_s)

    def times(self):
        return self.used, self.now_s * CORES

    def work(self, seconds, others=0.0, **engines):
        """Time passes; ``others`` and engines by pid use so many cores."""
        self.now_s += seconds
        self.used += seconds * (others + sum(engines.values()))
        for name, cores in engines.items():
            pid = int(name[1:])
            self.spent[pid] = self.spent.get(pid, 0.0) + seconds * cores
        return self.use.read([pid for pid in self.spent if pid != os.getpid()])


def test_engines_at_full_work_are_no_use_by_others():
    machine = Machine()
    for _ in range(20):
        busy = machine.work(5.0, e7=3.0, e8=0.9)
    assert busy == pytest.approx(0.0, abs=0.02)
    for _ in range(20):
        busy = machine.work(5.0, others=2.0, e7=1.0)
    assert busy == pytest.approx(0.5, abs=0.01)


def test_an_engine_that_ends_and_one_that_starts_count_as_ours():
    machine = Machine()
    for _ in range(5):
        machine.work(5.0, e7=2.0)
    del machine.spent[7]
    assert machine.work(5.0, e9=2.0) == pytest.approx(0.0, abs=0.01)


def test_a_glance_right_after_another_changes_nothing():
    machine = Machine()
    before = machine.work(5.0, others=1.0)
    assert machine.work(0.1, others=4.0) == before


@given(st.lists(st.tuples(st.floats(0.01, 60), st.floats(0, CORES), st.floats(0, CORES)), max_size=30))
def test_the_answer_is_always_a_share(steps):
    machine = Machine()
    for seconds, others, engine in steps:
        busy = machine.work(seconds, others=others, e7=engine)
        assert busy is None or 0.0 <= busy <= 1.0


def test_the_real_machine_can_be_read():
    used, passed = machine_times()
    assert 0 < used <= passed
    assert process_time(os.getpid()) > 0
    assert process_time(2**22 + 1) is None or psutil.pid_exists(2**22 + 1)
    read = Probe().condition("ready", Load(), (), ())
    assert read.cpu_busy is None, "there is no span to judge by yet"
