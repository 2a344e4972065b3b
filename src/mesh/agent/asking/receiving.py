"""The requester's end of a stream: chunks in order, counted, passed on to whoever reads, and held against the result.

What the reader has not taken stays here, and its worker is told of what was taken: so it keeps a window of bytes under
way and no more. One that sends on regardless is given up.

Touches: nothing.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mesh.agent.asking.answers import Signer
from mesh.agent.asking.asked import Begun, WrongResult
from mesh.agent.asking.job import Job, Tried
from mesh.agent.peers.stream import SessionStream
from mesh.protocol import frames
from mesh.protocol.session import Key
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


class _Open(NamedTuple):
    job: Job
    tried: Tried
    stream: SessionStream
    receiving: Receiving


class Streams:
    """All streams that come to this device."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._open: dict[Key, _Open] = {}

    def open(self, job: Job, tried: Tried, stream: SessionStream) -> Receiving:
        """Take an attempt's chunks from now on; its worker learns on this session what was taken and counted."""
        reader = job.ask.reader

        def begin() -> bool:
            if reader is None or reader.begun is not None or tried.unheard:
                return False  # nobody reads, or another attempt was first
            reader.begun = tried.number
            path, device = tried.path or "direct", tried.target.device
            reader.begin(Begun(job.id, tried.number, device, path, tried.maximum, job.spec.model))
            reader.on_taken = receiving.took
            return True

        def tell() -> None:
            stream.send(self._beat(stream, counts=False))

        stream.beat = partial(self._beat, stream, counts=True)
        receiving = Receiving(job.ask.workload, job.ask.payload, reader, begin=begin, tell=tell)
        self._open[job.id, tried.number] = _Open(job, tried, stream, receiving)
        return receiving

    def chunk(self, chunk: frames.Chunk) -> None:
        """Take a part of a stream. Raises WrongResult."""
        one = self._open.get((chunk.job, chunk.attempt))
        if one is None:
            raise WrongResult("The worker streams what does not stream.", reason="stream")
        one.receiving.chunk(chunk)

    def close(self, key: Key) -> None:
        """An attempt is over; one that did not stream is no news."""
        self._open.pop(key, None)

    def _beat(self, stream: SessionStream, *, counts: bool) -> frames.Beat:
        """What is said of all streams on one session: each second, and when much was taken."""
        tokens, taken = [], []
        for (job, attempt), one in self._open.items():
            if one.stream is not stream:
                continue
            units = one.receiving.uncounted() if counts and one.tried.plan.permit is not None else None
            if units is not None:
                tokens.append(self._signer.count(one.job, one.tried, units))
            untold = one.receiving.untold()
            if untold is not None:
                taken.append(frames.Taken(job, attempt, untold))
        return frames.Beat(counts=tuple(tokens), taken=tuple(taken))
