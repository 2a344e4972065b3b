"""All streams that come to a requester: each chunk to its attempt, and each second what was taken and counted of them.

Touches: nothing.
"""

from functools import partial
from typing import NamedTuple

from mesh.agent.asking.answers import Signer
from mesh.agent.asking.asked import Begun, WrongResult
from mesh.agent.asking.job import Job, Tried
from mesh.agent.asking.receiving import Receiving
from mesh.agent.peers.stream import SessionStream
from mesh.protocol import frames
from mesh.protocol.session import Key


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
