"""What the command line may ask about batches, answered.

Touches: the clock (watching).
"""

import asyncio
from collections.abc import Callable

import msgspec

from mesh.agent.batches import rows
from mesh.agent.batches.book import Batches, Kept
from mesh.agent.batches.files import BatchFiles, Outcome
from mesh.agent.batches.rows import LineRow, Terms
from mesh.agent.store import Store
from mesh.ids import DeviceId, JobId
from mesh.jobs.batches import ENDED, eta_s
from mesh.sdk import batches as said
from mesh.sdk.control import Ok
from mesh.sdk.lines import Answer

WATCH_S = 0.5
"""A person's eye needs no more; a watcher is told at least every ``SILENCE_S``."""
SILENCE_S = 5.0

_terms: msgspec.msgpack.Decoder[Terms] = msgspec.msgpack.Decoder(Terms)


class BatchDesk:
    """Answers requests about batches."""

    def __init__(self, batches: Batches, store: Store, files: BatchFiles) -> None:
        self._batches = batches
        self._store = store
        self._files = files

    async def answer(self, request: said.AnyBatchRequest, say: Callable[[Answer], None]) -> Answer:
        """Do what is asked. Raises MeshErrors for the asker."""
        batches = self._batches
        if isinstance(request, said.SubmitBatch):
            kept, again = await batches.submit(request)
            return msgspec.structs.replace(await self._view(kept), again=again)
        if isinstance(request, said.GetBatches):
            return said.Batches(tuple([await self._view(kept) for kept in batches.all()]))
        kept = batches.find(request.batch)
        if isinstance(request, said.GetResults):
            return await self._results(kept, request)
        if isinstance(request, said.DeleteBatch):
            await batches.delete(kept)
            return Ok()
        if isinstance(request, said.GetBatch):
            return await self._watch(kept, say) if request.watch else await self._view(kept)
        if isinstance(request, said.CancelBatch):
            await batches.cancel(kept)
        else:
            await batches.resume(kept, request.max_cost, failed=request.failed)
        return await self._view(kept)

    async def _watch(self, kept: Kept, say: Callable[[Answer], None]) -> said.Batch:
        loop = asyncio.get_running_loop()
        told: tuple[object, ...] = ()
        told_at = 0.0
        while kept.now().state not in ENDED:
            row = kept.now()
            now = (row.state, row.code, kept.tally.ended)
            if now != told or loop.time() - told_at >= SILENCE_S:
                told, told_at = now, loop.time()
                say(msgspec.structs.replace(await self._view(kept), last=False))
            await asyncio.sleep(WATCH_S)
        return await self._view(kept)

    async def _view(self, kept: Kept) -> said.Batch:
        row, tally, run = kept.now(), kept.tally, kept.run
        terms = _terms.decode(row.terms)
        lines_per_s = 0.0 if run is None else run.pace()
        going = row.state == "running"
        return said.Batch(
            batch=row.id,
            workload=terms.workload,
            model=terms.model,
            state=row.state,
            lines=row.lines,
            ok=tally.ok,
            failed=tally.failures.total(),
            running=0 if run is None else run.running,
            charge=tally.charge,
            name=row.name,
            max_cost=row.max_cost,
            code=row.code,
            message=kept.message if run is None else run.message,
            lines_per_s=round(lines_per_s, 3),
            eta_s=eta_s(row.lines - tally.ended, lines_per_s) if going else None,
            devices=tuple(said.DeviceShare(DeviceId(one), count) for one, count in tally.devices.most_common()),
            failures=dict(tally.failures),
            created_ms=row.created_ms,
            changed_ms=row.changed_ms,
            bytes=await asyncio.to_thread(self._files.size, row.id),
        )

    async def _results(self, kept: Kept, request: said.GetResults) -> said.Results:
        batch, by_line = kept.row.id, not request.as_they_came
        found = await self._store.write(rows.page(batch, request.after, said.RESULTS_MAX, by_line=by_line))
        size, count = 0, 0
        for row in found:
            size += row.size
            if count and size > said.RESULTS_BYTES_MAX:
                break
            count += 1
        page = found[:count]
        outcomes = await asyncio.to_thread(self._files.read, batch, [(row.start, row.size) for row in page])
        lines = tuple(_line(row, outcome) for row, outcome in zip(page, outcomes, strict=True))
        more = count < len(found) or len(found) == said.RESULTS_MAX
        last = None if not more else page[-1].number if by_line else page[-1].start
        return said.Results(lines, last)


def _line(row: LineRow, outcome: Outcome) -> said.ResultLine:
    result = outcome.result
    return said.ResultLine(
        line=row.number + 1,
        id=outcome.id,
        job=JobId(row.job),
        device=DeviceId(row.device) if row.device else None,
        charge=row.charge,
        manifest=None if result is None else result.manifest,
        blobs=() if result is None else result.blobs,
        error=outcome.error,
    )
