"""While the coordinator is away the owner's devices find each other in their LAN, and work on certificates alone."""

import shutil
from collections.abc import Iterator

import pytest

from mesh.cli.programs import Program
from mesh.cli.stage import Player
from namespaces import SERVER, Internet, an_internet
from whole.network import QuickStage, eventually, give_model


class Lan:
    """Ann's desk and attic and Ben's laptop in one LAN; their coordinator and its relay are out in the world."""

    def __init__(self, internet: Internet, stage: QuickStage) -> None:
        self.internet, self.stage = internet, stage
        self.desk, self.attic, self.ben = (stage.player(name) for name in ("desk", "attic", "ben"))
        self.agents: dict[str, Program] = {}
        self.data = str(stage.folder / "coordinator")
        with internet.inside("pub"):
            self.served = self.serve("0")
            self.desk.mesh("auth", "claim", "-", "--name", "Ann", stdin=str(self.served.ready["claim"]))
            self.desk.mesh("net", "create", "home")
            invite = self.desk.mesh("members", "invite", "--role", "member")["link"]
            self.ben.mesh("auth", "claim", "-", "--name", "Ben", stdin=invite)
            for owner, player in ((self.desk, self.desk), (self.desk, self.attic), (self.ben, self.ben)):
                link = owner.mesh("device", "invite")["link"]
                player.mesh("device", "join", "-", "--name", player.name, stdin=link)
        give_model(self.attic)
        give_model(self.ben)
        for player in (self.attic, self.ben, self.desk):
            self.up(player)

    def serve(self, port: str) -> Program:
        return self.desk.start("serve", "--data", self.data, "--host", SERVER, "--port", port)

    def up(self, player: Player) -> None:
        options = ("--only-ask",) if player is self.desk else ()
        with self.internet.inside(player.name):
            self.agents[player.name] = player.start("up", *options)


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with an_internet() as internet, QuickStage(tmp_path_factory.mktemp("lan")) as stage:
        internet.router("home")
        for number, name in enumerate(("desk", "attic", "ben"), 2):
            internet.machine(name, "home", number)
        yield Lan(internet, stage)


def test_while_the_coordinator_is_away_ones_own_devices_are_found_in_the_lan(lan: Lan) -> None:
    eventually(lambda: lan.desk.attempt("ping", "attic", "--count", "1").exit_code == 0, "the desk knows the attic")
    assert lan.served.stop() == 0, "the coordinator is away, and its relay with it"
    for player in (lan.desk, lan.attic):
        assert lan.agents[player.name].stop() == 0
        lan.up(player)  # whatever they remembered of each other's addresses is gone

    def ran() -> dict[str, object] | None:
        outcome = lan.desk.attempt("run", "embeddings", "--text", "a harbour at night", "--device", "attic")
        return outcome.value if outcome.exit_code == 0 else None

    done = eventually(ran, "a job on the attic without anybody's help")
    assert (done["path"], done["charge"]) == ("direct", 0)
    replied = lan.desk.mesh("ping", "attic", "--count", "1")
    assert (replied["path"], replied["address"]) == ("direct", "private")


def test_a_copy_of_a_home_in_the_same_lan_stops_nobody(lan: Lan) -> None:
    """Both say the same name in the LAN. Whichever is found has the key; no agent ends over it."""
    twin = lan.stage.player("twin")
    shutil.copytree(lan.attic.home, twin.home, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    with lan.internet.inside("ben"):
        agent = twin.start("up", "--only-ask")
    log = lan.stage.folder / "twin-up.log"
    eventually(lambda: "nearby." in log.read_text().partition("nearby.begins")[2], "the copy speaks, or may not")
    replied = lan.desk.mesh("ping", "attic", "--count", "1")
    assert (replied["path"], replied["address"]) == ("direct", "private")
    assert [one.process.poll() for one in (agent, *lan.agents.values())] == [None] * 4
    assert agent.stop() == 0


def test_another_persons_device_in_the_lan_still_needs_the_coordinator(lan: Lan) -> None:
    outcome = lan.desk.attempt("run", "embeddings", "--text", "x", "--device", "ben")
    assert outcome.exit_code in (4, 5), outcome.value


def test_once_the_coordinator_is_back_nobody_says_anything_in_the_lan(lan: Lan) -> None:
    port = str(lan.served.ready["url"]).rpartition(":")[2]
    with lan.internet.inside("pub"):
        lan.serve(port)

    def quiet() -> bool:
        sockets = (lan.internet.run(name, "ss", "-uanH", "sport", "=", ":5353") for name in ("desk", "attic"))
        return not any(sockets)

    eventually(quiet, "multicast ends with the link", timeout_s=60)
    assert lan.desk.mesh("run", "embeddings", "--text", "x", "--device", "ben")["charge"] > 0
