"""Which pieces of the waiting jobs are worked on next: take what is queued, never wait for more.

Jobs take turns, so a job of ten thousand pieces holds a small one up by one batch at most. A batch is filled with
pieces of about the same size (padding a short text to a long one's length costs as much as a long text), first one
piece of every other job, then more of the job whose turn it is. Jobs of different groups never share a batch. Jobs that
are ``first`` (the owner's own) go before all others, and share batches with each other alone: others yield at the end
of the batch that runs.

Touches: nothing.
"""

from bisect import bisect_left
from typing import NamedTuple

from mesh.workloads.contract import ANY_TURN, Piece, Turn

SLACK = 8
"""Pieces within so many tokens of the first one's size may join its batch, whatever its size: at 20 tokens the fixed
cost of a batch outweighs padding that much."""

SLACK_SHARE = 0.25
"""The same for large pieces, as a share of the size."""


class Taken(NamedTuple):
    """One piece in a batch: piece number ``place`` of ``job``."""

    job: int
    place: int
    piece: Piece


class _Waiting:
    def __init__(self, job: int, turn: Turn, pieces: list[Piece]) -> None:
        self.job = job
        self.turn = turn
        self.pieces = pieces
        self.order = sorted((piece.size, index) for index, piece in enumerate(pieces))

    def take(self, low: int, high: int) -> Taken | None:
        """Take the largest piece whose size is within ``low``..``high``."""
        place = bisect_left(self.order, (high + 1, -1)) - 1
        if place < 0 or self.order[place][0] < low:
            return None
        _, index = self.order.pop(place)
        return Taken(self.job, index, self.pieces[index])


class Line:
    """The jobs that wait, in the order of their turns."""

    def __init__(self, pieces_max: int, size_max: int) -> None:
        """Limits of a batch: its pieces, and its pieces times the largest one's size."""
        assert pieces_max >= 1
        self._pieces_max = pieces_max
        self._size_max = size_max
        self._jobs: dict[int, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def waits(self, *, first_only: bool = False) -> bool:
        """Whether there is something to work on."""
        return any(job.turn.first for job in self._jobs.values()) if first_only else bool(self._jobs)

    def add(self, job: int, pieces: list[Piece], turn: Turn = ANY_TURN) -> None:
        """Put a job at the end of the line."""
        assert pieces
        self._jobs[job] = _Waiting(job, turn, pieces)

    def drop(self, job: int) -> None:
        """Forget what is left of a job; a job that is not here is no news."""
        self._jobs.pop(job, None)

    def batch(self, *, first_only: bool = False) -> list[Taken]:
        """Take the next batch out of the line: empty if nothing waits (of the jobs that are ``first``).

        The first piece is the largest one left of the job whose turn it is; it is taken even if it alone is over the
        size limit.
        """
        turn = next((job for job in self._jobs.values() if job.turn.first), None)
        if turn is None and not first_only:
            turn = next(iter(self._jobs.values()), None)
        if turn is None:
            return []
        first = turn.take(0, turn.order[-1][0])
        assert first is not None
        batch = [first]
        others = [job for job in self._jobs.values() if job is not turn and job.turn == turn.turn]
        for source in others:
            self._fill(batch, source, most=1)
        for source in [turn, *others]:
            self._fill(batch, source, most=self._pieces_max)
        self._turn_over(turn)
        return batch

    def _fill(self, batch: list[Taken], source: _Waiting, most: int) -> None:
        """Move up to ``most`` pieces that fit from ``source`` into ``batch``."""
        size = batch[0].piece.size
        slack = max(SLACK, int(size * SLACK_SHARE))
        while most > 0 and len(batch) < self._pieces_max:
            most -= 1
            room = self._size_max // (len(batch) + 1)
            if max(taken.piece.size for taken in batch) > room:
                return
            taken = source.take(max(0, size - slack), min(size + slack, room))
            if taken is None:
                return
            batch.append(taken)

    def _turn_over(self, turn: _Waiting) -> None:
        del self._jobs[turn.job]
        if turn.order:
            self._jobs[turn.job] = turn
        for job in [job for job, waiting in self._jobs.items() if not waiting.order]:
            del self._jobs[job]
