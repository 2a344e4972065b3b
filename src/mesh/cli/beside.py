"""The coordinator that `mesh up` runs beside the agent, where this home owns one.

It listens where it listened before, so that links and devices find it again; it is started anew if it ends by itself,
and leaves with `mesh up`.

Touches: processes, files of the home, sockets (looks for a free port).
"""

import socket
import sys
import threading
from contextlib import closing
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from mesh.cli import programs
from mesh.errors import MeshError
from mesh.sdk.home import Home

RESTART_S = 1.0
"""Between two starts of a coordinator that ended by itself: its socket is free again, and a log stays readable."""
PORT_DEFAULT = 8400


class Listening(msgspec.Struct, frozen=True):
    """Where the coordinator of this home listens; kept for its next start. Port 0: not chosen yet."""

    host: str = "127.0.0.1"
    port: int = 0


class Wanted(NamedTuple):
    """Where it is to listen from now on; None: where it did."""

    host: str | None = None
    port: int | None = None


class Beside:
    """A coordinator in a process of its own, from entering to leaving the block. ``ready`` is its first word."""

    def __init__(self, home: Home, wanted: Wanted) -> None:
        self.ready: dict[str, Any] = {}
        self._home = home
        self._kept = home.coordinator_data / "listening.json"
        kept = self._read()
        self._listening = Listening(wanted.host or kept.host, wanted.port or kept.port)
        self._leaving = threading.Event()
        self._program: programs.Program | None = None
        self._watcher = threading.Thread(target=self._watch, name="coordinator", daemon=True)

    def __enter__(self) -> Self:
        self._home.ensure()
        self._home.coordinator_data.mkdir(mode=0o700, exist_ok=True)
        if not self._listening.port:
            self._listening = msgspec.structs.replace(self._listening, port=free_port(self._listening.host))
        self._program = self._start()
        self.ready = self._program.ready
        self._kept.write_bytes(msgspec.json.encode(self._listening))
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._program is not None:
            self._program.stop()
        self._watcher.join(programs.STOP_S)

    def _read(self) -> Listening:
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=Listening)
        except FileNotFoundError:
            return Listening()

    def _start(self) -> programs.Program:
        where = ("--host", self._listening.host, "--port", str(self._listening.port))
        return programs.start("serve", "--data", str(self._home.coordinator_data), *where, "--tied", tied=True)

    def _watch(self) -> None:
        while self._program is not None:
            self._program.process.wait()
            if self._leaving.wait(RESTART_S):
                return
            try:
                self._program = self._start()
            except MeshError as error:
                print(f"mesh: {error.message} [{error.wire_code}] Trying again.", file=sys.stderr, flush=True)


def free_port(host: str) -> int:
    """The usual port, or another where that is taken."""
    for port in (PORT_DEFAULT, 0):
        with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return PORT_DEFAULT


def owns_coordinator(home: Home) -> bool:
    """Whether this home was set up with a coordinator of its own."""
    return (home.coordinator_data / "listening.json").exists()
