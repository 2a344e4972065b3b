"""One command in an empty home makes everything; later starts find it again; other machines come in over TLS."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mesh.cli.stage import Player, Stage
from mesh.protocol import links
from whole.network import QuickStage, eventually, give_model, own_port


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with QuickStage(tmp_path_factory.mktemp("first")) as made:
        yield made


@pytest.fixture(scope="module")
def home(stage: Stage) -> Player:
    player = stage.player("desk")
    give_model(player)
    return player


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def stopped(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def test_an_empty_home_becomes_a_network(stage: Stage, home: Player) -> None:
    assert not (home.home / "home.json").exists()
    port = str(own_port())
    program = home.start("up", "--port", port)
    assert program.ready["device"] and program.ready["gateway"].startswith("http://127.0.0.1:")
    assert (home.home / "home.json").stat().st_mode & 0o077 == 0
    assert (home.home / "device.key").stat().st_mode & 0o077 == 0
    status = home.mesh("status")
    assert status["running"] and status["person"] and status["coordinator"] == f"http://127.0.0.1:{port}"
    assert [one["name"] for one in home.mesh("net", "list")["networks"]] == ["home"]
    ran = home.mesh("run", "embeddings", "--text", "the first text of all")
    assert (ran["path"], ran["charge"], ran["device"]) == ("local", 0, program.ready["device"])

    processes = family(program.process.pid)
    assert len(processes) >= 4, "agent, engine, coordinator, relay"
    home.mesh("down")
    eventually(lambda: stopped(processes), "everything that was started leaves")
    assert program.process.wait(60) == 0


def test_a_later_start_finds_everything_again(stage: Stage, home: Player) -> None:
    before = home.mesh("status")
    program = home.start("up")
    after = home.mesh("status")
    assert (after["device"], after["coordinator"]) == (before["device"], before["coordinator"])
    assert len(home.mesh("net", "list")["networks"]) == 1
    assert program.stop() == 0


def test_a_second_machine_joins_over_pinned_tls(stage: Stage, home: Player) -> None:
    program = home.start("up", "--host", "0.0.0.0")
    url = home.mesh("status")["coordinator"]
    assert url.startswith("https://")
    link = home.mesh("device", "invite")["link"]
    forged = links.parse(link)._replace(tls_sha256="0" * 64).text()
    attic = stage.player("attic")
    other = stage.player("other")
    refused = other.attempt("device", "join", forged, "--name", "other")
    assert refused.value["error"]["code"] == "coordinator.wrong_certificate" and refused.exit_code == 3
    attic.mesh("device", "join", link, "--name", "attic")
    attic.start("up", "--only-ask")
    ran = attic.mesh("run", "embeddings", "--text", "asked from the attic, done at the desk")
    assert (ran["device"], ran["charge"]) == (program.ready["device"], 0)


def test_a_killed_first_process_leaves_no_coordinator_behind(stage: Stage, tmp_path: Path) -> None:
    player = stage.player("short")
    give_model(player)
    program = player.start("up", "--port", str(own_port()))
    processes = family(program.process.pid)
    program.process.kill()
    eventually(lambda: stopped(processes[1:]), "its coordinator, relay and engine leave with it")
