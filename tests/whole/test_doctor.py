"""`mesh netcheck` and `mesh doctor` on real processes: what is broken on purpose is found and told how to mend."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psutil
import pytest

from mesh.cli.main import perform
from mesh.cli.programs import Program
from mesh.cli.stage import Outcome, Player
from mesh.workloads.catalogue import BUILTIN
from whole.network import Network, a_network

NETCHECK_S = 30.0
"""It ends of itself within 10 s; the rest is for a busy machine, and for the start of the program."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("doctor")) as made:
        made.join(made.ada)
        made.up(made.ada)
        made.ready("ada")
        yield made


def found(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {finding["code"]: finding for finding in outcome.value["findings"]}


def problems(outcome: Outcome) -> set[str]:
    return {finding["code"] for finding in outcome.value["findings"] if finding["level"] == "problem"}


def below(program: Program, module: str) -> int:
    """The process that runs a module, among those that a program started."""
    family = psutil.Process(program.process.pid).children(recursive=True)
    return next(one.pid for one in family if any(module in word for word in one.cmdline()))


def relay_of(network: Network) -> int:
    return below(network.served, "mesh.relay")


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Freeze processes: they hold their sockets and answer nothing, and nobody starts them anew."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_healthy_device_has_no_problem(network: Network) -> None:
    outcome = network.ada.attempt("doctor")
    assert problems(outcome) == set() and outcome.exit_code == 0
    codes = found(outcome)
    for code in ("coordinator.reached", "clock.good", "version.same", "link.up", "certificate.good", "relay.reached"):
        assert codes[code]["level"] == "ok", code
    for code in ("udp.open", "home.private", "model.good", "engine.works", "gateway.answers"):
        assert codes[code]["level"] == "ok", code
    assert "nat.near" in codes, "with the relay on this machine nothing is claimed about a router"


def test_people_get_a_line_per_finding(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["MESH_HOME"] = str(network.ada.home)
    try:
        assert perform(["netcheck"]) == 0
    finally:
        del os.environ["MESH_HOME"]
    said = capsys.readouterr().out
    assert "[coordinator.reached]" in said and "no problems" in said and "mesh doctor --report" in said


def test_a_relay_that_does_not_answer_is_named_with_the_next_step(network: Network) -> None:
    with stopped(relay_of(network)):
        started = time.monotonic()
        outcome = network.ada.attempt("netcheck")
        took_s = time.monotonic() - started
    assert took_s < NETCHECK_S
    lost = found(outcome)["relay.unreachable"]
    assert lost["level"] == "problem" and "mesh serve" in lost["next"]
    assert outcome.exit_code == 1 and problems(outcome) == {"relay.unreachable"}


def test_everything_silent_is_told_in_time(network: Network) -> None:
    with stopped(network.served.process.pid, relay_of(network)):
        started = time.monotonic()
        outcome = network.ada.attempt("netcheck")
        took_s = time.monotonic() - started
    assert took_s < NETCHECK_S
    assert {"coordinator.unreachable", "relay.unreachable"} <= problems(outcome)


def test_a_frozen_agent_is_told_and_the_rest_is_asked_without_it(network: Network) -> None:
    with stopped(below(network.agents["ada"], "mesh.agent.main")):
        started = time.monotonic()
        outcome = network.ada.attempt("netcheck")
        took_s = time.monotonic() - started
    assert took_s < NETCHECK_S
    assert problems(outcome) == {"agent.broken"} and "coordinator.reached" in found(outcome)


def test_a_key_that_others_can_read_is_a_problem(network: Network) -> None:
    key = network.ada.home / "device.key"
    key.chmod(0o644)
    try:
        outcome = network.ada.attempt("doctor")
    finally:
        key.chmod(0o600)
    assert problems(outcome) == {"home.exposed"} and outcome.exit_code == 1
    assert f"chmod 600 {key}" in found(outcome)["home.exposed"]["next"]


def test_a_damaged_model_file_is_found_and_left_where_it_is(network: Network) -> None:
    file = max((network.ada.home / "models").iterdir(), key=lambda one: one.stat().st_size)
    whole = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    try:
        outcome = network.ada.attempt("doctor")
    finally:
        assert file.exists(), "a check changes nothing"
        file.write_bytes(whole)
    assert problems(outcome) == {"model.damaged"} and outcome.exit_code == 1
    assert "mesh models pull" in found(outcome)["model.damaged"]["next"]


def test_a_model_of_ones_own_is_looked_at_like_any_other(network: Network) -> None:
    entry = msgspec.to_builtins(next(iter(BUILTIN)))
    own = {**entry, "id": "tellmodel-own", "settings": {**entry["settings"], "tokens_max": 128}}
    other = {**own, "id": "tellmodel-away", "files": [{**entry["files"][0], "sha256": "0" * 64, "sources": []}]}
    catalogue = network.ada.home / "catalogue.json"
    catalogue.write_text(json.dumps([own, other]))
    try:
        outcome, report = network.ada.attempt("doctor"), network.ada.attempt("doctor", "--report")
    finally:
        catalogue.unlink()
    assert problems(outcome) == set()
    said = [(one["code"], one["text"]) for one in outcome.value["findings"] if "tellmodel" in one["text"]]
    assert [code for code, _ in said] == ["model.good", "model.missing"]
    works = [one for one in outcome.value["findings"] if one["code"] == "engine.works"]
    assert len(works) == len([one for one in outcome.value["findings"] if one["code"] == "model.good"])
    assert "tellmodel" not in json.dumps(report.value), "what its owner calls a model stays with its owner"


def secrets_of(player: Player, network: Network) -> set[str]:
    """Everything about a running device that a stranger must not learn from a report."""
    record = json.loads((player.home / "home.json").read_text())
    status = player.mesh("status")
    gateway = json.loads((player.home / "gateway.json").read_text())
    hosts = {address.address for all_ in psutil.net_if_addrs().values() for address in all_ if len(address.address) > 3}
    texts = set(re.findall(r'"([^"]{3,})"', json.dumps(record["coordinator"]) + json.dumps(record["session"])))
    texts -= {"url", "key", "tls_sha256", "token", "member", "name"}
    ports = {network.port, str(gateway["port"]), status["agent"]["relay"].rpartition(":")[2].rstrip("/")}
    return {
        *(text.lower() for text in texts | hosts | ports),
        *(gateway["key"].lower(), (player.home / "device.key").read_text().strip()),
        *(network.id.lower(), network.devices["ada"].lower(), "ada", "friends"),
        *(str(player.home).lower(), os.uname().nodename.lower(), "127.0.0.1", "localhost", "://"),
    }


def test_the_report_is_safe_to_post(network: Network) -> None:
    outcome = network.ada.attempt("doctor", "--report")
    assert outcome.exit_code == 0 and "findings" not in outcome.value, "the findings themselves are for their owner"
    secrets = secrets_of(network.ada, network)
    assert len(secrets) > 12, "the canaries are there"
    from mesh.devices.report import as_text

    for text in (json.dumps(outcome.value), as_text(outcome.value["report"])):
        lower = text.lower()
        words = set(re.findall(r"[^\s\",:{}\[\]]+", lower))
        assert {secret for secret in secrets if secret in words or (len(secret) > 5 and secret in lower)} == set()
    report = outcome.value["report"]
    assert report["network"]["coordinator"]["reached"] and report["models"][0]["files"] == "good"
    whole = json.dumps(network.ada.attempt("doctor").value["findings"]).lower()
    assert any(secret in whole for secret in secrets), "the canaries would be noticed"


def test_without_an_agent_or_a_coordinator_it_still_says_what_it_can(network: Network) -> None:
    network.agents["ada"].stop()
    alone = network.ada.attempt("doctor")
    codes = found(alone)
    assert problems(alone) == set() and "agent.away" in codes
    for code in ("coordinator.reached", "certificate.good", "relay.reached", "engine.works", "gateway.free"):
        assert codes[code]["level"] == "ok", code
    port = json.loads((network.ada.home / "gateway.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", port)):
        assert problems(network.ada.attempt("doctor")) == {"gateway.taken"}
    network.served.stop()
    outcome = network.ada.attempt("netcheck")
    assert problems(outcome) == {"coordinator.unreachable", "relay.unreachable"} and outcome.exit_code == 1
    assert found(outcome)["coordinator.unreachable"]["next"]


def test_an_empty_home_and_a_damaged_one(network: Network) -> None:
    fresh = network.stage.player("fresh")
    outcome = fresh.attempt("netcheck")
    assert set(found(outcome)) == {"home.not_joined"} and outcome.exit_code == 0
    assert not fresh.home.exists(), "a check makes nothing"
    fresh.home.mkdir(mode=0o700)
    (fresh.home / "home.json").write_text("{")
    (fresh.home / "home.json").chmod(0o600)
    assert problems(fresh.attempt("doctor")) == {"home.unreadable"}
