"""Starting a `mesh` program as a child, waiting for its first word, and stopping it.

Touches: processes.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple

from mesh.errors import MeshError, from_wire

MESH = (sys.executable, "-m", "mesh.cli.main")
STOP_S = 10.0
"""How long a program may take to leave orderly before it is killed: open requests get a second, reports a few."""


class NotReady(MeshError):
    """A program ended before it was ready. Look at what it said above, or run it alone."""

    code = "program.not_ready"


class Program(NamedTuple):
    """A running child and the object by which it said that it is ready."""

    process: "subprocess.Popen[str]"
    ready: dict[str, Any]

    def stop(self) -> int:
        """Ask it to leave, as Ctrl-C does; returns its exit code. It is killed if that takes too long."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """Kill it and its group, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def start(
    *arguments: str, environment: Mapping[str, str] | None = None, errors: IO[bytes] | None = None, tied: bool = False
) -> Program:
    """Start ``mesh ARGUMENTS --json`` in a session of its own and wait for its ``ready``.

    Programs bound the time of their own start. ``tied``: its stdin is a pipe that closes when this process ends,
    however it ends. Raises the error that it printed, or NotReady.
    """
    process = subprocess.Popen(
        (*MESH, *arguments, "--json"),
        env=None if environment is None else dict(environment),
        stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C in a terminal reaches only us, and we stop the rest in order
    )
    program = Program(process, {})
    try:
        return Program(process, _first_word(process))
    except BaseException:
        program.kill()
        raise


def _first_word(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        said: dict[str, Any] = json.loads(line)
        if said.get("event") == "ready":
            return said
        if "error" in said:
            raise from_wire(said["error"])
    raise NotReady
