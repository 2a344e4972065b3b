"""A whole network of real processes on this machine, each player with a MESH_HOME of its own: for demo and tests.

Every program that stays is the `mesh` command as people run it, in a session of its own, with its stderr in a file.
Single commands run inside this process: the same code without half a second of imports each. Leaving the stage stops
the programs, and kills what does not leave.

Touches: processes, files below its folder, environment, stdin, stdout and stderr of this process (during a command).
"""

import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from mesh.cli import programs
from mesh.cli.main import perform
from mesh.cli.output import INTERRUPTED
from mesh.cli.programs import Program
from mesh.errors import MeshError, from_wire

_SURROUNDINGS = threading.Lock()


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
        printed, said = io.StringIO(), io.StringIO()
        with self._in_this_home(stdin), redirect_stdout(printed), redirect_stderr(said):
            exit_code = _uninterrupted(perform([*arguments, "--json"]))
        objects = tuple(json.loads(line) for line in printed.getvalue().splitlines())
        return Outcome(exit_code, objects, said.getvalue())

    def show(self, *arguments: str) -> None:
        """Run a command for people; its words go where this program's go. Raises StageFailed."""
        with self._in_this_home(""):
            if _uninterrupted(perform(list(arguments))):
                raise StageFailed

    @contextmanager
    def _in_this_home(self, stdin: str) -> Iterator[None]:
        """A command's surroundings, which belong to the whole process: one command at a time."""
        with _SURROUNDINGS:
            before_home, before_stdin = os.environ.get("MESH_HOME"), sys.stdin
            os.environ["MESH_HOME"], sys.stdin = str(self.home), io.StringIO(stdin)
            try:
                yield
            finally:
                sys.stdin = before_stdin
                os.environ.pop("MESH_HOME")
                if before_home is not None:
                    os.environ["MESH_HOME"] = before_home

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


def _uninterrupted(exit_code: int) -> int:
    """A person's Ctrl-C during a command is meant for the whole stage. Raises KeyboardInterrupt."""
    if exit_code == INTERRUPTED:
        raise KeyboardInterrupt
    return exit_code


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two vectors of unit length are: 1 is the same direction, 0 nothing in common."""
    return sum(a * b for a, b in zip(one, other, strict=True))
