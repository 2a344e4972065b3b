"""The stream of one job inside an engine's process: its bytes leave in the order of its pieces, and never too many.

Whoever speaks out of turn is kept until the pieces before it are done; that is bounded by the lanes, since each works
on one piece. Whoever speaks in turn waits while the window is full: so a reader that takes nothing holds up what is
said. Whether the work stops with it is the engine's own business.

Touches: threads, clock.
"""

import threading
import time
from collections.abc import Callable

from mesh.workloads.frames import WINDOW_BYTES


class Unwanted(Exception):
    """Nobody wants this job's result any more."""


class Speech:
    """One job's stream. All fields are guarded by the condition that it shares with the process."""

    def __init__(self, changed: threading.Condition, send: Callable[[bytes], None]) -> None:
        """``send`` writes bytes to the agent; called without the condition held."""
        self._changed = changed
        self._send = send
        self.waited_s = 0.0
        """Seconds that lanes stood still for a slow reader: no work of theirs."""
        self._room = WINDOW_BYTES
        self._ended = False
        self._turn = 0  # the piece whose bytes leave now
        self._catching_up = False
        self._answered: set[int] = set()
        self._kept: dict[int, list[bytes]] = {}

    def say(self, place: int, content: bytes) -> None:
        """Let out bytes of a piece; waits for room if it is its turn. Raises Unwanted."""
        with self._changed:
            if self._ended:
                raise Unwanted
            if place != self._turn or self._catching_up:
                self._kept.setdefault(place, []).append(content)
                return
        self._leave(content)

    def answered(self, place: int) -> None:
        """This piece is done: nothing more is said of it. ``catch_up`` follows."""
        with self._changed:
            self._answered.add(place)

    def catch_up(self) -> None:
        """Let out what was kept and is next; returns at once if another lane is at it. Raises Unwanted."""
        with self._changed:
            if self._catching_up:
                return
            self._catching_up = True
        while (content := self._next()) is not None:
            self._leave(content)

    def took(self, count: int) -> None:
        """So many bytes were taken: as many may leave."""
        with self._changed:
            self._room += count
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody waits for it any more. Call with the condition held."""
        self._ended = True
        self._changed.notify_all()

    def _next(self) -> bytes | None:
        with self._changed:
            while True:
                kept = self._kept.pop(self._turn, None)
                if kept is not None:
                    return b"".join(kept)
                if self._turn not in self._answered:
                    self._catching_up = False
                    return None
                self._turn += 1

    def _leave(self, content: bytes) -> None:
        with self._changed:
            if self._room <= 0:
                began = time.monotonic()
                while self._room <= 0 and not self._ended:
                    self._changed.wait()
                self.waited_s += time.monotonic() - began
            if self._ended:
                raise Unwanted
            self._room -= len(content)
        self._send(content)
