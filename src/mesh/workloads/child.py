"""The process of one engine: reads commands on stdin, works in lanes, writes news on stdout.

The main thread only reads; when the pipe ends, the process ends at once, whatever its lanes do. Lanes are threads: the
libraries release the interpreter's lock while they compute. Nothing here may write payloads anywhere but to stdout.

Touches: pipes, clock, threads; what ``confine`` and engines touch.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from mesh.errors import MeshError
from mesh.workloads import engines
from mesh.workloads.batching import Line, Taken
from mesh.workloads.breath import Breath
from mesh.workloads.confine import die_with_parent, keep_to_files, keep_to_work
from mesh.workloads.contract import Engine, Piece, Stop, Turn
from mesh.workloads.frames import (
    LENGTH_BYTES,
    Advanced,
    BadFrame,
    Broken,
    Cancel,
    Dropped,
    Finished,
    Limit,
    Load,
    Loaded,
    News,
    Refused,
    Run,
    Said,
    frame,
    length_of,
    read_command,
)
from mesh.workloads.frames import Taken as BytesTaken
from mesh.workloads.speech import Speech

CUT_PIECES = 64
"""Pieces cut before the turn passes on: some 5 ms of tokenising."""

CUT_S = 0.005
"""A lane cuts queued jobs for so long, then works on a batch: many small jobs get into one batch, a huge one does not
keep the lane."""

ADVANCED_EVERY_S = 0.25
"""News of progress at most this often per job."""


class EngineFailed(MeshError):
    """The engine failed on this job. Try it again; if it fails again, the input is one that the engine cannot take."""

    code = "engine.failed"


class _Job:
    def __init__(self, run: Run, cutting: Iterator[Piece], speech: Speech) -> None:
        self.number = run.job
        self.speech = speech if run.streams else None
        self.payload = run.payload
        self.turn = Turn(run.group, run.first)
        self.cutting = cutting
        self.pieces: list[Piece] = []
        self.answers: list[Any] = []
        self.left = 0
        self.hands = 0  # lanes that hold it
        self.ended = False
        self.lane_s = 0.0
        self.batches = 0
        self._told_s = 0.0

    def is_time(self) -> bool:
        """Whether its progress is to be told now; if so, the next time is a while away."""
        now = time.monotonic()
        due = now - self._told_s > ADVANCED_EVERY_S
        if due:
            self._told_s = now
        return due


class _Child:
    """The jobs of the process and the lanes that work on them. All fields are guarded by ``_changed``."""

    def __init__(self, engine: Engine, out: int) -> None:
        self._engine = engine
        self._out = out
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._uncut: deque[_Job] = deque()
        self._line = Line(engine.batch_pieces_max, engine.batch_size_max)
        self._batches: dict[int, tuple[Stop, list[_Job]]] = {}  # what each lane works on
        self._others_lanes = engine.others_lanes
        self.breath = Breath(lambda job, content: self.say(Said(job, content)))

    def say(self, news: News) -> None:
        """Write one frame; frames of several lanes do not mix. What a job has said leaves before its end."""
        if isinstance(news, Finished | Refused | Dropped):
            self.breath.end(news.job)
        with self._writing:
            _write_all(self._out, frame(news))

    def accept(self, run: Run) -> None:
        """Queue a job."""
        with self._changed:
            speech = Speech(self._changed, partial(self.breath.say, run.job))
            job = _Job(run, self._engine.cut(run.payload), speech)
            self._jobs[run.job] = job
            self._to_cut(job)
            self._changed.notify_all()  # a lane that is kept for the owner may not be the one that is woken

    def cancel(self, number: int) -> None:
        """Forget a job, now if it waits, else as soon as the lanes let go of it: a batch with nothing but forgotten
        jobs is stopped. One that others share goes on, so that nobody can undo another's work.
        """
        with self._changed:
            job = self._jobs.get(number)
            if job is None:
                return  # it ended while the command was on its way
            self._end(job)
            free = job.hands == 0
            for stop, jobs in self._batches.values():
                if all(one.ended for one in jobs):
                    stop.ask()
        if free:
            self.say(Dropped(number))

    def advanced(self, job: _Job, fraction: float) -> None:
        """So much of a piece is done, the only one that its lane works on."""
        with self._changed:
            done = len(job.pieces) - job.left
            told = not job.ended and job.is_time()
        if told:
            self.say(Advanced(job.number, (done + min(max(fraction, 0.0), 1.0)) / len(job.pieces)))

    def taken(self, number: int, count: int) -> None:
        """Bytes of a job's stream were taken."""
        with self._changed:
            job = self._jobs.get(number)
        if job is not None and job.speech is not None:
            job.speech.took(count)

    def limit(self, lanes: int) -> None:
        """Keep lanes for the owner: so many work for others."""
        with self._changed:
            self._others_lanes = min(max(1, lanes), self._engine.others_lanes)
            self._changed.notify_all()

    def lane(self, number: int) -> None:
        """Work until the process ends."""
        while True:
            with self._changed:
                while not self._has_work(kept := number >= self._others_lanes):
                    self._changed.wait()
            until = time.monotonic() + CUT_S
            while self._cut_some(first_only=kept) and time.monotonic() < until:
                pass
            self._work_on_a_batch(number, first_only=kept)

    def _has_work(self, first_only: bool) -> bool:
        return self._can_cut(first_only) or self._line.waits(first_only=first_only)

    def _can_cut(self, first_only: bool) -> bool:
        return bool(self._uncut) and (not first_only or self._uncut[0].turn.first)

    def _to_cut(self, job: _Job) -> None:
        """Queue a job for cutting; those that go first stand in front."""
        (self._uncut.appendleft if job.turn.first else self._uncut.append)(job)

    def _end(self, job: _Job) -> None:
        job.ended = True
        if job.speech is not None:
            job.speech.end()
        self._line.drop(job.number)
        self._jobs.pop(job.number, None)

    def _cut_some(self, *, first_only: bool) -> bool:
        """Cut some pieces of the next uncut job; False if there is none."""
        with self._changed:
            if not self._can_cut(first_only):
                return False
            job = self._uncut.popleft()
            if job.ended:
                return True
            job.hands += 1
        try:
            pieces, error = list(islice(job.cutting, CUT_PIECES)), None
        except Exception as problem:  # noqa: BLE001 - whatever the input provokes is this job's failure alone
            pieces, error = [], _told(problem)
        self._cut(job, pieces, error)
        return True

    def _cut(self, job: _Job, pieces: list[Piece], error: MeshError | None) -> None:
        with self._changed:
            job.hands -= 1
            dropped = job.ended
            if not dropped:
                job.pieces += pieces
                if error is not None:
                    self._end(job)
                elif len(pieces) == CUT_PIECES:
                    self._to_cut(job)
                else:
                    job.left = len(job.pieces)
                    job.answers = [None] * job.left
                    self._line.add(job.number, job.pieces, job.turn)
                    self._changed.notify_all()
        if dropped:
            self.say(Dropped(job.number))
        elif error is not None:
            self.say(Refused(job.number, error.wire()))

    def _work_on_a_batch(self, lane: int, *, first_only: bool) -> None:
        with self._changed:
            batch = self._line.batch(first_only=first_only)
            jobs = {taken.job: self._jobs[taken.job] for taken in batch}
            for job in jobs.values():
                job.hands += 1
            if not batch:
                return
            stop = Stop()
            self._batches[lane] = (stop, list(jobs.values()))
        speech = jobs[batch[0].job].speech
        waited_s = 0.0 if speech is None else speech.waited_s
        started = time.monotonic()
        answers: list[Any] = []
        error = None
        try:
            saying = _Saying(self, jobs[batch[0].job], batch[0].place)
            answers = list(self._engine.work(lane, [taken.piece for taken in batch], stop, saying))
            assert len(answers) == len(batch)
            if speech is not None:
                speech.answered(batch[0].place)
                speech.catch_up()
        except Exception as problem:  # noqa: BLE001 - the jobs of this batch fail, the process lives
            error = _told(problem)
        lane_s = time.monotonic() - started - (0.0 if speech is None else speech.waited_s - waited_s)
        with self._changed:
            del self._batches[lane]
        self._worked(batch, jobs, answers, error=error, lane_s=max(0.0, lane_s))

    def _worked(
        self,
        batch: list[Taken],
        jobs: dict[int, _Job],
        answers: list[Any],
        *,
        error: MeshError | None,
        lane_s: float,
    ) -> None:
        news: list[News] = []
        done: list[_Job] = []
        with self._changed:
            for taken, answer in zip(batch, answers, strict=False):
                job = jobs[taken.job]
                job.answers[taken.place] = answer
                job.left -= 1
            total = sum(taken.piece.size for taken in batch)
            for taken in batch:
                jobs[taken.job].lane_s += lane_s * taken.piece.size / total
            for job in jobs.values():
                job.hands -= 1
                job.batches += 1
                if job.ended:
                    if job.hands == 0:
                        news.append(Dropped(job.number))
                elif error is not None:
                    self._end(job)
                    news.append(Refused(job.number, error.wire()))
                elif job.left == 0:
                    self._end(job)
                    done.append(job)
                elif job.is_time():
                    news.append(Advanced(job.number, 1 - job.left / len(job.pieces)))
        for item in [*news, *map(self._result, done)]:
            self.say(item)

    def _result(self, job: _Job) -> News:
        work_s = job.lane_s / min(self._engine.lanes, job.batches)
        try:
            return Finished(job.number, self._engine.join(job.payload, job.pieces, job.answers), work_s)
        except Exception as problem:  # noqa: BLE001 - this job's failure alone
            return Refused(job.number, _told(problem).wire())


