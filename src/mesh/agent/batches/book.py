"""All batches of this device: taken up, run, ended, erased after a week. They survive whatever happens to the agent.

Touches: the agent's store, files of the home (through arguments), the clock, randomness (ids), threads.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Sequence

import msgspec
import structlog

from mesh.agent.batches import rows
from mesh.agent.batches.files import Incoming
from mesh.agent.batches.rows import BatchRow, Terms
from mesh.agent.batches.run import BatchRun, Room, World
from mesh.agent.batches.tally import Tally
from mesh.agent.store import StoreBroken
from mesh.errors import MeshError
from mesh.ids import ULID_RANDOM_BYTES, BatchId, is_ulid, ulid
from mesh.jobs.batches import ENDED, KEEP_S, BatchState, become
from mesh.jobs.spec import check_spec
from mesh.sdk.batches import SubmitBatch
from mesh.workloads.known import workload_named

BATCHES_MAX = 1000
"""Batches kept at once: a list of them is one answer."""
SWEEP_S = 3600.0
RETRY_S = 30.0
"""A batch whose records could not be written is taken up again so much later."""
DAMAGED = "batch.damaged"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}")

log = structlog.get_logger()


class UnknownBatch(MeshError):
    """There is no such batch on this device. `mesh batch list` shows those that are."""

    code = "batch.unknown"
    kind = "not_found"


class BatchDiffers(MeshError):
    """A batch of this name has other content or other terms. Choose another name, or erase that one."""

    code = "batch.differs"
    kind = "conflict"


class BadBatchName(MeshError):
    """A batch's name has up to 100 letters, digits and `. _ : @ -`, begins with a letter or digit, and is no id."""

    code = "batch.bad_name"
    kind = "invalid"


class TooManyBatches(MeshError):
    """This device keeps 1,000 batches. Erase old ones: `mesh batch delete ID`."""

    code = "batch.too_many"
    kind = "too_many"


class NotEnded(MeshError):
    """This batch is still going on. Wait for it, or cancel it first: `mesh batch cancel ID`."""

    code = "batch.not_ended"
    kind = "conflict"


class Kept:
    """A batch as the agent holds it: its row, what became of its lines, and its run while it has one."""

    def __init__(self, row: BatchRow, tally: Tally) -> None:
        self.row = row
        self.tally = tally
        self.run: BatchRun | None = None
        self.message = ""

    def now(self) -> BatchRow:
        """The row as it is now."""
        return self.row if self.run is None else self.run.row


