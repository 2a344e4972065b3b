"""Devices join, work, sleep, are killed, leave and are removed, over and over: what stays behind is nothing.

Real processes. The short form is part of the suite; the long one runs for ten minutes.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from mesh.cli.programs import Program
from mesh.cli.stage import Player
from mesh.units import MIB
from whole.network import Network, a_network, eventually

ALIVE_MAX = 3
SETTLE_S = 60.0
FILES_SLACK = 6
"""Pools of connections and threads grow by a few with use, and stay."""
MEMORY_SLACK = 16 * MIB


class Kept(NamedTuple):
    """What a process holds."""

    files: int
    sockets: int
    memory: int


class Steady:
    """The processes that see everybody come and go: coordinator, relay, and the agent that works for them."""

    def __init__(self, network: Network) -> None:
        self.processes = {
            "coordinator": psutil.Process(network.served.process.pid),
            "relay": _child(network.served.process.pid, "mesh.relay.main"),
            "agent": _child(network.agents["ada"].process.pid, "mesh.agent.main"),
        }

    def kept(self) -> dict[str, Kept]:
        return {
            name: Kept(one.num_fds(), len(one.net_connections("all")), one.memory_info().rss)
            for name, one in self.processes.items()
        }


def _child(pid: int, what: str) -> psutil.Process:
    children = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    (found,) = [one for one in children if what in " ".join(one.cmdline())]
    return found


class Churn:
    """Ada's further machines: each comes, asks for jobs, and goes in one of many ways."""

    def __init__(self, network: Network, draw: random.Random) -> None:
        self.network, self.draw = network, draw
        self.alive: dict[str, tuple[Player, Program]] = {}
        self.made = 0
        self.done = {"join": 0, "job": 0, "sleep": 0, "kill": 0, "stop": 0, "remove": 0}

    def step(self) -> None:
        ways = [*self.done][1:] if self.alive else []
        way = self.draw.choice([*(["join"] * 2 if len(self.alive) < ALIVE_MAX else []), *ways])
        getattr(self, f"_{way}")()
        self.done[way] += 1

    def leave_all(self) -> None:
        while self.alive:
            self._remove()

    def _any(self) -> str:
        return self.draw.choice(sorted(self.alive))

    def _join(self) -> None:
        self.made += 1
        name = f"m{self.made}"
        player = self.network.second_home(self.network.ada, name)
        self.alive[name] = (player, player.start("up", "--only-ask"))
        self._job(name)

    def _job(self, name: str = "") -> None:
        player, _ = self.alive[name or self._any()]
        ran = self.network.embed(player, "a harbour at night", on="ada")
        assert ran["charge"] == 0 and ran["device"] == self.network.devices["ada"]

    def _sleep(self) -> None:
        """As a lid that closes: everything of it stands still, and goes on later."""
        name = self._any()
        group = self.alive[name][1].process.pid
        os.killpg(group, signal.SIGSTOP)
        try:
            time.sleep(self.draw.uniform(0.5, 4.0))  # the very thing that is tried: no sign of life for a while
        finally:
            os.killpg(group, signal.SIGCONT)
        self._job(name)

    def _kill(self) -> None:
        name = self._any()
        self.alive.pop(name)[1].kill()
        self._forget(name)

    def _stop(self) -> None:
        name = self._any()
        assert self.alive.pop(name)[1].stop() == 0
        self._forget(name)

    def _remove(self) -> None:
        """While it runs: it is told so, and ends by itself."""
        name = self._any()
        program = self.alive.pop(name)[1]
        self._forget(name)
        assert program.process.wait(30) != 0
        program.kill()

    def _forget(self, name: str) -> None:
        self.network.ada.mesh("device", "remove", self.network.devices.pop(name))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with a_network(tmp_path) as made:
        made.join(made.ada)
        made.up(made.ada)
        made.ready("ada")
        yield made


@pytest.mark.parametrize(
    "minutes",
    [
        pytest.param(0.25, marks=pytest.mark.timeout(300)),
        pytest.param(10.0, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_who_comes_and_goes_leaves_nothing_behind(network: Network, minutes: float) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    churn, steady = Churn(network, random.Random(seed)), Steady(network)
    churn._join()
    churn.leave_all()  # the first of everything has come and gone: from here on nothing may stay
    before = steady.kept()
    for _ in range(3):  # what the allocator keeps for itself does not grow in every round
        started = steady.kept()
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            churn.step()
        churn.leave_all()
        print(churn.done)
        after = steady.kept()
        if all(after[name].memory <= kept.memory + MEMORY_SLACK for name, kept in started.items()):
            break
    else:
        raise AssertionError(f"memory grows in every round: {before}, {started}, {after}")

    def settled() -> bool:
        now = steady.kept()
        return all(
            now[name].files <= kept.files + FILES_SLACK and now[name].sockets <= kept.sockets + 2
            for name, kept in before.items()
        )

    with suppress(AssertionError):
        eventually(settled, "files and sockets are given back", SETTLE_S)
    after = steady.kept()
    for name, kept in before.items():
        print(name, kept, after[name])
        assert after[name].files <= kept.files + FILES_SLACK, name
        assert after[name].sockets <= kept.sockets + 2, name
    assert network.embed(network.ada, "and work goes on", on="ada")["charge"] == 0
    assert network.ada.mesh("ledger", "verify")["ok"] is True
