"""A job that waits until a device is there: it is asked again and again under one id, and says why meanwhile.

Touches: the event loop, the requester (through its arguments).
"""

import asyncio
from collections.abc import Callable

from mesh.agent.asking.asked import Again, AllBusy, Ask, OnProgress, Result
from mesh.agent.asking.requester import Requester
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.jobs.batches import same_job, wait_s
from mesh.units import DAY

WAIT_S_MAX = float(DAY)
"""Nobody looks at a command for longer; what is to wait for days is a batch."""
PATIENT_KINDS = frozenset({"nowhere", "unreachable"})
"""What passes when a device comes, the coordinator is back, or credits are there."""

OnWait = Callable[[JobId, MeshError, float], None]


class Patience:
    """Runs jobs that may wait."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    async def run(self, ask: Ask, on_progress: OnProgress, on_wait: OnWait) -> Result:
        """Run a job as soon as somebody can do it. Raises whatever waiting does not help against."""
        end = asyncio.get_running_loop().time() + WAIT_S_MAX
        numbered = await self._requester.numbered()
        turn = 0
        while True:
            try:
                return await self._requester.run(ask._replace(again=Again(numbered, 0)), on_progress)
            except MeshError as error:
                patient = error.wire_kind in PATIENT_KINDS or error.wire_code == AllBusy.code
                if not patient or asyncio.get_running_loop().time() > end:
                    raise
                after = error.facts.get("retry_after_s")
                pause_s = wait_s(turn, after if error.wire_code == AllBusy.code and isinstance(after, float) else None)
                turn += 1
                on_wait(numbered.job, error, pause_s)
                if not same_job(error.wire_code):
                    numbered = await self._requester.numbered()
            await asyncio.sleep(pause_s)
