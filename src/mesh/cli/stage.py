"""A whole network of real processes on this machine, each player with a MESH_HOME of its own: for demo and tests.

Every process is the `mesh` command as people run it, in a session of its own, with its stderr in a file. Leaving the
stage stops them, and kills what does not leave.

Touches: processes, files below its folder.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from mesh.cli import programs
from mesh.cli.programs import MESH, Program
from mesh.errors import MeshError, from_wire

COMMAND_S = 120.0
"""Longest command: 10,000 texts on one core take about 40 s."""


class StageFailed(MeshError):
    """A command of the network failed without an error of its own. Look at what it said."""

    code = "stage.failed"


class Outcome(NamedTuple):
    """How a command ended: its exit code, the objects that it printed, and what it said to people."""

    exit_code: int
    objects: tuple[dict[str, Any], ...]
    said: str

    @property
    def value(self) -> dict[str, Any]:
        """The last object printed; an error's if there was one."""
        return self.objects[-1] if self.objects else {}


class Player:
    """Somebody at a machine: runs commands in one MESH_HOME."""

    def __init__(self, stage: "Stage", name: str) -> None:
        self.name = name
        self.home = stage.folder / name
        self._stage = stage

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this player's commands."""
        return {**os.environ, "MESH_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def mesh(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """Run a command with --json and return the object it printed. Raises the error that it failed with."""
        outcome = self.attempt(*arguments, stdin=stdin)
        if "error" in outcome.value:
            raise from_wire(outcome.value["error"])
        if outcome.exit_code:
            raise StageFailed(outcome.said[-2000:])
        return outcome.value

    def attempt(self, *arguments: str, stdin: str = "") -> Outcome:
        """Run a command with --json, whatever comes of it."""
        done = subprocess.run(
            (*MESH, *arguments, "--json"),
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        return Outcome(done.returncode, tuple(json.loads(line) for line in done.stdout.splitlines()), done.stderr)

    def show(self, *arguments: str) -> None:
        """Run a command for people; its words go where this program's go."""
        sys.stdout.flush()
        subprocess.run((*MESH, *arguments), env=self.environment, timeout=COMMAND_S, check=True)

    def start(self, *arguments: str) -> Program:
        """Start a program and wait until it says that it is ready. Raises its error, or NotReady."""
        with (self._stage.folder / f"{self.name}-{arguments[0]}.log").open("ab") as errors:
            program = programs.start(*arguments, environment=self.environment, errors=errors)
        self._stage.programs.append(program)
        return program


class Stage:
    """The folder with all homes and logs, and the programs that run. Leaving it stops them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []

    def player(self, name: str) -> Player:
        """Somebody with a home of their own."""
        return Player(self, name)

    def at_once(self, *steps: Callable[[], object]) -> None:
        """Do independent steps side by side; raises the first error of any."""
        with ThreadPoolExecutor(max_workers=len(steps)) as pool:
            for done in [pool.submit(step) for step in steps]:
                done.result()

    def close(self) -> None:
        """Stop every program: the first one, on which the others depend, last."""
        first, rest = self.programs[:1], self.programs[1:]
        self.programs.clear()
        if rest:
            self.at_once(*(program.stop for program in rest))
        for program in first:
            program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two vectors of unit length are: 1 is the same direction, 0 nothing in common."""
    return sum(a * b for a, b in zip(one, other, strict=True))
