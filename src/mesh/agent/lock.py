"""One agent per home: a lock that ends with the process, however it ends.

Touches: files (agent.lock in the home).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import MeshError


class AgentRunning(MeshError):
    """An agent already runs for this home. `mesh status` shows it, `mesh down` stops it."""

    code = "agent.running"
    kind = "conflict"


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the home's lock inside the block. Raises AgentRunning."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(handle)
        except OSError as error:
            raise AgentRunning from error
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
