"""Words of one stream that are said close together leave together: twenty times a second is faster than anybody reads.

Each frame costs both agents the same, whether it holds one word or ten: a wake-up at every process and thread on the
way. So the first words leave at once, and what follows within 50 ms of them is kept until that has passed. A model that
speaks more slowly than that is never held up.

Touches: threads, clock.
"""

import threading
import time
from collections.abc import Callable

GAP_S = 0.05


class _Words:
    def __init__(self) -> None:
        self.left_s = -GAP_S
        self.kept: list[bytes] = []


class Breath:
    """The streams of one process. ``run`` lets out what was kept, in a thread of its own."""

    def __init__(self, send: Callable[[int, bytes], None], now: Callable[[], float] = time.monotonic) -> None:
        """``send`` writes bytes of a job; of one job never two at once."""
        self._send = send
        self._now = now
        self._changed = threading.Condition()
        self._jobs: dict[int, _Words] = {}

    def say(self, job: int, content: bytes) -> None:
        """Let out bytes of a job: now, or with those that follow."""
        with self._changed:
            words = self._jobs.setdefault(job, _Words())
            words.kept.append(content)
            if self._now() - words.left_s >= GAP_S:
                self._leave(job, words)
            elif len(words.kept) == 1:
                self._changed.notify()

    def end(self, job: int) -> None:
        """Nothing more follows: what was kept leaves before this returns."""
        with self._changed:
            words = self._jobs.pop(job, None)
            if words is not None:
                self._leave(job, words)

    def leave_due(self) -> float | None:
        """Let out what is due; returns the seconds until more is, None if nothing is kept."""
        with self._changed:
            return self._leave_due()

    def run(self) -> None:
        """Let out what is due, until the process ends."""
        with self._changed:
            while True:
                self._changed.wait(self._leave_due())

    def _leave_due(self) -> float | None:
        kept = [(job, words) for job, words in self._jobs.items() if words.kept]
        now, waits = self._now(), []
        for job, words in kept:
            due_s = words.left_s + GAP_S - now
            if due_s <= 0:
                self._leave(job, words)
            else:
                waits.append(due_s)
        return min(waits, default=None)

    def _leave(self, job: int, words: _Words) -> None:
        if words.kept:
            content = b"".join(words.kept)
            words.kept.clear()
            self._send(job, content)
            words.left_s = self._now()
