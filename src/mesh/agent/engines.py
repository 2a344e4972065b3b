"""The engines of this device: one process per (workload, model), started when a job needs it, warm until it idles.

Touches: processes, files and clock (through ``workloads``).
"""

import asyncio
import time
from collections.abc import Callable
from statistics import median
from types import TracebackType
from typing import Self

import structlog

from mesh.errors import MeshError
from mesh.protocol.values import Isolation, ModelOffer
from mesh.units import MINUTE
from mesh.workloads.catalogue import BUILTIN, Catalogue, ModelEntry
from mesh.workloads.contract import ANY_TURN, Model, Payload, Turn, Workload
from mesh.workloads.files import ModelFiles
from mesh.workloads.known import workload_named
from mesh.workloads.process import Advance, EngineProcess, engine_process
from mesh.workloads.speed import Sample, Speed, speed_from

LANES_MAX = 8
"""Each lane of embeddings holds the weights again (100 MB): more cores than this are left to other workloads."""

IDLE_S = 15 * MINUTE
"""An engine that had no job for so long gives its memory back; loading it again takes under a second."""

IDLE_LOOK_S = 15.0
SAMPLE_TIMES = 5
SAMPLE_PIECES = 16
"""A job of one piece, and one of so many per lane, each so often: about a second on two cores."""

SAMPLE_LIMIT_S = 30.0
"""A device that needs more for a few short texts is too slow to offer itself."""

Say = Callable[[str, int, int], None]
"""Progress of getting ready: stage (``checking``, ``downloading``, ``copying``, ``loading``), done, total bytes."""

log = structlog.get_logger()


class _Slot:
    """One (workload, model): its process if there is one, and what is known of its speed."""

    def __init__(self, workload: Workload, entry: ModelEntry) -> None:
        self.workload = workload
        self.entry = entry
        self.process: EngineProcess | None = None
        self.getting_ready: asyncio.Future[EngineProcess] | None = None
        self.listeners: list[Say] = []
        self.closing = asyncio.Event()
        self.lives: set[asyncio.Task[None]] = set()
        self.users = 0
        self.used_at = 0.0
        self.speed: Speed | None = None
        self.load_s = 0.0

    def say(self, stage: str, done: int, total: int) -> None:
        for listener in list(self.listeners):
            listener(stage, done, total)

    @property
    def warm(self) -> bool:
        return self.process is not None and self.process.alive


