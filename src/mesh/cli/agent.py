"""The agent behind a command: the one that runs for this home, or one started for the length of the command.

Touches: the agent's control socket, processes, the agent's log, environment (passed on).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mesh.cli import programs
from mesh.cli.output import Out

if TYPE_CHECKING:
    from mesh.sdk.home import Home

STATUS_S = 5.0


@contextmanager
def agent_for(home: "Home", out: Out) -> Iterator[None]:
    """Have an agent run for this home inside the block. Raises what its start failed with."""
    if running(home):
        yield
        return
    home.coordinator()  # an error with its next step, before any process is started
    out.note("No agent runs here, so one is started for this command. `mesh up` keeps one running.")
    environment = {**os.environ, "MESH_HOME": str(home.path)}
    with os.fdopen(os.open(home.agent_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        started = programs.start("up", "--only-ask", environment=environment, errors=log)
    try:
        yield
    finally:
        started.stop()


def running(home: "Home") -> bool:
    """Whether an agent answers for this home."""
    from mesh.sdk import control

    try:
        control.ask(home.control_socket, control.GetStatus(), STATUS_S)
    except control.AgentAway:
        return False
    return True
