"""A machine without a link joins by a code over TLS: real processes, restarts, Ctrl-C, and a neighbour in between."""

import json
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from between import Between
from mesh.cli.programs import MESH, Program
from mesh.cli.stage import Player
from mesh.coordinator import tls
from whole.network import QuickStage, eventually


class Home:
    """Ada's coordinator, which other machines reach and which speaks TLS of its own."""

    def __init__(self, stage: QuickStage) -> None:
        self.stage = stage
        self.ada = stage.player("ada")
        self.served = self.serve("0")
        self.url = str(self.served.ready["url"])
        self.ada.mesh("auth", "claim", "-", "--name", "Ada", stdin=str(self.served.ready["claim"]))
        self.ada.mesh("net", "create", "home")

    def serve(self, port: str) -> Program:
        data = str(self.stage.folder / "coordinator")
        return self.ada.start("serve", "--data", data, "--host", "0.0.0.0", "--port", port)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with QuickStage(tmp_path_factory.mktemp("pairing")) as stage:
        made = Home(stage)
        assert made.url.startswith("https://") and made.served.ready["tls_sha256"]
        yield made


class Asking:
    """`mesh device join URL` in a process of its own, which waits for a yes."""

    def __init__(self, player: Player, url: str, name: str) -> None:
        self.process = subprocess.Popen(
            (*MESH, "device", "join", url, "--name", name, "--json"),
            env=player.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.code = str(self.hear()["code"])

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def close(self) -> int:
        self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(60)


@contextmanager
def asking(player: Player, url: str, name: str) -> Iterator[Asking]:
    made = Asking(player, url, name)
    try:
        yield made
    finally:
        made.close()


def names(home: Home) -> set[str]:
    return {one["name"] for one in home.ada.mesh("device", "list")["devices"]}


def test_a_code_shown_there_and_confirmed_here_makes_a_device_with_pinned_tls(home: Home) -> None:
    attic = home.stage.player("attic")
    with asking(attic, home.url, "attic") as there:
        said = home.ada.mesh("device", "pair", there.code.lower(), "--yes", "--tag", "quiet")
        assert (said["confirmed"], said["name"], said["state"]) == (True, "attic", "ready")
        joined = there.hear()
        assert (joined["name"], joined["by"], joined["state"]) == ("attic", "Ada", "ready")
        assert there.process.wait(60) == 0
    record = json.loads((attic.home / "home.json").read_text())
    assert record["coordinator"]["tls_sha256"] == home.served.ready["tls_sha256"], "pinned from now on"
    again = home.ada.attempt("device", "pair", there.code, "--yes")
    assert again.value["error"]["code"] == "pairing.used" and again.exit_code == 1
    attic.start("up", "--only-ask")
    listed = {one["name"]: one for one in home.ada.mesh("device", "list")["devices"]}
    assert listed["attic"]["tags"] == ["quiet"]


def test_the_coordinator_may_restart_while_a_machine_waits(home: Home) -> None:
    cellar = home.stage.player("cellar")
    with asking(cellar, home.url, "cellar") as there:
        assert home.served.stop() == 0
        home.served = home.serve(str(urlsplit(home.url).port))
        home.ada.mesh("device", "pair", there.code, "--yes")
        assert there.hear()["device"]
    assert "cellar" in names(home)


def test_who_stops_waiting_takes_the_code_along(home: Home) -> None:
    gone = home.stage.player("gone")
    with asking(gone, home.url, "gone") as there:
        there.process.send_signal(signal.SIGINT)
        assert there.process.wait(60) == 130
    outcome = home.ada.attempt("device", "pair", there.code, "--yes")
    assert outcome.value["error"]["code"] == "pairing.withdrawn"
    assert not (gone.home / "home.json").exists() and "gone" not in names(home)


def test_a_no_is_told_on_both_sides_and_silence_changes_nothing(home: Home) -> None:
    odd = home.stage.player("odd")
    with asking(odd, home.url, "odd") as there:
        outcome = home.ada.attempt("device", "pair", there.code, stdin="")
        assert outcome.value["error"]["code"] == "pairing.not_confirmed" and outcome.exit_code == 2
        assert "only if you started this yourself" in outcome.said
        assert home.ada.mesh("device", "pair", there.code, stdin="n\ny\n")["refused"] is True
        assert there.hear()["error"]["code"] == "pairing.refused"
        assert there.process.wait(60) == 3
    assert "odd" not in names(home)


def test_a_wrong_code_says_what_it_may_mean(home: Home) -> None:
    outcome = home.ada.attempt("device", "pair", "0000-0000", "--yes")
    assert outcome.value["error"]["code"] == "pairing.wrong_code" and outcome.exit_code == 1
    assert "in between" in outcome.said or "between that machine" in outcome.said


def test_an_address_that_is_none_and_one_where_nobody_is(home: Home) -> None:
    player = home.stage.player("nowhere")
    for address in ("http://192.0.2.1:8400", "https://host:8400/path", "https://user@host"):
        outcome = player.attempt("device", "join", address, "--name", "nowhere")
        assert (outcome.value["error"]["code"], outcome.exit_code) == ("pairing.bad_address", 2)
    outcome = player.attempt("device", "join", "https://127.0.0.1:9", "--name", "nowhere")
    assert (outcome.value["error"]["code"], outcome.exit_code) == ("coordinator.unreachable", 5)
    outcome = player.attempt("device", "join", f"{home.url}/join", "--name", "nowhere")
    assert (outcome.value["error"]["code"], outcome.exit_code) == ("link.invalid", 2), "a link that lost its end"


def neighbour(home: Home, folder: Path) -> Between:
    """Who ends TLS with a certificate of their own and passes on every byte to the real coordinator and back."""
    real = urlsplit(home.url)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
    return Between(tls.server_context(tls.identity(folder).path), real.hostname or "", real.port or 0, theirs)


def test_a_neighbour_who_forwards_everything_is_noticed_before_a_code_is_shown(home: Home, tmp_path: Path) -> None:
    """The lazy neighbour: the coordinator's own words about its certificate betray them."""
    between = neighbour(home, tmp_path)
    try:
        victim = home.stage.player("victim")
        outcome = victim.attempt("device", "join", between.url, "--name", "victim")
        assert between.passed_on > 0, "they did sit in between"
        assert (outcome.value["error"]["code"], outcome.exit_code) == ("coordinator.wrong_certificate", 3)
    finally:
        between.close()
    assert "victim" not in names(home)


def test_a_code_of_a_machine_that_met_a_liar_is_refused_at_the_real_coordinator(home: Home, tmp_path: Path) -> None:
    """The careful neighbour runs a coordinator of their own; the code that the machine shows leads nowhere here."""
    with QuickStage(tmp_path) as stage:
        liar = stage.player("liar")
        lying = liar.start("serve", "--data", str(tmp_path / "lies"), "--host", "0.0.0.0", "--port", "0")
        victim = stage.player("lost")
        with asking(victim, str(lying.ready["url"]), "lost") as there:
            outcome = home.ada.attempt("device", "pair", there.code, "--yes")
            assert outcome.value["error"]["code"] == "pairing.wrong_code"
    eventually(lambda: "lost" not in names(home), "nobody came in")
