"""The engines of this device: one process per (workload, model), started when a job needs it, warm until it idles.

Where an engine parses strangers' files (``Workload.apart``), each requester has a process of their own, and it is
replaced after fifty jobs: what one of them smuggles into it never meets another's pages, and does not stay.

Touches: processes, files and clock (through ``workloads``).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from statistics import median
from types import TracebackType
from typing import Any, Self

import structlog

from mesh.agent.engines.slots import Known, Say, Slot, units_of_time
from mesh.errors import MeshError
from mesh.protocol.values import Isolation, ModelOffer
from mesh.units import MINUTE
from mesh.workloads import engines, processor
from mesh.workloads.catalogue import BUILTIN, Catalogue
from mesh.workloads.contract import ANY_TURN, NOBODY, Listener, Model, Payload, Turn
from mesh.workloads.files import ModelFiles
from mesh.workloads.known import workload_named
from mesh.workloads.process import EngineNotLoaded, EngineProcess, engine_process
from mesh.workloads.speed import Sample, Speed, speed_from

LANES_MAX = 8
"""Each lane of embeddings holds the weights again (100 MB): more cores than this are left to other workloads."""

IDLE_S = 15 * MINUTE
"""An engine that had no job for so long gives its memory back; loading it again takes under a second."""

APART_JOBS_MAX = 50
"""Jobs of one process of one requester; starting the next takes half a second."""

APART_IDLE_S = 60.0
APART_IDLE_MAX = 2
"""A requester's process waits so long for the next of their pages, and so many wait at most."""

IDLE_LOOK_S = 15.0
SAMPLE_TIMES = 5
SAMPLE_PIECES = 16
"""A job of one piece, and one of so many per lane, each so often: about a second on two cores."""

SAMPLE_LIMIT_S = 30.0
"""A device that needs more for a few short texts is too slow to offer itself."""

FETCH_BYTES_S = 5e6
"""What a model that is not here yet is expected to come at: 40 Mbit/s."""

