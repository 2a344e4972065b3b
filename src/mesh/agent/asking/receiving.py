"""The requester's end of one stream: chunks in order, counted, passed on to who reads, and held against the result.

What the reader has not taken stays here, and its worker is told of what was taken: so it keeps a window of bytes under
way and no more. One that sends on regardless is given up.

Touches: nothing.
"""

import hashlib
from collections.abc import Callable

from mesh.agent.asking.asked import WrongResult
from mesh.protocol import frames
from mesh.units import MIB
from mesh.workloads.contract import Outlet, Payload, Workload
from mesh.workloads.frames import WINDOW_BYTES

UNTAKEN_BYTES_MAX = 8 * MIB
"""A worker may send a window beyond what was taken, and the saying that began within it (a page): far more is no
mistake."""


class Receiving:
    """One attempt's stream. ``tell``: half a window was taken since the worker was told."""

    def __init__(
        self,
        workload: Workload,
        payload: Payload,
        outlet: Outlet | None,
        *,
        begin: Callable[[], bool],
        tell: Callable[[], None],
    ) -> None:
        """``begin`` is asked before the first bytes are passed on: False where they are not wanted."""
        self.bytes = 0
        """How much has come."""
        self.taken = 0
        """How much of it the reader has taken."""
        self._workload, self._payload, self._outlet = workload, payload, outlet
        self._begin, self._tell = begin, tell
        self._sequence = 0
        self._units = self._counted = 0
        self._told = 0
        self._digest = hashlib.blake2b()

    @property
    def units(self) -> int:
        """Units received: those of the input too, once anything has come."""
        return self._workload.count_input(self._payload) + self._units if self.bytes else 0

    def chunk(self, chunk: frames.Chunk) -> None:
        """Take the next chunk. Raises WrongResult for a gap, an empty one, or a flood."""
        if chunk.sequence != self._sequence or not chunk.content:
            raise WrongResult("The worker's stream has a gap.", reason="sequence")
        if self.bytes - self.taken > UNTAKEN_BYTES_MAX:
            raise WrongResult("The worker sends more than may be under way.", reason="flood")
        self._sequence += 1
        first = not self.bytes
        self.bytes += len(chunk.content)
        self._units += self._workload.count_streamed(self._payload, chunk.content)
        self._digest.update(chunk.content)
        if first and not self._begin():
            self._outlet = None
        if self._outlet is None:
            self.took(len(chunk.content))
        else:
            self._outlet.put(chunk.content)

    def check(self, result: Payload) -> None:
        """The result must say what was streamed. Raises WrongResult."""
        if not self._workload.streams:
            return
        if hashlib.blake2b(self._workload.as_streamed(result)).digest() != self._digest.digest():
            raise WrongResult("The worker's result is not what it has streamed.", reason="stream")

    def uncounted(self) -> int | None:
        """Units to sign for now, or None if the worker has that count already."""
        if self.units == self._counted:
            return None
        self._counted = self.units
        return self._counted

    def untold(self) -> int | None:
        """Bytes taken in all, or None if the worker knows."""
        if self.taken == self._told:
            return None
        self._told = self.taken
        return self._told

    def took(self, count: int) -> None:
        """Its reader has taken so much more."""
        self.taken += count
        if (self.taken - self._told) * 2 >= WINDOW_BYTES:
            self._tell()
