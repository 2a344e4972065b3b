"""The demo does what the README says, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from whole.network import eventually

DEMO = (sys.executable, "-m", "mesh.cli.demo")


def left(folder: Path) -> list[psutil.Process]:
    """Processes that belong to a demo whose temporary files are in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.environ().get("MESH_HOME", "") or str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_demo_shows_a_paraphrase_a_stranger_and_a_sound_ledger(tmp_path: Path) -> None:
    done = subprocess.run(
        DEMO, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "path: relayed" in done.stdout and "path: direct" in done.stdout
    assert "Chosen: ben-laptop" in done.stdout
    assert "verify: ok" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert left(tmp_path) == []


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        DEMO, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert any("coordinator http" in line for line in said), "it got as far as a running coordinator"
        assert left(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    eventually(lambda: left(tmp_path) == [], "nothing is left running")
    assert list(tmp_path.iterdir()) == []
