"""The agent behind a command: the one that runs for this home, or one started for the length of the command.

Touches: the agent's control socket, processes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mesh.cli.output import Out
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.sdk.home import Home

STOP_S = 10.0
"""How long an agent may take to leave orderly before it is killed."""
STATUS_S = 5.0


class AgentFailed(MeshError):
    """The agent for this command did not start. Run `mesh up` to see why."""

    code = "agent.not_started"


@contextmanager
def agent_for(home: "Home", out: Out) -> Iterator[None]:
    """Have an agent run for this home inside the block. Raises AgentFailed, or what the agent failed with."""
    if running(home):
        yield
        return
    home.coordinator()  # an error with its next step, before any process is started
    out.note("No agent runs here, so one is started for this command. `mesh up` keeps one running.")
    command = [sys.executable, "-m", "mesh.cli.main", "up", "--json", "--only-ask"]
    environment = {**os.environ, "MESH_HOME": str(home.path)}
    started = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _wait_ready(started)
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def running(home: "Home") -> bool:
    """Whether an agent answers for this home."""
    from mesh.sdk import control

    try:
        control.ask(home.control_socket, control.GetStatus(), STATUS_S)
    except control.AgentAway:
        return False
    return True


def _wait_ready(started: "subprocess.Popen[str]") -> None:
    """Read the agent's first line: ready, or its error. The agent itself bounds how long its start takes."""
    import json

    from mesh.errors import from_wire

    assert started.stdout is not None
    for line in started.stdout:
        said = json.loads(line)
        if said.get("event") == "ready":
            return
        if "error" in said:
            raise from_wire(said["error"])
    raise AgentFailed
