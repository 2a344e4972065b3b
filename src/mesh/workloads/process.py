"""One engine's process, seen from its parent: started, spoken to, watched, and never left behind.

The process gets a cleared environment and a temporary folder of its own, and is killed with its whole group. Its memory
is watched; a job that does not let go after its time limit costs the process its life.

Touches: processes, pipes, files (its temporary folder), clock.
"""

import asyncio
import contextlib
import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import NamedTuple

import psutil

from mesh.concurrency import expected
from mesh.errors import MeshError, from_wire
from mesh.units import GIB, MIB
from mesh.workloads.contract import ANY_TURN, NOBODY, Listener, Model, Payload, Turn
from mesh.workloads.frames import (
    LENGTH_BYTES,
    WINDOW_BYTES,
    Advanced,
    BadFrame,
    Broken,
    Cancel,
    Finished,
    Limit,
    Load,
    Loaded,
    News,
    Refused,
    Run,
    Said,
    Taken,
    frame,
    length_of,
    read_news,
)

LOAD_LIMIT_S = 120.0
"""Import and load take 0.6 s for the smallest model; a model of 10 GB from a slow disk takes 100 s."""

MEMORY_EVERY_S = 0.5
"""How often a process's resident memory is looked at: 50 µs each time."""

MEMORY_SPARE_BYTES = GIB
"""What a process may reserve beyond its limit of resident memory: stacks of threads, and what is never touched."""

FILE_BYTES_MAX = 64 * MIB
"""Any file in its own folder: engines write next to nothing."""

CANCEL_GRACE_S = 1.0
"""An engine stops in the middle of a batch that nobody wants, within some 20 ms: one that takes a second hangs."""
SHARED_GRACE_S = 5.0
"""A batch that other jobs share goes on: 0.1 to 1 s on slow devices. So long, and it hangs."""

STDERR_BYTES = 4096
PIPE_BYTES = MIB


class EngineCrashed(MeshError):
    """The engine's process ended in the middle of the job. Try the job again; a new process is started for it."""

    code = "engine.crashed"


class EngineOutOfMemory(MeshError):
    """The engine took more memory than this model may, and was stopped. Try the job again, in smaller parts."""

    code = "engine.out_of_memory"


class EngineNotLoaded(MeshError):
    """The engine did not start on this device. Install Mesh there with all its engines, then try again."""

    code = "engine.not_loaded"
    kind = "unavailable"


class JobTimedOut(MeshError):
    """The job took longer than its time limit and was stopped. Send it in smaller parts or with a higher limit."""

    code = "engine.timed_out"
    kind = "timed_out"


class Done(NamedTuple):
    """A finished job: its result, and the seconds that it would have taken alone."""

    payload: Payload
    work_s: float


class _Pending(NamedTuple):
    answer: asyncio.Future[Done]
    listener: Listener


