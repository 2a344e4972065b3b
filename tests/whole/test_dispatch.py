"""Jobs go on when a device is frozen or killed again and again: none fails, none is paid twice, none is sent in vain.

Touches: processes, files, sockets, signals (all through the `mesh` command).
"""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from mesh.cli.programs import Program
from mesh.sdk import control
from whole.network import Network, a_network, eventually
from whole.test_faults import kill_agent

SILENCE_S = 120.0
CALLERS = 6


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("dispatch")) as made:
        for name in ("ben", "cleo"):
            made.join(made.person(name))
        made.join(made.ada)
        made.stage.at_once(
            lambda: made.up(made.people["ben"]),
            lambda: made.up(made.people["cleo"]),
            lambda: made.up(made.ada, "--only-ask"),
        )
        made.ready("ben", "cleo")
        yield made


def run(network: Network, text: str) -> control.Ran:
    """One job of Ada's, as any program on her machine asks for it."""
    request = control.Run("embeddings", {"texts": [text] * 20})
    for answer in control.stream(network.ada.home / "agent.sock", request, SILENCE_S):
        if isinstance(answer, control.Ran):
            return answer
    raise AssertionError("no answer")


def bag(network: Network, name: str, jobs: int) -> list[control.Ran]:
    """Many jobs of Ada's, some at a time; raises what any of them failed with."""
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(lambda number: run(network, f"{name} {number}"), range(jobs)))


@contextmanager
def frozen(program: Program) -> Iterator[None]:
    """An agent and all that it started are stopped in the middle of whatever they do."""
    family = [psutil.Process(program.process.pid), *psutil.Process(program.process.pid).children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            process.send_signal(signal.SIGCONT)


def paid_once(network: Network, ran: list[control.Ran], before: int) -> None:
    """The ledger adds up to what the jobs said, and to no more."""
    charged = before - sum(one.charge for one in ran)

    def settled() -> bool:
        balance = network.ada.mesh("ledger", "show")["balance"]
        assert balance >= charged, "more was charged than the jobs said"
        return bool(balance == charged)

    eventually(settled, "every job is settled", timeout_s=60)
    assert network.ada.mesh("ledger", "verify")["ok"]


def balance(network: Network) -> int:
    return int(network.ada.mesh("ledger", "show")["balance"])


def test_a_frozen_device_holds_nothing_up_and_gets_nothing_new_until_it_answers(network: Network) -> None:
    before = balance(network)
    ran = bag(network, "warming up", 40)
    used = {one.device for one in ran}
    assert used == {network.devices["ben"], network.devices["cleo"]}, "both have worked"
    began = threading.Event()

    def asked() -> list[control.Ran]:
        began.set()
        return bag(network, "around the freeze", 60)

    with ThreadPoolExecutor(1) as aside:
        around = aside.submit(asked)
        assert began.wait(60)
        with frozen(network.agents["ben"]):
            ran += around.result(SILENCE_S)
            ran.append(run(network, "now it is known"))
            meanwhile = bag(network, "meanwhile", 20)
            ran += meanwhile
            assert {one.device for one in meanwhile} == {network.devices["cleo"]}
            sent = {line.device for one in meanwhile for line in one.attempts}
            assert sent == {network.devices["cleo"]}, "nothing new is sent to who does not answer"

    def used_again() -> bool:
        ran.extend(bag(network, "afterwards", 12))
        return any(one.device == network.devices["ben"] for one in ran[-12:])

    eventually(used_again, "it has thawed, answers, and gets work again", timeout_s=60)
    paid_once(network, ran, before)


@pytest.mark.parametrize(
    ("jobs", "every_s"),
    [(60, 3.0), pytest.param(500, 10.0, marks=[pytest.mark.long, pytest.mark.timeout(1200)])],
)
def test_a_device_that_is_killed_again_and_again_costs_no_job(network: Network, jobs: int, every_s: float) -> None:
    before = balance(network)
    over, started = threading.Event(), time.monotonic()
    kills = 0

    def killing() -> None:
        nonlocal kills
        while not over.wait(every_s):
            kill_agent(network.agents["ben"])
            kills += 1
            network.up(network.ben)

    killer = threading.Thread(target=killing)
    killer.start()
    try:
        ran: list[control.Ran] = []
        end = time.monotonic() + 3.5 * every_s
        while len(ran) < jobs or (kills < 2 and time.monotonic() < end):
            ran += bag(network, f"job {len(ran)}", 20)
    finally:
        over.set()
        killer.join(60)
    print(f"{len(ran)} jobs in {time.monotonic() - started:.1f} s, {kills} kills")
    assert kills >= 1
    assert len({one.job for one in ran}) == len(ran), "each has a result of its own"
    network.ready("ben")
    paid_once(network, ran, before)
