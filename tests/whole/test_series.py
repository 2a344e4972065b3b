"""A series of jobs goes on while programs are killed, and the ledger says afterwards what each job cost, once.

Touches: processes, files, sockets (all through the `mesh` command).
"""

import time
from collections.abc import Iterator

import pytest

from mesh.errors import MeshError
from mesh.sdk import control
from whole.network import Network, a_network, eventually
from whole.test_faults import kill_agent

SILENCE_S = 60.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("series")) as made:
        made.join(made.person("ben"))
        made.join(made.ada)
        made.stage.at_once(lambda: made.up(made.ben), lambda: made.up(made.ada, "--only-ask"))
        made.ready("ben")
        yield made


def run(network: Network, text: str) -> control.Ran:
    """One job of Ada's, as any program on her machine asks for it."""
    request = control.Run("embeddings", {"texts": [text]})
    for answer in control.stream(network.ada.home / "agent.sock", request, SILENCE_S):
        if isinstance(answer, control.Ran):
            return answer
    raise AssertionError("no answer")


def restarted(network: Network) -> None:
    network.served = network.serve(network.port)
    network.linked("ada", "ben")


def adds_up(network: Network, charged: int) -> None:
    """All is reported; Ada has paid each job once, nothing stays set aside beyond the series that is open."""

    def settled() -> bool:
        balance = network.ada.mesh("ledger", "show")["balance"]
        assert balance >= -charged, "more was charged than the jobs said"
        return balance == -charged

    eventually(settled, "every job is settled", timeout_s=60)
    assert network.ada.mesh("ledger", "verify")["ok"]


@pytest.fixture(scope="module")
def charges() -> list[int]:
    """What all jobs of this file said that they cost."""
    return []


@pytest.mark.parametrize("away_s", [3.0, pytest.param(60.0, marks=[pytest.mark.long, pytest.mark.timeout(240)])])
def test_while_the_coordinator_is_dead_no_job_of_a_warm_series_fails(
    network: Network, charges: list[int], away_s: float
) -> None:
    for number in range(150):
        charges.append(run(network, f"warming up {number}").charge)
    kill_agent(network.served)  # with its relay: packets between the two devices go on directly
    end, number = time.monotonic() + away_s, 0
    while time.monotonic() < end or number < 20:
        number += 1
        charges.append(run(network, f"sentence {number}").charge)
    print(f"{number} jobs while the coordinator was away for {away_s:.0f} s")
    restarted(network)
    charges.append(run(network, "afterwards").charge)
    adds_up(network, sum(charges))


def test_a_worker_that_is_killed_in_a_series_comes_back_with_its_claims(network: Network, charges: list[int]) -> None:
    for number in range(20):
        charges.append(run(network, f"before {number}").charge)
    kill_agent(network.agents["ben"])
    network.up(network.ben)
    network.ready("ben")

    def again() -> bool:
        try:
            charges.append(run(network, "again").charge)
        except MeshError:
            return False
        return True

    eventually(again, "the worker takes jobs again", timeout_s=60)
    adds_up(network, sum(charges))
