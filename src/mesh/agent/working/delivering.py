"""The worker's end of a stream: its bytes leave as chunks, as long as they are taken, and counted where they are paid.

Two things hold it up. A reader that does not take its bytes leaves the window full: then the engine gets no room for
more. A requester that owes its signed Count for more than two beats gets nothing more until that comes. What is held
up for too long ends the attempt: an engine is not kept for somebody who does not read.

Touches: nothing (the event loop's timer aside).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

from mesh.errors import MeshError
from mesh.protocol import frames
from mesh.workloads.contract import Outlet, Payload, Workload
from mesh.workloads.frames import WINDOW_BYTES

BEHIND_S = 2.5 * frames.BEAT_S
"""A Count may be two beats behind what was sent, and half a beat on its way."""
STALLED_S = 60.0
"""How long a reader may take nothing, or count nothing, while the engine waits for it."""


class StreamStalled(MeshError):
    """Nobody took the result as it was made, so the work on it was ended. Read it faster, or ask for less at a time."""

    code = "stream.stalled"
    kind = "timed_out"


class Delivery:
    """One attempt's stream. ``send`` puts a chunk on its way: number and bytes."""

    def __init__(
        self,
        workload: Workload,
        payload: Payload,
        secret: bytes,
        send: Callable[[int, bytes], None],
        *,
        stalled: Callable[[], None],
        now: Callable[[], float] | None,
    ) -> None:
        """``stalled`` is called when the reader has stood still for too long. ``now`` (seconds): the clock by which
        chunks wait for Counts; None: nothing is paid, nothing is counted.
        """
        self.outlet = Outlet(self._put)
        self.count: str | None = None
        """The newest signed Count."""
        self._workload, self._payload = workload, payload
        self._send, self._stalled, self._now = send, stalled, now
        self._digest = hashlib.blake2b(key=secret, digest_size=32)
        self._sequence = 0
        self._sent = self._taken = 0
        self._units = self._counted = 0
        self._uncounted: deque[tuple[int, float]] = deque()  # units sent in all, when
        self._held: deque[bytes] = deque()
        self._moved: asyncio.Event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def units(self) -> int:
        """Units delivered: those of the input too, once anything has left."""
        return self._workload.count_input(self._payload) + self._units if self._sent else 0

    @property
    def digest(self) -> str:
        """The keyed digest of all that has left."""
        return self._digest.hexdigest()

    def taken(self, total: int) -> None:
        """The reader has taken so many bytes in all. Less than before, or more than was sent, is no news."""
        if self._taken < total <= self._sent:
            more, self._taken = total - self._taken, total
            self.outlet.took(more)
            self._watch(afresh=True)

    def counted(self, units: int, token: str) -> None:
        """A verified Count came: units in all, and the paper."""
        if units <= self._counted:
            return
        self._counted, self.count = units, token
        while self._uncounted and self._uncounted[0][0] <= units:
            self._uncounted.popleft()
        while self._held and not self._behind():
            self._leave(self._held.popleft())
        self._moved.set()
        self._watch(afresh=True)

    async def drained(self) -> None:
        """Wait until all that was put has left."""
        while self._held:
            self._moved.clear()
            await self._moved.wait()

    def close(self) -> None:
        """The attempt is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _put(self, content: bytes) -> None:
        for start in range(0, len(content), frames.CHUNK_BYTES_MAX):
            part = content[start : start + frames.CHUNK_BYTES_MAX]
            if self._held or self._behind():
                self._held.append(part)
            else:
                self._leave(part)
        self._watch()

    def _leave(self, content: bytes) -> None:
        self._sent += len(content)
        self._digest.update(content)
        self._units += self._workload.count_streamed(self._payload, content)
        if self._now is not None:
            self._uncounted.append((self.units, self._now()))
        self._send(self._sequence, content)
        self._sequence += 1

    def _behind(self) -> bool:
        return self._now is not None and bool(self._uncounted) and self._now() - self._uncounted[0][1] > BEHIND_S

    def _watch(self, *, afresh: bool = False) -> None:
        """Run the timer while something holds it up; ``afresh``: the reader has just moved."""
        if afresh:
            self.close()
        if not self._held and self._sent - self._taken < WINDOW_BYTES:
            self.close()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STALLED_S, self._stalled)