class Batches:
    """The agent's batches. ``run`` does the work; the rest may be called while it runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[BatchId, Kept] = {}
        self._room = Room()
        self._group: asyncio.TaskGroup | None = None
        self._runs: dict[BatchId, asyncio.Task[None]] = {}
        self._submitting = asyncio.Lock()
        self._leaving = False

    async def open(self) -> None:
        """Remember what there is. Call it before ``run``. Raises StoreBroken."""
        known = await self._world.store.write(rows.all_batches)
        sums = await self._world.store.write(rows.sums)
        self._kept = {row.id: Kept(row, Tally()) for row in known}
        for sum_ in sums:
            if sum_.batch in self._kept:
                self._kept[sum_.batch].tally.add(sum_.code, sum_.device, sum_.charge, sum_.lines)
        await asyncio.to_thread(self._world.files.open, set(self._kept), time.time())

    async def run(self) -> None:
        """Run what is to be run, and erase what is old, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for kept in list(self._kept.values()):
                if kept.row.state not in ENDED:
                    self._start(kept)
            while True:
                await self._sweep()
                await asyncio.sleep(SWEEP_S)

    async def stop(self) -> None:
        """Cancel what is under way; it goes on in the agent's next life."""
        self._leaving = True
        for batch in list(self._runs):
            await self._leave(batch, None)

    # --- what may be asked --------------------------------------------------------------------------------------------

    def all(self) -> Sequence[Kept]:
        """All batches, newest first."""
        return [self._kept[batch] for batch in sorted(self._kept, reverse=True)]

    def find(self, named: str) -> Kept:
        """A batch by id or name. Raises UnknownBatch."""
        kept = self._kept.get(BatchId(named))
        if kept is not None:
            return kept
        for one in self._kept.values():
            if one.row.name == named:
                return one
        raise UnknownBatch

    async def submit(self, request: SubmitBatch) -> tuple[Kept, bool]:
        """Take up a batch; True: it was submitted before. Raises BatchDiffers and what its input is refused for."""
        try:
            if request.name is not None and (not _NAME.fullmatch(request.name) or is_ulid(request.name)):
                raise BadBatchName
            workload = workload_named(request.workload)
            model = request.model or workload.default_model
            terms = Terms(workload.name, model, request.sensitivity, request.routing, request.limit_s, request.need)
            check_spec(terms.spec(request.max_cost))
            async with self._submitting:
                return await self._take_up(request, msgspec.msgpack.encode(terms))
        finally:
            await asyncio.to_thread(self._world.files.discard, request.file)

    async def _take_up(self, request: SubmitBatch, terms: bytes) -> tuple[Kept, bool]:
        incoming = await asyncio.to_thread(self._world.files.take, request.file)
        digest = hashlib.sha256(msgspec.msgpack.encode((terms, request.max_cost, incoming.digest))).digest()
        same = next((one for one in self._kept.values() if request.name and one.row.name == request.name), None)
        if same is not None:
            if same.row.digest != digest:
                raise BatchDiffers(batch=same.row.id)
            return same, True
        if len(self._kept) >= BATCHES_MAX:
            raise TooManyBatches
        return await self._add(request, incoming, terms, digest), False

    async def _add(self, request: SubmitBatch, incoming: Incoming, terms: bytes, digest: bytes) -> Kept:
        now_ms = self._world.now_ms()
        batch = BatchId(ulid(now_ms, secrets.token_bytes(ULID_RANDOM_BYTES)))
        row = BatchRow(
            batch, request.name, digest, terms, incoming.lines, "running", "", request.max_cost, now_ms, now_ms,
            await self._world.numbers.block(incoming.lines), 0,
        )  # fmt: skip
        await asyncio.to_thread(self._world.files.keep, incoming, batch)
        await self._world.store.write(rows.add(row))
        kept = self._kept[batch] = Kept(row, Tally())
        self._start(kept)
        return kept

    async def cancel(self, kept: Kept) -> None:
        """Stop what runs and leave what is done; a batch that has ended stays as it ended."""
        if kept.row.id in self._runs:
            await self._leave(kept.row.id, "cancelled")
        elif kept.row.state not in ENDED or kept.row.state == "stopped":
            await self._save(kept, kept.row._replace(state=become(kept.row.state, "cancelled"), code=""))

    async def resume(self, kept: Kept, max_cost: int | None, *, failed: bool) -> None:
        """Go on with a batch that has ended. Raises NotEnded."""
        if kept.row.id in self._runs or kept.row.state not in ENDED:
            raise NotEnded
        if failed:
            await self._world.store.write(rows.forget_failed(kept.row.id))
            kept.tally.failures.clear()
        limit = kept.row.max_cost if max_cost is None else max_cost
        number = await self._world.numbers.block(kept.row.lines)  # its jobs have been answered: they begin anew
        state = become(kept.row.state, "running")
        row = kept.row._replace(state=state, code="", max_cost=limit, job_number=number, lives=0)
        await self._save(kept, row)
        self._start(kept)

    async def delete(self, kept: Kept) -> None:
        """Erase a batch with all that it keeps."""
        batch = kept.row.id
        if batch in self._runs:
            await self._leave(batch, "cancelled")
        self._kept.pop(batch, None)
        await asyncio.to_thread(self._world.files.erase, batch)
        while await self._world.store.write(rows.erase_lines(batch)):
            pass
        await self._world.store.write(rows.erase(batch))

    # --- running ------------------------------------------------------------------------------------------------------

    def _start(self, kept: Kept) -> None:
        if self._group is None or self._leaving:
            return  # the agent's next life, or ``run`` in a moment, takes it up
        task = self._group.create_task(self._run(kept))
        self._runs[kept.row.id] = task

    async def _run(self, kept: Kept) -> None:
        """Run one batch; what is wrong with its files or records ends or delays it, never the agent."""
        try:
            while not self._leaving and kept.row.state not in ENDED:
                try:
                    run = kept.run = BatchRun(kept.row, kept.tally, self._world, self._room)
                    await run.run()
                    kept.message = run.message
                    return
                except (MeshError, OSError) as error:
                    reason: BaseException = error
                except BaseExceptionGroup as group:
                    _, rest = group.split((MeshError, OSError))
                    if rest is not None:
                        raise
                    reason = group
                finally:
                    if kept.run is not None:
                        kept.row, kept.run = kept.run.row, None
                await self._stumbled(kept, reason)
        finally:
            self._runs.pop(kept.row.id, None)

    async def _stumbled(self, kept: Kept, reason: BaseException) -> None:
        log.error("batch.stumbled", batch=kept.row.id, error=type(reason).__name__)
        gone = reason.split(OSError)[0] if isinstance(reason, BaseExceptionGroup) else reason
        if isinstance(gone, OSError | BaseExceptionGroup):  # its files cannot be read
            kept.message = "The batch's files in MESH_HOME cannot be read. Erase the batch and submit it again."
            await self._save(kept, kept.row._replace(state="stopped", code=DAMAGED))
        else:
            await asyncio.sleep(RETRY_S)

    async def _leave(self, batch: BatchId, end_as: BatchState | None) -> None:
        task, kept = self._runs.get(batch), self._kept[batch]
        if task is None:
            return
        if kept.run is not None:
            kept.run.leave(end_as)
            await asyncio.wait([task])
            return
        task.cancel()  # it has not begun, or waits to be taken up again
        await asyncio.wait([task])
        self._runs.pop(batch, None)
        if end_as is not None:
            await self._save(kept, kept.row._replace(state=end_as, code=""))

    async def _save(self, kept: Kept, row: BatchRow) -> None:
        kept.row = row._replace(changed_ms=self._world.now_ms())
        try:
            await self._world.store.write(rows.save(kept.row))
        except StoreBroken:
            log.error("batch.not_saved", batch=row.id)

    async def _sweep(self) -> None:
        """Erase what ended a week ago."""
        before_ms = self._world.now_ms() - round(KEEP_S * 1000)
        for kept in list(self._kept.values()):
            if kept.row.id not in self._runs and kept.row.state in ENDED and kept.row.changed_ms < before_ms:
                log.info("batch.erased", batch=kept.row.id)
                await self.delete(kept)
