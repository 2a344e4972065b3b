"""SIGKILL in the midst of holds and settlements, 24 times on one file: nothing acknowledged is lost or paid twice.

Touches: files (a database), processes.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = 24


@pytest.mark.skipif(sys.platform == "win32", reason="forks a child per round")
def test_a_killed_coordinator_loses_and_repeats_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    program = Path(__file__).parents[1] / "ledger_killing.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "mesh.db"), str(ROUNDS), str(seed)],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    told = json.loads(done.stdout)
    assert told["kills"] == ROUNDS
    assert told["between_hold_and_settle"] >= ROUNDS // 3, "kills must land where it hurts"
    assert told["settled"] > ROUNDS
