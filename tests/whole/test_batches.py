"""Batches as people have them: by the command line, over kill -9 of either agent, down and up, paid once a line."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.output import INTERRUPTED
from whole.network import Network, a_network, eventually
from whole.test_faults import kill_agent

LINES = 1200
UNDER_WAY = 4
"""Lines that may be at work when the agent is killed, with one other device: `jobs.batches.PER_DEVICE`, twice."""
BROKEN = 700
"""The line (from 1) that is no JSON; the one after it has no text."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with a_network(tmp_path_factory.mktemp("batches")) as made:
        made.join(made.person("ben"))
        made.join(made.ada)
        made.stage.at_once(lambda: made.up(made.ben), lambda: made.up(made.ada, "--only-ask"))
        made.ready("ben")
        yield made


def lines() -> list[str]:
    listed = [json.dumps({"id": f"n{number}", "text": f"sentence number {number}"}) for number in range(1, LINES + 1)]
    listed[BROKEN - 1] = "{broken"
    listed[BROKEN] = json.dumps({"id": "no text", "text": " "})
    return listed


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "input.jsonl"
    path.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    return path


def shown(network: Network, batch: str) -> dict[str, Any]:
    return network.ada.mesh("batch", "show", batch)


def at_least(network: Network, batch: str, count: int) -> None:
    eventually(lambda: shown(network, batch)["ok"] >= count, f"{count} lines are done", timeout_s=90)


@pytest.mark.timeout(300)
def test_a_batch_survives_kills_of_both_agents_and_down_and_up(network: Network, source: Path) -> None:
    ada = network.ada
    batch = ada.mesh("batch", "submit", str(source), "--name", "novel")
    assert (batch["lines"], batch["again"], batch["state"]) == (LINES, False, "running")
    again = ada.mesh("batch", "submit", str(source), "--name", "novel")
    assert (again["batch"], again["again"]) == (batch["batch"], True)

    at_least(network, "novel", 50)
    kill_agent(network.agents["ada"])
    assert ada.attempt("batch", "show", "novel").value["error"]["code"] == "agent.away"
    before = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (ada.home / "batches").rglob("*")}
    assert before == {batch["batch"]: 0o700, "input": 0o600, "results": 0o600}
    network.up(ada, "--only-ask")
    seen = shown(network, "novel")["ok"]
    assert seen >= 50, "what was done is not done again"

    at_least(network, "novel", seen + 50)
    kill_agent(network.agents["ben"])
    network.up(network.ben)
    at_least(network, "novel", seen + 150)
    ada.mesh("down")
    network.agents["ada"].process.wait(30)
    network.up(ada, "--only-ask")

    waited = ada.attempt("batch", "show", "novel", "--wait")
    done = waited.value
    assert (done["state"], done["ok"], done["failed"]) == ("done", LINES - 2, 2)
    assert waited.exit_code == 1, "some lines failed"
    assert done["failures"] == {"batch.bad_line": 1, "input.empty": 1}
    everything_is_there(network, done)
    dearest = max(one["charge"] for one in ada.attempt("batch", "results", "novel").objects if "charge" in one)
    each_line_is_paid_once(network, done["charge"], dearest)
    assert ada.mesh("ledger", "verify")["ok"]


def each_line_is_paid_once(network: Network, charged: int, dearest: int) -> None:
    """Whatever the agent had no time to acknowledge before it was killed is paid at the end of the report window."""

    def settled() -> bool:
        found = network.ada.mesh("ledger", "show")
        assert found["balance"] >= -charged, "more was charged than the lines said"
        missing = charged + found["balance"]
        return bool(missing <= min(UNDER_WAY * dearest, found["held"]))

    eventually(settled, "every line is settled, or its price is set aside", timeout_s=60)


def everything_is_there(network: Network, done: dict[str, Any]) -> None:
    found = network.ada.attempt("batch", "results", "novel").objects
    assert [one["line"] for one in found] == list(range(1, LINES + 1))
    good = [one for one in found if "error" not in one]
    assert [one["id"] for one in good] == [
        f"n{number}" for number in range(1, LINES + 1) if number not in (BROKEN, BROKEN + 1)
    ]
    assert all(len(one["embedding"]) == 384 for one in good)
    assert len({one["job"] for one in good}) == len(good)
    assert sum(one["charge"] for one in good) == done["charge"] > 0
    broken, empty = found[BROKEN - 1]["error"], found[BROKEN]["error"]
    assert broken["code"] == "batch.bad_line" and f"Line {BROKEN} is no JSON object" in broken["message"]
    assert empty["code"] == "input.empty"


