"""Several relays: a second one joins by a link, devices hear of it, and losing the one in use costs seconds."""

import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from mesh.cli.programs import Program
from mesh.cli.stage import Player
from whole.network import Network, a_network, eventually

FAIL_OVER_S = 25.0
"""10 s, and what a busy machine takes to start the command."""


class Relays:
    """A network with two relays, where Ann asks, Ben works, and nothing is direct."""

    def __init__(self, network: Network) -> None:
        self.network = network
        link = network.ada.mesh("invite", "relay")["link"]
        folder = str(network.stage.folder / "second")
        self.second = network.ada.start(
            "relay", "--join", link, "--data", folder, "--host", "127.0.0.1", "--port", "0", "--name", "second"
        )
        self.ben = network.person("ben")
        network.join(network.ada)
        network.join(self.ben)
        network.up(self.ben, "--no-direct")
        network.up(network.ada, "--only-ask", "--no-direct")
        network.ready("ben")

    def home(self, player: Player) -> str:
        """The relay through which a player's device is reached."""
        return str(player.mesh("status")["agent"]["relay"])

    def process(self, url: str) -> psutil.Process:
        """The relay at a URL."""
        if url == self.second.ready["relay"]:
            return _process(self.second)
        (beside,) = [
            child
            for child in _process(self.network.served).children()
            if "mesh.relay.main" in " ".join(child.cmdline())
        ]
        return beside


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relays]:
    with a_network(tmp_path_factory.mktemp("relays")) as network:
        yield Relays(network)


def test_a_relay_that_falls_silent_is_left_within_seconds(relays: Relays) -> None:
    network, ben = relays.network, relays.ben
    assert network.embed(network.ada, "a harbour at night", on="ben")["path"] == "relayed"
    lost = relays.home(ben)
    frozen = relays.process(lost)
    frozen.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        ran = network.embed(network.ada, "boats in the dark", on="ben")
        assert ran["path"] == "relayed"
        assert time.monotonic() - started < FAIL_OVER_S
        eventually(lambda: relays.home(ben) != lost, "Ben's device is reached by the other relay")
        assert relays.home(ben) in (network.served.ready["relay"], relays.second.ready["relay"])
    finally:
        frozen.send_signal(signal.SIGCONT)


def _process(program: Program) -> psutil.Process:
    return psutil.Process(program.process.pid)
