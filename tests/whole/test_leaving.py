"""Real processes: whoever is removed is out within seconds, wherever they are and whatever they were doing."""

import time
from collections.abc import Iterator

import pytest

from mesh.cli.programs import Program
from mesh.protocol.values import Routing
from whole.network import Network, a_network, eventually
from whole.test_faults import LONG, Asked, _depth

CUT_S = 20.0
"""Cut off at once, not once a certificate or a session ends by itself, which takes minutes."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("leaving")) as made:
        for name in ("ben", "cleo", "dora"):
            made.join(made.person(name))
            made.up(made.people[name])
        made.join(made.ada)
        made.up(made.ada, "--only-ask")
        made.ready("ben", "cleo", "dora")
        yield made


def gone(program: Program) -> bool:
    return program.process.poll() is not None


def removed(network: Network, name: str) -> float:
    """Remove somebody's device; returns how long its agent lived on, in seconds."""
    network.ada.mesh("device", "remove", network.devices[name])
    started = time.monotonic()
    eventually(lambda: gone(network.agents[name]), f"{name}'s agent ends", timeout_s=CUT_S)
    return time.monotonic() - started


def test_a_device_removed_in_mid_work_is_cut_off_and_its_job_finishes_elsewhere(network: Network) -> None:
    asked = Asked(network.ada, LONG)
    asked.wait_running()
    (busy,) = [name for name in ("ben", "cleo", "dora") if _depth(network.people[name])]
    assert removed(network, busy) < CUT_S
    ran = asked.end().ran
    assert ran is not None, asked.error
    first, last = ran.attempts[0], ran.attempts[-1]
    assert first.device == network.devices[busy] and first.code, "the requester knows why it was lost"
    assert last.device == ran.device != network.devices[busy]
    listed = [one["device"] for one in network.ada.mesh("device", "list")["devices"]]
    assert network.devices[busy] not in listed
    again = network.people[busy].attempt("up")
    assert again.value["error"]["code"] == "agent.device_removed", "told once, then it ends by itself"


def test_a_relayed_device_that_is_removed_loses_the_relay_too_and_its_pinned_job_says_why(network: Network) -> None:
    name = next(name for name in ("ben", "cleo", "dora") if not gone(network.agents[name]))
    network.agents[name].stop()
    network.up(network.people[name], "--no-direct")
    network.ready(name)
    assert network.embed(network.ada, "one by the relay", on=name)["path"] == "relayed"
    asked = Asked(network.ada, LONG, routing=Routing("device", device=network.devices[name]))
    asked.wait_running()
    removed(network, name)
    error = asked.end().error
    assert error is not None and error.wire()["code"] in ("job.failed", "placement.nowhere", "placement.unknown_device")
    assert network.ada.mesh("ledger", "verify")["ok"]


def test_a_member_who_goes_is_out_with_every_device(network: Network) -> None:
    name = next(name for name in ("ben", "cleo", "dora") if not gone(network.agents[name]))
    network.ada.mesh("members", "remove", name.capitalize())
    eventually(lambda: gone(network.agents[name]), f"{name}'s agent ends", timeout_s=CUT_S)
    assert network.people[name].attempt("device", "list").value["error"]["code"] == "members.not_member"
