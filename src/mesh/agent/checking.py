"""Doing jobs of this device again that the coordinator drew, one after the other, and signing what came of it.

Input and result never leave the owner's devices: this one's own engine does it, or another device of the owner. Where
there is none the verdict is ``skipped``, and so it is where anything goes wrong here: a miss is only ever an answer
that was compared.

Touches: engines and the coordinator's link (through its arguments), randomness (which parts), threads (comparing).
"""

import asyncio
import random
from contextlib import suppress
from typing import Literal, Protocol

import structlog

from mesh.agent.asking.asked import Ask
from mesh.agent.asking.recent import Done
from mesh.agent.desk import Parts
from mesh.agent.engines.offering import Offering
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.protocol import link
from mesh.protocol.values import Routing
from mesh.transport.link import LinkDown
from mesh.workloads import comparing
from mesh.workloads.contract import Payload, Turn
from mesh.workloads.known import workload_named

WAITING_MAX = 64
"""Checks that wait; beyond that they are late anyway, and the coordinator counts them as skipped."""
LIMIT_S = 120.0
"""One check: the largest job is half a minute of a laptop."""

log = structlog.get_logger()

Outcome = Literal["passed", "missed", "skipped"]


class Engines(Protocol):
    """This device's own engines."""

    async def run(self, workload: str, model: str, payload: Payload, *, limit_s: float, turn: Turn = ...) -> Payload:
        """Do a job and return its result."""
        ...


class Checking:
    """All checks that this device is asked for."""

    def __init__(self, parts: Parts, engines: Engines, offering: Offering) -> None:
        self._membership = parts.membership
        self._coordination = parts.coordination
        self._requester = parts.requester
        self._engines = engines
        self._offering = offering
        self._waiting: asyncio.Queue[link.Check] = asyncio.Queue(WAITING_MAX)
        parts.coordination.on_check = self._asked

    async def run(self) -> None:
        """Do what is asked until cancelled."""
        while True:
            check = await self._waiting.get()
            outcome = await self._outcome(check)
            log.info("check.done", job=check.job, device=check.worker, outcome=outcome)
            with suppress(LinkDown):
                await self._coordination.send(link.Judged(self._requester.verdict(check, outcome)))

    def _asked(self, check: link.Check) -> None:
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(check)

    async def _outcome(self, check: link.Check) -> Outcome:
        done = self._requester.recent.take(check.job, check.attempt, asyncio.get_running_loop().time())
        if done is None or done.worker != check.worker:
            return "skipped"
        try:
            return "passed" if await self._right(done) else "missed"
        except (MeshError, TimeoutError) as error:
            code = error.wire_code if isinstance(error, MeshError) else "timed_out"
            log.info("check.skipped", job=check.job, code=code)
            return "skipped"

    async def _right(self, done: Done) -> bool:
        """Whether the answer is the one that an engine of the owner's own gives. Raises as ``comparing`` does."""
        name = done.spec.workload
        drawing = comparing.drawing(name, done.payload, done.result)
        rows = sorted(random.SystemRandom().sample(range(drawing.parts), drawing.looked_at))
        payload = comparing.again(done.spec, done.payload, done.result, rows)
        async with asyncio.timeout(LIMIT_S):
            mine = await self._again(done, payload)
        return await asyncio.to_thread(comparing.same, name, done.result, mine, rows)

    async def _again(self, done: Done, payload: Payload) -> Payload:
        name, model = done.spec.workload, done.spec.model
        if self._offers(name, model):
            # Not before others' jobs here: nobody waits for it.
            return await self._engines.run(name, model, payload, limit_s=LIMIT_S, turn=Turn(self._membership.me))
        device = self._own_device(name, model)
        if device is None:
            raise comparing.NotCheckable
        ask = Ask(workload_named(name), payload, model=model, routing=Routing("device", device), limit_s=LIMIT_S)
        return (await self._requester.run(ask)).payload

    def _offers(self, workload: str, model: str) -> bool:
        return any((one.workload, one.model) == (workload, model) for one in self._offering.offers())

    def _own_device(self, workload: str, model: str) -> DeviceId | None:
        for known in self._membership.own.values():
            offers = {(one.workload, one.model) for one in known.capability.offers}
            if known.online and self._membership.is_own(known.device) and (workload, model) in offers:
                return known.device
        return None