class _Saying:
    """What an engine says of one piece of a job, in the middle of it."""

    def __init__(self, child: _Child, job: _Job, place: int) -> None:
        self._child, self._job, self._place = child, job, place

    def __call__(self, content: bytes) -> None:
        if self._job.speech is not None:  # else nobody reads its stream
            self._job.speech.say(self._place, content)

    def advanced(self, fraction: float) -> None:
        self._child.advanced(self._job, fraction)


def _told(problem: Exception) -> MeshError:
    """What may be said of an exception: its type, never its text, which may quote the input."""
    if isinstance(problem, MeshError):
        return problem
    if isinstance(problem, MemoryError):
        return EngineFailed("The engine ran out of memory on this job. Split it into smaller jobs.")
    return EngineFailed(problem=type(problem).__name__)


def _write_all(out: int, frame_bytes: bytes) -> None:
    view = memoryview(frame_bytes)
    while view:
        view = view[os.write(out, view) :]


def _read_exactly(source: int, count: int) -> bytes:
    """Read ``count`` bytes, or end the process: the agent is gone and nobody waits for an answer."""
    parts: list[bytes] = []
    while count:
        part = os.read(source, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _private_pipes() -> tuple[int, int]:
    """Keep the pipes for frames alone: a library that prints writes to stderr, one that reads gets nothing."""
    source, out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, out


def _load(source: int, out: int) -> Engine:
    load = read_command(_read_exactly(source, length_of(_read_exactly(source, LENGTH_BYTES))))
    if not isinstance(load, Load):
        raise BadFrame
    started = time.monotonic()
    try:
        kept = keep_to_files(load.model.files.values(), os.getcwd())
        engine = engines.load(load.workload, load.model)
        isolation = keep_to_work(kept)
    except Exception as problem:  # noqa: BLE001 - no job was read yet: its text cannot quote one
        _write_all(out, frame(Broken(f"{type(problem).__name__}: {problem}"[:500])))
        raise SystemExit(1) from None
    _write_all(out, frame(Loaded(time.monotonic() - started, engine.lanes, isolation)))
    return engine


def main() -> None:
    """Run the process until its pipe ends."""
    die_with_parent()
    source, out = _private_pipes()
    engine = _load(source, out)
    child = _Child(engine, out)
    threading.Thread(target=child.breath.run, daemon=True).start()
    for number in range(engine.lanes):
        threading.Thread(target=child.lane, args=(number,), daemon=True).start()
    while True:
        command = read_command(_read_exactly(source, length_of(_read_exactly(source, LENGTH_BYTES))))
        if isinstance(command, Run):
            child.accept(command)
        elif isinstance(command, Cancel):
            child.cancel(command.job)
        elif isinstance(command, Limit):
            child.limit(command.lanes)
        elif isinstance(command, BytesTaken):
            child.taken(command.job, command.bytes)
        else:
            raise BadFrame


if __name__ == "__main__":
    main()