log = structlog.get_logger()


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
        self.on_measured: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Called when the first job has shown how fast an assumed model really is here."""
        self.reread: Callable[[], Catalogue] | None = None
        """Reads the catalogue anew, where it may have grown; called when the owner has a model made ready."""
        self._known: dict[tuple[str, str], Known] = {}
        self._slots: dict[tuple[str, str, str], Slot] = {}
        self._all: set[Slot] = set()
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
        for slot in self._all:
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
        listener: Listener = NOBODY,
    ) -> Payload:
        """Do a job and return its result.

        ``limit_s`` counts from when the engine is ready. ``sensitive`` jobs have their requester's id as group, and so
        has every job of a workload whose requesters are kept apart; all others none. Cancelling drops the job. Raises
        BadInput, or the engine's and the model's errors.
        """
        known = self._of(workload, model)
        known.workload.check(payload)
        slot = self._slot_for(known, turn.group if known.workload.apart else "")
        slot.users += 1
        slot.jobs += 1
        if known.workload.apart and slot.jobs >= APART_JOBS_MAX:
            slot.retired = True
            self._slots.pop((workload, model, slot.group))
        try:
            process = await self._ready(slot, listener.ready)
            if not known.workload.streams:
                listener = listener._replace(outlet=None)
            done = await process.run(payload, limit_s=limit_s, turn=turn, listener=listener)
        finally:
            slot.left(self._clock())
        assumed = known.assumed
        known.learn(payload, done.payload, done.work_s, self._lanes)
        if assumed and not known.assumed and self.on_measured is not None:
            self._tasks.create_task(self.on_measured())
        return done.payload

    async def prepare(self, workload: str, model: str, say: Say | None = None) -> None:
        """Fetch, check and load a model, so that the next job finds it warm. Raises the model's errors.

        Where requesters are kept apart nothing is loaded: nobody knows yet for whom.
        """
        if self.reread is not None:
            self._catalogue = await asyncio.to_thread(self.reread)
            self._leave_old(workload, model)
        known = self._of(workload, model)
        self._check_able(known)
        if known.workload.apart:
            await self._files.ensure(known.entry, *([] if say is None else [say]))
            return
        slot = self._slot_for(known, "")
        slot.users += 1
        try:
            await self._ready(slot, say)
        finally:
            slot.left(self._clock())

    def _leave_old(self, workload: str, model: str) -> None:
        """What is known of a model whose entry is another one by now counts no more."""
        known = self._known.get((workload, model))
        if known is None or known.entry.digest == self._catalogue.entry(workload, model).digest:
            return
        del self._known[workload, model]
        for slot in self._slots_of(known):
            slot.retired = True
            self._slots.pop((workload, model, slot.group), None)
            slot.closing.set()
            if not slot.lives:
                self._all.discard(slot)

    def _check_able(self, known: Known) -> None:
        """Raise what keeps this machine from running a model at all."""
        workload = known.workload.name
        if missing := engines.missing(workload):
            raise EngineNotLoaded(
                f"The engine for {workload} is not installed here. Install Mesh with its `{workload}` extra.",
                missing=missing,
            )
        if workload == "chat":
            processor.check()

    def assume(self, workload: str, model: str) -> None:
        """Offer a model before it is here, at a plain core's speed: the first job brings it. Raises EngineNotLoaded,
        ProcessorTooOld.
        """
        known = self._of(workload, model)
        self._check_able(known)
        known.assume(self._lanes)

    def measured(self, workload: str, model: str) -> bool:
        """Whether a job or a rehearsal has shown its speed here."""
        known = self._of(workload, model)
        return known.speed is not None and not known.assumed

    async def measure(self, workload: str, model: str) -> ModelOffer:
        """Measure this device's speed with made-up input, loading the engine first; a second or two.

        A workload that has no such input is offered at a plain core's speed, until its first job tells more.
        """
        known = self._of(workload, model)
        await self.prepare(workload, model)
        small, large = (known.workload.rehearsal(pieces) for pieces in (1, SAMPLE_PIECES * self._lanes))
        if known.workload.assumed_s:
            known.assume(self._lanes)
        if small is None or large is None:
            return self.offer(workload, model)
        assumed, known.speed = known.speed, None  # the samples are taken as they are
        try:
            speed = speed_from(await self._sample(known, small), await self._sample(known, large))
        except MeshError:
            known.speed = assumed
            if assumed is None:
                raise
            return self.offer(workload, model)
        known.speed, known.assumed = speed, False
        return self.offer(workload, model)

    def offer(self, workload: str, model: str) -> ModelOffer:
        """What is known of a model on this device now; a rate of 0 means that it was not measured yet."""
        known = self._of(workload, model)
        return ModelOffer(
            workload=workload,
            model=model,
            units_per_s=known.speed.units_per_s_now if known.speed else 0.0,
            overhead_s=known.speed.overhead_s_now if known.speed else 0.0,
            cold_load_s=self._cold_load_s(known),
            warm=any(slot.warm for slot in self._slots_of(known)),
            digest=known.entry.digest,
        )

    def recall(self, offer: ModelOffer) -> None:
        """Take over what was measured before a restart, if it was of this very model."""
        known = self._of(offer.workload, offer.model)
        if offer.digest == known.entry.digest and offer.units_per_s > 0:
            known.speed = Speed(offer.units_per_s, offer.overhead_s)
            known.load_s = offer.cold_load_s

    def expected_s(self, workload: str, model: str, units: int) -> float | None:
        """Seconds of work in a job of ``units``, overhead included; None if the speed was not measured."""
        speed = self._of(workload, model).speed
        return None if speed is None else speed.expected_s(units)

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        return tuple(dict.fromkeys(slot.entry.id for slot in self._all if slot.warm))

    def limit_others(self, share: float) -> None:
        """Let other people's jobs use this share (0..1) of the lanes, at least one; the rest are kept for the owner."""
        self._others_lanes = max(1, int(self._lanes * share + 1e-9))
        for slot in self._all:
            if slot.process is not None and slot.process.alive:
                slot.process.limit_others(self._others_lanes)

    def processes(self) -> dict[str, int]:
        """Process ids of the loaded models; those of one model for several requesters are numbered."""
        return {slot.name: slot.process.pid for slot in self._all if slot.process and slot.warm}

    def isolation(self, workload: str, model: str) -> Isolation | None:
        """How far the model's process is confined; None while it is not loaded."""
        for slot in self._slots_of(self._of(workload, model)):
            if slot.process and slot.warm:
                return slot.process.loaded.isolation
        return None

    def unload(self, workload: str, model: str) -> None:
        """Stop a model's processes; jobs in them fail. They are started again when a job needs them."""
        for slot in self._slots_of(self._of(workload, model)):
            slot.closing.set()

    def _of(self, workload: str, model: str) -> Known:
        known = self._known.get((workload, model))
        if known is None:
            known = Known(workload_named(workload), self._catalogue.entry(workload, model))
            self._known[workload, model] = known
        return known

    def _slots_of(self, known: Known) -> list[Slot]:
        return [slot for slot in self._all if slot.known is known]

    def _slot_for(self, known: Known, group: str) -> Slot:
        key = (known.workload.name, known.entry.id, group)
        slot = self._slots.get(key)
        if slot is None:
            known.started += 1
            slot = self._slots[key] = Slot(known, group)
            self._all.add(slot)
            if known.workload.apart:
                self._make_room(known)
        return slot

    def _make_room(self, known: Known) -> None:
        """A further requester came: of the processes that wait for others, only the latest stay."""
        idle = [slot for slot in self._slots_of(known) if slot.warm and slot.users == 0]
        for slot in sorted(idle, key=lambda one: one.used_at)[: max(0, len(idle) - APART_IDLE_MAX)]:
            self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        """Let an idle slot go; a shared one stays, empty, for the next job."""
        slot.closing.set()
        if slot.known.workload.apart:
            self._slots.pop((slot.known.workload.name, slot.entry.id, slot.group), None)

    async def _ready(self, slot: Slot, say: Say | None) -> EngineProcess:
        """The slot's process, started if need be. Callers share one start; one that is cancelled does not stop it."""
        if slot.process is not None and slot.process.alive:
            return slot.process
        if slot.getting_ready is None:
            slot.getting_ready = asyncio.get_running_loop().create_future()
            slot.closing = asyncio.Event()
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

    async def _live(self, slot: Slot, ready: asyncio.Future[EngineProcess]) -> None:
        """A process's life: fetch, load, serve until it ends or is to be closed."""
        entry = slot.entry
        closing = slot.closing
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
                slot.known.load_s = self._clock() - loading
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
            if slot.retired or (slot.known.workload.apart and not slot.users):
                self._forget(slot)

    def _forget(self, slot: Slot) -> None:
        """A process that was not for all has ended: nothing of it is kept."""
        self._all.discard(slot)
        key = (slot.known.workload.name, slot.entry.id, slot.group)
        if self._slots.get(key) is slot:
            del self._slots[key]

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
            for slot in list(self._all):
                idle_s = min(self._idle_s, APART_IDLE_S) if slot.known.workload.apart else self._idle_s
                if slot.warm and slot.users == 0 and self._clock() - slot.used_at >= idle_s:
                    self._drop(slot)

    def _cold_load_s(self, known: Known) -> float:
        """Seconds until it is loaded; one that is fetched with its first job has its way here before it."""
        if known.load_s or not known.entry.on_demand or self._files.present(known.entry):
            return known.load_s
        return known.entry.size_bytes / FETCH_BYTES_S

    async def _sample(self, known: Known, payload: Payload) -> Sample:
        """The median of some tries; of what is assumed until it is measured, one: a token takes as long as a text."""
        seconds = []
        for _ in range(1 if known.workload.assumed_s else SAMPLE_TIMES):
            started = self._clock()
            result = await self.run(known.workload.name, known.entry.id, payload, limit_s=SAMPLE_LIMIT_S)
            seconds.append(self._clock() - started)
        return Sample(units_of_time(known.workload, payload, result), median(seconds))
