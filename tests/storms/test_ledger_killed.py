"""SIGKILL in the midst of holds and settlements, again and again on one database: nothing acknowledged is lost or paid
twice.

Touches: files (a database), processes, sockets (a server).
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engines import ENGINES

ROUNDS = 16


@pytest.mark.skipif(sys.platform == "win32", reason="forks a child per round")
@pytest.mark.parametrize(
    ("engine", "rounds"),
    [
        ("on_sqlite", ROUNDS),
        ("on_postgres", ROUNDS // 2),
        *(pytest.param(name, 120, marks=[pytest.mark.long, pytest.mark.timeout(900)]) for name in ENGINES),
    ],
)
def test_a_killed_coordinator_loses_and_repeats_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, rounds: int
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    seed = random.SystemRandom().randrange(10**6)
    program = Path(__file__).parents[1] / "ledger_killing.py"
    done = subprocess.run(
        [sys.executable, str(program), str(where), str(rounds), str(seed), str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        timeout=110 if rounds <= ROUNDS else 880,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    told = json.loads(done.stdout)
    assert told["kills"] == rounds
    assert told["between_hold_and_settle"] >= rounds // 2, "kills must land where it hurts"
    assert told["settled"] >= rounds, "each life granted at least one, and each next one settles what is left"
