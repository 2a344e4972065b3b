"""What happens when something is killed: work goes on or says why not, and the ledger still adds up."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from mesh.cli.programs import Program
from mesh.cli.stage import Player
from mesh.errors import MeshError
from mesh.protocol.values import Routing
from mesh.sdk import control
from whole.network import Network, a_network, eventually

LONG = [f"sentence number {number} of a text that keeps a worker busy for a while" for number in range(1500)]
SILENCE_S = 90.0
OWN_KIND = itertools.count(600.0)
"""Limits of time, each used once: so no two jobs here are of one kind, and no series holds credits for a next one."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("faults")) as made:
        for name in ("ben", "cleo"):
            made.join(made.person(name))
        made.join(made.ada)
        made.stage.at_once(
            lambda: made.up(made.people["ben"]),
            lambda: made.up(made.people["cleo"]),
            lambda: made.up(made.ada, "--only-ask"),  # the work is always somebody else's
        )
        made.ready("ben", "cleo")
        yield made


class Asked:
    """A job that a player's agent was asked for, from a thread: what it said so far, and how it ended."""

    def __init__(self, player: Player, texts: list[str], **options: Any) -> None:
        self.running = threading.Event()
        self.job = ""
        self.ran: control.Ran | None = None
        self.error: MeshError | None = None
        self._socket = player.home / "agent.sock"
        options.setdefault("limit_s", next(OWN_KIND))
        options.setdefault("max_cost", 10**12)  # with a limit of cost it stays one job, however long it is
        self._request = control.Run("embeddings", {"texts": texts}, **options)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for answer in control.stream(self._socket, self._request, SILENCE_S):
                if isinstance(answer, control.Progress) and answer.stage == "running":
                    self.job = answer.job
                    self.running.set()
                elif isinstance(answer, control.Ran):
                    self.ran = answer
        except MeshError as error:
            self.error = error
        self.running.set()

    def wait_running(self) -> None:
        assert self.running.wait(SILENCE_S)
        assert self.error is None, self.error

    def end(self) -> "Asked":
        self._thread.join(SILENCE_S)
        assert not self._thread.is_alive(), "the job never ended"
        return self


def kill_agent(program: Program) -> None:
    """Kill -9 an agent and everything it started, without a chance to say goodbye."""
    family = [psutil.Process(program.process.pid), *psutil.Process(program.process.pid).children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    program.process.wait(60)


def lines_of(network: Network, job: str) -> list[dict[str, Any]]:
    return [one for one in network.ada.mesh("ledger", "show", "--limit", "500")["lines"] if one["job"] == job]


def nothing_is_held(network: Network) -> bool:
    return bool(network.ada.mesh("ledger", "show")["held"] == 0)


def test_a_killed_workers_job_finishes_elsewhere_and_costs_once(network: Network) -> None:
    asked = Asked(network.ada, LONG)
    asked.wait_running()
    busy = [name for name in ("ben", "cleo") if _depth(network.people[name])]
    assert len(busy) == 1, "one of the two has it"
    kill_agent(network.agents[busy[0]])
    ran = asked.end().ran
    other = ({"ben", "cleo"} - set(busy)).pop()
    assert ran is not None, asked.error
    assert ran.device == network.devices[other]
    assert [attempt.device for attempt in ran.attempts] == [network.devices[busy[0]], network.devices[other]]
    eventually(lambda: lines_of(network, ran.job), "the job is settled")
    eventually(lambda: nothing_is_held(network), "nothing stays held")
    lines = lines_of(network, ran.job)
    assert sorted(line["amount"] for line in lines if line["amount"] < 0) == [-ran.charge], "paid once"
    assert {line["worker"] for line in lines} == {network.devices[other]}, "the killed device earned nothing"
    assert network.ada.mesh("ledger", "verify")["ok"]
    network.up(network.people[busy[0]])
    network.ready(busy[0])


def test_a_job_pinned_to_a_killed_worker_fails_with_the_reason_and_is_free(network: Network) -> None:
    before = network.ada.mesh("ledger", "show")["balance"]
    asked = Asked(network.ada, LONG, routing=Routing("device", device=network.devices["ben"]))
    asked.wait_running()
    kill_agent(network.agents["ben"])
    error = asked.end().error
    assert error is not None and error.wire()["code"] in ("job.failed", "placement.nowhere"), error
    assert network.ada.mesh("ledger", "show")["balance"] == before, "nothing is charged"
    network.up(network.ben)
    network.ready("ben")
    # Until then it could have come back with a receipt; now it has said that it has none.
    eventually(lambda: nothing_is_held(network), "the hold is released")
    assert network.ada.mesh("ledger", "show")["balance"] == before
    assert network.ada.mesh("ledger", "verify")["ok"]


def test_a_cancelled_job_stops_and_is_free(network: Network) -> None:
    before = network.ada.mesh("ledger", "show")["balance"]
    asked = Asked(network.ada, LONG)
    asked.wait_running()
    network.ada.mesh("job", "cancel", asked.job)
    assert asked.end().error is not None, "whoever waited for it is told"
    eventually(lambda: _depth(network.ben) + _depth(network.people["cleo"]) == 0, "the work stops")
    eventually(lambda: nothing_is_held(network), "the hold is released")
    assert network.ada.mesh("ledger", "show")["balance"] == before


def test_a_coordinator_killed_between_hold_and_settlement_settles_once_afterwards(network: Network) -> None:
    asked = Asked(network.ada, LONG)
    asked.wait_running()
    kill_agent(network.served)  # with its relay: packets between the two devices go on directly
    ran = asked.end().ran
    assert ran is not None, asked.error
    assert ran.path == "direct" and ran.charge > 0
    port = network.port
    network.served = network.serve(port)

    def settled() -> bool:
        return bool(lines_of(network, ran.job)) and nothing_is_held(network)

    eventually(settled, "both sides' reports arrive and settle the job", timeout_s=60)
    lines = lines_of(network, ran.job)
    assert [line["amount"] for line in lines if line["amount"] < 0] == [-ran.charge], "settled once"
    proof = network.ada.mesh("ledger", "verify")
    assert proof["ok"] and proof["total"] == 0


def test_a_killed_relay_comes_back_where_it_was(network: Network) -> None:
    network.linked("ada")
    network.agents["ben"].stop()
    network.up(network.ben, "--no-direct")
    network.ready("ben")
    assert eventually(lambda: _relayed(network), "a job goes through the relay", timeout_s=60)["path"] == "relayed"
    relays = [
        child
        for child in psutil.Process(network.served.process.pid).children(recursive=True)
        if any("mesh.relay" in word for word in child.cmdline())
    ]
    assert len(relays) == 1
    relays[0].kill()
    again = eventually(lambda: _relayed(network), "a job goes through the new relay", timeout_s=60)
    assert again["path"] == "relayed"


def _relayed(network: Network) -> dict[str, Any] | None:
    try:
        return network.embed(network.ada, "through the relay", on="ben")
    except MeshError:
        return None


def _depth(player: Player) -> int:
    status = control.ask(player.home / "agent.sock", control.GetStatus(), 10)
    assert isinstance(status, control.Status)
    return status.condition.load.depth