class Engines:
    """The pool. Use as an async context manager: leaving it leaves no process behind."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        lanes: int,
        catalogue: Catalogue = BUILTIN,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``lanes``: batches worked on at once per engine, at most; the cores that this device may use."""
        self._files = files
        self._lanes = self._others_lanes = max(1, min(lanes, LANES_MAX))
        self._catalogue = catalogue
        self._idle_s = idle_s
        self._clock = clock
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._tasks = asyncio.TaskGroup()
        self._reaper: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._reaper = self._tasks.create_task(self._unload_idle())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reaper.cancel()
        for slot in self._slots.values():
            for life in slot.lives:
                life.cancel()
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:  # what the caller raised stays the caller's: the group would wrap it
            await self._tasks.__aexit__(None, None, None)

    async def run(
        self,
        workload: str,
        model: str,
        payload: Payload,
        *,
        limit_s: float,
        turn: Turn = ANY_TURN,
        advance: Advance | None = None,
    ) -> Payload:
        """Do a job and return its result.

        ``limit_s`` counts from when the engine is ready. ``sensitive`` jobs have their requester's id as group, all
        others none. Cancelling drops the job. Raises BadInput, or the engine's and the model's errors.
        """
        slot = self._slot(workload, model)
        slot.workload.check(payload)
        slot.users += 1
        try:
            process = await self._ready(slot, None)
            done = await process.run(payload, limit_s=limit_s, turn=turn, advance=advance)
        finally:
            slot.users -= 1
            slot.used_at = self._clock()
        if slot.speed is not None:
            slot.speed = slot.speed.after(slot.workload.count(payload, done.payload), done.work_s)
        return done.payload

    async def prepare(self, workload: str, model: str, say: Say | None = None) -> None:
        """Fetch, check and load a model, so that the next job finds it warm. Raises the model's errors."""
        slot = self._slot(workload, model)
        slot.users += 1
        try:
            await self._ready(slot, say)
        finally:
            slot.users -= 1
            slot.used_at = self._clock()

    async def measure(self, workload: str, model: str) -> ModelOffer:
        """Measure this device's speed with made-up input, loading the engine first; a second or two."""
        slot = self._slot(workload, model)
        await self.prepare(workload, model)
        slot.speed = None  # the samples below are taken as they are
        small, large = [await self._sample(slot, pieces) for pieces in (1, SAMPLE_PIECES * self._lanes)]
        slot.speed = speed_from(small, large)
        return self.offer(workload, model)

    def offer(self, workload: str, model: str) -> ModelOffer:
        """What is known of a model on this device now; a rate of 0 means that it was not measured yet."""
        slot = self._slot(workload, model)
        return ModelOffer(
            workload=workload,
            model=model,
            units_per_s=slot.speed.units_per_s_now if slot.speed else 0.0,
            overhead_s=slot.speed.overhead_s_now if slot.speed else 0.0,
            cold_load_s=slot.load_s,
            warm=slot.warm,
            digest=slot.entry.digest,
        )

    def recall(self, offer: ModelOffer) -> None:
        """Take over what was measured before a restart, if it was of this very model."""
        slot = self._slot(offer.workload, offer.model)
        if offer.digest == slot.entry.digest and offer.units_per_s > 0:
            slot.speed = Speed(offer.units_per_s, offer.overhead_s)
            slot.load_s = offer.cold_load_s

    def expected_s(self, workload: str, model: str, units: int) -> float | None:
        """Seconds of work in a job of ``units``, overhead included; None if the speed was not measured."""
        speed = self._slot(workload, model).speed
        return None if speed is None else speed.expected_s(units)

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        return tuple(slot.entry.id for slot in self._slots.values() if slot.warm)

    def limit_others(self, share: float) -> None:
        """Let other people's jobs use this share (0..1) of the lanes, at least one; the rest are kept for the owner."""
        self._others_lanes = max(1, int(self._lanes * share + 1e-9))
        for slot in self._slots.values():
            if slot.process is not None and slot.process.alive:
                slot.process.limit_others(self._others_lanes)

    def processes(self) -> dict[str, int]:
        """Process ids of the loaded models."""
        return {slot.entry.id: slot.process.pid for slot in self._slots.values() if slot.process and slot.warm}

    def isolation(self, workload: str, model: str) -> Isolation | None:
        """How far the model's process is confined; None while it is not loaded."""
        slot = self._slot(workload, model)
        return slot.process.loaded.isolation if slot.process and slot.warm else None

    def unload(self, workload: str, model: str) -> None:
        """Stop a model's process; jobs in it fail. It is started again when a job needs it."""
        self._slot(workload, model).closing.set()

    def _slot(self, workload: str, model: str) -> _Slot:
        slot = self._slots.get((workload, model))
        if slot is None:
            slot = _Slot(workload_named(workload), self._catalogue.entry(workload, model))
            self._slots[workload, model] = slot
        return slot

    async def _ready(self, slot: _Slot, say: Say | None) -> EngineProcess:
        """The slot's process, started if need be. Callers share one start; one that is cancelled does not stop it."""
        if slot.process is not None and slot.process.alive:
            return slot.process
        if slot.getting_ready is None:
            slot.getting_ready = asyncio.get_running_loop().create_future()
            life = self._tasks.create_task(self._live(slot, slot.getting_ready))
            slot.lives.add(life)
            life.add_done_callback(slot.lives.discard)
        if say is not None:
            slot.listeners.append(say)
        try:
            return await asyncio.shield(slot.getting_ready)
        finally:
            if say is not None:
                slot.listeners.remove(say)

    async def _live(self, slot: _Slot, ready: asyncio.Future[EngineProcess]) -> None:
        """A process's life: fetch, load, serve until it ends or is to be closed."""
        entry = slot.entry
        closing = slot.closing = asyncio.Event()
        process: EngineProcess | None = None
        loop = asyncio.get_running_loop()

        def say(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(slot.say, stage, done, total)  # files are copied in threads

        started = self._clock()
        try:
            files = await self._files.ensure(entry, say)
            model = Model(entry.id, {name: str(path) for name, path in files.items()}, entry.settings, self._lanes)
            say("loading", 0, entry.size_bytes)
            loading = self._clock()
            async with engine_process(entry.workload, model, memory_limit_bytes=entry.memory_limit_bytes) as process:
                slot.load_s = self._clock() - loading
                process.limit_others(self._others_lanes)
                slot.process, slot.getting_ready, slot.used_at = process, None, self._clock()
                ready.set_result(process)
                log.info("engine.loaded", model=entry.id, seconds=round(self._clock() - started, 3))
                await self._serve(process, closing)
            log.info("engine.ended", model=entry.id, wanted=closing.is_set())
        except MeshError as error:
            log.warning("engine.not_ready", model=entry.id, code=error.wire_code)
            ready.set_exception(error)
            ready.exception()  # callers may all have gone
        finally:
            # after a crash the next life may have begun already: it keeps what is its own
            if slot.getting_ready is ready:
                slot.getting_ready = None
            if slot.process is process:
                slot.process = None
            if not ready.done():
                ready.cancel()

    async def _serve(self, process: EngineProcess, closing: asyncio.Event) -> None:
        serving = self._tasks.create_task(process.serve())
        asked = self._tasks.create_task(closing.wait())
        try:
            await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            await asyncio.shield(process.close())

    async def _unload_idle(self) -> None:
        while True:
            await asyncio.sleep(min(IDLE_LOOK_S, self._idle_s))
            for slot in self._slots.values():
                if slot.warm and slot.users == 0 and self._clock() - slot.used_at >= self._idle_s:
                    slot.closing.set()

    async def _sample(self, slot: _Slot, pieces: int) -> Sample:
        payload = slot.workload.rehearsal(pieces)
        seconds = []
        for _ in range(SAMPLE_TIMES):
            started = self._clock()
            await self.run(slot.entry.workload, slot.entry.id, payload, limit_s=SAMPLE_LIMIT_S)
            seconds.append(self._clock() - started)
        return Sample(slot.workload.count(payload, None), median(seconds))