class EngineProcess:
    """A running process with a loaded engine. Made by ``engine_process`` alone."""

    def __init__(self, process: asyncio.subprocess.Process, memory_limit_bytes: int) -> None:
        """Hold a started process; nothing was said to it yet."""
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self.pid = process.pid
        self.loaded: Loaded
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._stderr = process.stderr
        self._memory_limit_bytes = memory_limit_bytes
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._end: MeshError | None = None
        self._said = b""

    @property
    def alive(self) -> bool:
        """Whether jobs can be given to it."""
        return self._end is None

    async def run(
        self,
        payload: Payload,
        *,
        limit_s: float,
        turn: Turn = ANY_TURN,
        listener: Listener = NOBODY,
    ) -> Done:
        """Do one job.

        Raises JobTimedOut, EngineCrashed, EngineOutOfMemory, or what the engine said of the input. Cancelling the
        caller drops the job.
        """
        if self._end is not None:
            raise self._why()
        job = next(self._numbers)
        command = frame(
            Run(job, payload, turn.group, turn.first, listener.outlet is not None)
        )  # before the job is known here: what cannot be said never began
        answer: asyncio.Future[Done] = expected()
        self._pending[job] = _Pending(answer, listener)
        if listener.outlet is not None:
            listener.outlet.on_taken = _Taking(self, job)
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._send(command)
                return await answer
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise JobTimedOut(limit_s=limit_s) from error
        finally:
            del self._pending[job]
            if self.alive and (not answer.done() or answer.cancelled()):
                self._leave(job)

    async def load(self, workload: str, model: Model) -> None:
        """Load the model; the first thing that is said to the process. Raises EngineNotLoaded."""
        try:
            async with asyncio.timeout(LOAD_LIMIT_S):
                await self._send(frame(Load(workload, model)))
                news = await self._hear()
        except TimeoutError as error:
            raise EngineNotLoaded(f"The engine of {model.id} did not load within {LOAD_LIMIT_S:.0f} s.") from error
        except (asyncio.IncompleteReadError, ConnectionError, BadFrame) as error:
            said = (await self._stderr.read(STDERR_BYTES)).decode(errors="replace").strip()
            raise EngineNotLoaded(f"The engine of {model.id} ended while it was loading. {said}".strip()) from error
        if isinstance(news, Broken):
            raise EngineNotLoaded(f"The engine of {model.id} did not load: {news.reason}")
        assert isinstance(news, Loaded)
        self.loaded = news

    async def serve(self) -> None:
        """Read its news and watch it until it ends or is stopped; then nothing of it is left."""
        watching = asyncio.ensure_future(self._watch_memory())
        draining = asyncio.ensure_future(self._drain_stderr())
        try:
            while True:
                self._learn(await self._hear())
        except (asyncio.IncompleteReadError, ConnectionError, BadFrame) as error:
            self._stop(error if isinstance(error, BadFrame) else None)
        finally:
            watching.cancel()
            draining.cancel()
            await asyncio.shield(self.close())

    async def close(self) -> None:
        """Kill the process with its group and wait for its end; jobs in it fail. Safe to call again."""
        self._stop(None)
        await self._process.wait()
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        self._stdin.close()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(self._why())

    def _stop(self, reason: MeshError | None) -> None:
        """Kill the group; ``reason`` is what its jobs are told (the first one counts)."""
        if self._end is None:
            self._end = reason or EngineCrashed()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _why(self) -> MeshError:
        """Why the process ended, as a fresh error for one job."""
        assert self._end is not None
        return type(self._end)(self._end.message, **self._end.facts, exit=self._process.returncode)

    def _leave(self, job: int) -> None:
        """Have a job dropped; if the process does not let go of it in time, it hangs and is killed."""
        self._stdin.write(frame(Cancel(job)))
        self._leaving[job] = asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._overdue, job)

    def _overdue(self, job: int) -> None:
        """A dropped job is still worked on. Where others may share its batch, that is given more time."""
        if not self._pending:
            self._stop(None)
            return
        loop = asyncio.get_running_loop()
        self._leaving[job] = loop.call_later(SHARED_GRACE_S - CANCEL_GRACE_S, self._stop, None)

    def taken(self, job: int, count: int) -> None:
        """So many bytes of a job's stream were taken: the engine may say as many more."""
        if self.alive and job in self._pending:
            self._stdin.write(frame(Taken(job, count)))

    def limit_others(self, lanes: int) -> None:
        """So many lanes work on jobs that are not the owner's."""
        if self.alive:
            self._stdin.write(frame(Limit(lanes)))

    def _learn(self, news: News) -> None:
        if isinstance(news, Advanced):
            pending = self._pending.get(news.job)
            if pending is not None and pending.listener.advance is not None:
                pending.listener.advance(news.fraction)
            return
        if isinstance(news, Said):
            pending = self._pending.get(news.job)
            if pending is not None and pending.listener.outlet is not None:
                pending.listener.outlet.put(news.content)
            return
        if isinstance(news, Loaded | Broken):
            raise BadFrame
        timer = self._leaving.pop(news.job, None)
        if timer is not None:
            timer.cancel()
        pending = self._pending.get(news.job)
        if pending is None or pending.answer.done():
            return  # it was cancelled meanwhile: the result is thrown away
        if isinstance(news, Finished):
            pending.answer.set_result(Done(news.payload, news.work_s))
        elif isinstance(news, Refused):
            pending.answer.set_exception(from_wire(news.error))

    async def _send(self, command: bytes) -> None:
        self._stdin.write(command)
        with contextlib.suppress(ConnectionError):  # it is ending: the reader says why
            await self._stdin.drain()

    async def _hear(self) -> News:
        head = await self._stdout.readexactly(LENGTH_BYTES)
        return read_news(await self._stdout.readexactly(length_of(head)))

    async def _watch_memory(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen = psutil.Process(self.pid)
            while True:
                resident = seen.memory_info().rss
                if resident > self._memory_limit_bytes:
                    self._stop(EngineOutOfMemory(limit_bytes=self._memory_limit_bytes))
                await asyncio.sleep(MEMORY_EVERY_S)

    async def _drain_stderr(self) -> None:
        """Keep the pipe empty. What is said during a job may quote it, so it is kept nowhere."""
        while await self._stderr.read(STDERR_BYTES):
            pass


class _Taking:
    """Tells the process what was taken of a stream, half a window at a time."""

    def __init__(self, process: EngineProcess, job: int) -> None:
        self._process, self._job, self._untold = process, job, 0

    def __call__(self, count: int) -> None:
        self._untold += count
        if self._untold * 2 >= WINDOW_BYTES:
            self._process.taken(self._job, self._untold)
            self._untold = 0


def child_environment(scratch: str) -> dict[str, str]:
    """All that an engine's process sees of an environment."""
    return {
        "PATH": os.defpath,
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OMP_THREAD_LIMIT": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }


def _bound(pid: int, memory_limit_bytes: int) -> None:
    """What a process cannot pass even between two looks at it (Linux): memory of its own, files it writes, cores."""
    if sys.platform == "linux":
        limits = (
            (resource.RLIMIT_DATA, memory_limit_bytes + MEMORY_SPARE_BYTES),
            (resource.RLIMIT_FSIZE, FILE_BYTES_MAX),
            (resource.RLIMIT_CORE, 0),
        )
        for kind, most in limits:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself: loading it says why
                resource.prlimit(pid, kind, (most, most))


@contextlib.asynccontextmanager
async def engine_process(workload: str, model: Model, *, memory_limit_bytes: int) -> AsyncIterator[EngineProcess]:
    """Start a process and load ``model``; on leaving, it is killed, waited for, and its folder removed.

    Somebody must run ``serve`` while it is used. Raises EngineNotLoaded.
    """
    scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="mesh-engine-")
    try:
        # -P: the current folder is not searched for modules; -E: no PYTHON* variables
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-E", "-m", "mesh.workloads.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(scratch),
            cwd=scratch,
            start_new_session=True,
            limit=PIPE_BYTES,
        )
        _bound(process.pid, memory_limit_bytes)
        engine = EngineProcess(process, memory_limit_bytes)
        try:
            await engine.load(workload, model)
            yield engine
        finally:
            await asyncio.shield(engine.close())
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))