def test_results_go_into_a_file_of_ones_own_and_never_over_another(network: Network, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    written = network.ada.mesh("batch", "results", "novel", "--output", str(output))
    assert written["lines"] == LINES == len(output.read_bytes().splitlines())
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    refused = network.ada.attempt("batch", "results", "novel", "--output", str(output))
    assert refused.value["error"]["code"] == "batch.output_exists"
    refused = network.ada.attempt("batch", "results", "novel", "--output", str(tmp_path / "no" / "folder"))
    assert refused.value["error"]["code"] == "batch.output_unwritable"


def test_people_see_what_failed_and_what_to_do_next(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    network.ada.show("batch", "show", "novel")
    network.ada.show("batch", "list")
    printed = capfd.readouterr().out
    for words in (f"{LINES} of {LINES} lines", "ben-laptop", "batch.bad_line 1", "mesh batch resume novel --failed"):
        assert words in printed


def test_lines_from_another_program_and_a_single_line_of_cost(network: Network, tmp_path: Path) -> None:
    """stdin, as `… | mesh batch submit -` has it, and a limit that stops the batch before its end."""
    texts = "\n".join(f"a line of plain text, number {number}" for number in range(200)).encode()
    command = [sys.executable, "-m", "mesh.cli.main", "batch", "submit", "-", "--as", "text", "--max-cost", "500"]
    ran = subprocess.run(
        [*command, "--wait", "--json"], input=texts, capture_output=True, env=network.ada.environment, timeout=120,
    )  # fmt: skip
    stopped = json.loads(ran.stdout)
    assert (ran.returncode, stopped["state"], stopped["code"]) == (1, "stopped", "batch.max_cost")
    assert 0 < stopped["charge"] <= 500 and stopped["message"]
    assert b"batch: stopped" in ran.stderr and b" of 200 lines" in ran.stderr
    going = network.ada.mesh("batch", "resume", stopped["batch"], "--max-cost", "1000000", "--wait")
    assert (going["state"], going["ok"], going["failed"]) == ("done", 200, 0)
    assert network.ada.mesh("batch", "delete", stopped["batch"])["deleted"]
    assert network.ada.attempt("batch", "show", stopped["batch"]).value["error"]["code"] == "batch.unknown"


@pytest.fixture
def paused(network: Network) -> Iterator[None]:
    """Nobody works: what is submitted goes on for as long as it takes to look at it."""
    network.ben.mesh("pause")
    yield
    network.ben.mesh("resume")
    network.ready("ben")


@pytest.mark.usefixtures("paused")
def test_ctrl_c_leaves_the_batch_going_and_cancel_ends_it(network: Network, source: Path) -> None:
    command = [sys.executable, "-m", "mesh.cli.main", "batch", "submit", str(source), "--wait", "--name", "long"]
    looking = subprocess.Popen(command, env=network.ada.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said: list[bytes] = []
    assert looking.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(looking.stderr or ()), daemon=True)
    reader.start()
    eventually(lambda: any(b"batch: " in line for line in said), "the command shows progress")
    os.kill(looking.pid, signal.SIGINT)
    assert looking.wait(30) == INTERRUPTED
    reader.join(10)
    looking.stderr.close()
    assert b"The batch goes on" in said[-1]
    assert shown(network, "long")["state"] in ("running", "waiting")
    cancelled = network.ada.mesh("batch", "cancel", "long")
    assert (cancelled["state"], cancelled["running"]) == ("cancelled", 0)
    assert cancelled["ok"] < LINES
    assert len(network.ada.attempt("batch", "results", "long").objects) == cancelled["ok"] + cancelled["failed"]


def test_wrong_input_is_refused_before_anything_is_begun(network: Network, tmp_path: Path) -> None:
    ada = network.ada
    before = ada.mesh("batch", "list")["batches"]
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "picture.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "fine.txt").write_text("a text\n")
    fine = str(tmp_path / "fine.txt")
    for arguments, code in (
        ((str(tmp_path / "empty.jsonl"),), "batch.empty"),
        ((str(tmp_path / "picture.jsonl"),), "batch.bad_line"),
        ((str(tmp_path / "missing.jsonl"),), "input.file_unreadable"),
        ((fine, "--workload", "magic"), "workload.unknown"),
        ((fine, "--route", "moon"), "usage.route"),
        ((fine, "--limit", "0s"), "jobs.bad_spec"),
        ((fine, "--limit", "later"), "usage.span"),
        ((fine, "--device", "nobodys"), "device.unknown"),
        ((fine, "--name", "../up"), "batch.bad_name"),
        ((fine, "--max-cost", "-1"), "usage.invalid"),
    ):
        refused = ada.attempt("batch", "submit", *arguments)
        assert (refused.value["error"]["code"], refused.exit_code != 0) == (code, True), arguments
    assert ada.mesh("batch", "list")["batches"] == before
    assert list((ada.home / "batches").glob("new-*")) == []
