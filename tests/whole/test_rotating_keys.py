"""Real processes: keys are replaced under work, through relays, across restarts and kills; nobody has to do a thing."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.protocol import signed
from mesh.sdk import control
from whole.network import Network, a_network, eventually
from whole.test_faults import LONG, Asked, kill_agent

KILLS_S = (0.0, 0.003, 0.01, 0.03)
"""How long after the next key is on the disk; a change takes some 30 ms, and four are allowed a day."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("rotating")) as made:
        made.join(made.person("ben"))
        made.join(made.ada)
        made.stage.at_once(
            lambda: made.up(made.people["ben"], "--no-direct"),
            lambda: made.up(made.ada, "--only-ask", "--no-direct"),
        )
        made.ready("ben")
        yield made


def key_of(network: Network, name: str) -> str:
    """The key that a player's home holds."""
    return signed.public_key(bytes.fromhex((network.people[name].home / "device.key").read_text()))


def test_all_keys_are_replaced_in_the_middle_of_a_relayed_job(network: Network) -> None:
    late_link = network.ada.mesh("device", "invite")["link"]
    asked = Asked(network.ada, LONG)
    asked.wait_running()
    old = {name: key_of(network, name) for name in ("ada", "ben")}
    for name in ("ada", "ben"):
        answer = network.people[name].mesh("device", "rotate-key")
        assert (answer["old"], answer["key"], answer["number"]) == (old[name], key_of(network, name), 1)
        assert old[name] != answer["key"]
    assert network.ada.mesh("net", "rotate-key")["number"] == 1
    assert network.ada.mesh("net", "rotate-key", "--coordinator")["number"] == 1
    ran = asked.end().ran
    assert ran is not None, asked.error
    assert [one.code for one in ran.attempts] == [""], "no attempt was lost"
    ran = network.embed(network.ada, "a letter after all that", on="ben")
    assert ran["path"] == "relayed"
    assert network.ada.mesh("ping", "ben-laptop", "--count", "1")
    # A link of before leads in, and those who were signed in still are.
    cleo = network.stage.player("cleo")
    assert cleo.mesh("device", "join", "-", "--name", "late", stdin=late_link)["state"] == "ready"
    assert network.ben.mesh("device", "list")["devices"]
    eventually(lambda: network.ada.mesh("ledger", "show")["held"] == 0, "nothing stays held")
    assert network.ada.mesh("ledger", "verify")["ok"]


def test_a_device_that_was_off_for_three_changes_comes_back_and_the_coordinator_restarts_with_its_new_keys(
    network: Network,
) -> None:
    network.agents["ben"].stop()
    for _ in range(3):
        network.ada.mesh("net", "rotate-key")
        network.ada.mesh("net", "rotate-key", "--coordinator")
    port = network.port
    network.served.stop()
    network.served = network.serve(port)
    network.up(network.ben)
    network.ready("ben")
    network.linked("ada", "ben")
    assert network.embed(network.ada, "back again", on="ben")["device"] == network.devices["ben"]
    refused = network.ada.attempt("net", "rotate-key")
    assert refused.value["error"]["code"] == "rotation.too_often"


def test_a_device_killed_while_its_key_changes_comes_back_with_one_that_counts(network: Network) -> None:
    """Wherever between the new key's file and the coordinator's answer the kill falls."""
    dora = network.person("dora")
    network.join(dora)
    keys = [network.up(dora, "--only-ask") and key_of(network, "dora")]
    for later_s in KILLS_S:
        network.linked("dora")
        asking = threading.Thread(target=_rotate, args=(dora.home / "agent.sock",), daemon=True)
        asking.start()
        _until_begun(dora.home, keys[-1], network, later_s)
        kill_agent(network.agents["dora"])
        asking.join(30)
        network.up(dora, "--only-ask")
        network.linked("dora")
        eventually(lambda: not (dora.home / "device.key.next").exists(), "the change is complete")
        assert network.embed(dora, f"killed {later_s} s later", on="ben")
        keys.append(key_of(network, "dora"))
    assert len(set(keys)) == len(keys), "what was begun was completed each time"
    assert dora.mesh("device", "list")["devices"]


def _rotate(socket: Path) -> None:
    with suppress(MeshError):
        control.ask(socket, control.RotateKey(), 30.0)


def _until_begun(home: Path, key: str, network: Network, later_s: float) -> None:
    """Look as fast as possible: the next key lies there for some milliseconds only."""
    end = time.monotonic() + 30
    while not (home / "device.key.next").exists() and key_of(network, "dora") == key:
        assert time.monotonic() < end, "the change never began"
    end = time.monotonic() + later_s
    while time.monotonic() < end:
        pass
