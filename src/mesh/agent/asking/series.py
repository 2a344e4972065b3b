"""Permits in series, as their requester uses them: kept per kind of job, renewed in the background, closed when unused.

A kind is everything of a job but its size: workload, model, sensitivity, routing, needs, limits. The second job of a
kind within a minute has a series asked for; from then on no job of that kind waits for the coordinator, also while it
restarts. Where one's own devices are best there is no permit: what the coordinator said of them is used for a moment.

Touches: the event loop; the outbox and, through the planner, the coordinator (its arguments).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from mesh.agent.asking.answers import Signer
from mesh.agent.asking.job import Job
from mesh.agent.asking.plan import Plan, Series
from mesh.agent.outbox import Outbox
from mesh.agent.store import StoreBroken
from mesh.concurrency import Spawn
from mesh.errors import MeshError
from mesh.ids import DeviceId, RequestId
from mesh.jobs.series import SERIES_JOBS_MAX, series_jobs
from mesh.protocol.link import PermitRequest
from mesh.protocol.permit import Permit
from mesh.protocol.values import JobSpec

AGAIN_S = 60.0
"""A kind that came twice within a minute is in use. A single job has a permit of its own, with nothing held besides."""
IDLE_S = 60.0
"""A series that nobody used for a minute is closed, so that its hold comes back before its time is over."""
RETRY_S = 10.0
"""After a series was refused: jobs go on with permits of their own, and balances change slowly."""
RATE_S = 30.0
"""Over what time the rate of jobs is averaged."""
LOOK_S = 5.0
"""How often unused series are looked for."""
TURN = 1_000_000
"""The turn of a job's asking under which a series is asked for: far above its own plans."""
KINDS_MAX = 64
"""Kinds of job that one device asks for at a time; the one unused for longest is forgotten for a new one."""

log = structlog.get_logger()

Ask = Callable[[PermitRequest], Awaitable[Plan]]


def kind_of(spec: JobSpec) -> JobSpec:
    """What a job has in common with all of its kind: everything but its size."""
    return msgspec.structs.replace(spec, units=0)


class _Kind:
    """What is known of the use of one kind of job."""

    def __init__(self) -> None:
        self.series: Series | None = None
        self.used_at = -math.inf
        self.asking = False
        self.not_before = -math.inf
        self.units = 0.0
        self._count = 0.0
        self._began_at = math.inf

    def note(self, units: int, now: float) -> None:
        """Another job came."""
        self._began_at = min(self._began_at, now)
        self._count = self._count * math.exp(-(now - self.used_at) / RATE_S) + 1
        self.units += (units - self.units) / min(self._count, 10.0)
        self.used_at = now

    @property
    def jobs_per_s(self) -> float:
        """How often jobs came lately; a kind that has just begun is judged by its first seconds."""
        return self._count / min(RATE_S, max(1.0, self.used_at - self._began_at))


class SeriesBook:
    """All series of this requester."""

    def __init__(self, signer: Signer, outbox: Outbox) -> None:
        """``signer`` and ``outbox`` say what is closed."""
        self.spawn: Spawn
        """Set by the wiring, as ``ask`` is by the planner."""
        self.ask: Ask
        self._signer = signer
        self._outbox = outbox
        self._kinds: dict[JobSpec, _Kind] = {}
        self._some = asyncio.Event()

    def plan(self, job: Job, request: Callable[[int], RequestId], *, epoch: int, now_ms: int) -> Plan | None:
        """Where a job may go under a series that is open; None: ask for a permit of its own.

        ``request`` makes the id under which the next series is asked for, if that is due.
        """
        key = kind_of(job.spec)
        now = asyncio.get_running_loop().time()
        kind = self._kinds.get(key) or self._new(key)
        again = not job.plans and now - kind.used_at <= AGAIN_S  # the same job, planned anew, is no further one
        if not job.plans:
            kind.note(job.units, now)
        if kind.series is not None and kind.series.over(now_ms, epoch):
            self._retire(kind)
        series = kind.series
        if (again if series is None else series.wants_next(now_ms)) and not kind.asking and now >= kind.not_before:
            kind.asking = True
            self.spawn(self._next(kind, _of_kind(kind, key, request(TURN)), epoch, now_ms))
        if series is None or job.alone:
            return None
        return series.plan_for(job.units, job.spec.max_cost, job.avoid())

    async def renew(self, spec: JobSpec, request: RequestId, *, epoch: int, now_ms: int) -> bool:
        """Ask for the next series of a kind at once: the one in use does not know who could do such jobs by now.

        What waits under the old one is planned anew when the new one is there. False: not now, ask again in a while.
        """
        key = kind_of(spec)
        kind = self._kinds.get(key)
        if kind is None or (kind.series is None and not kind.asking):
            return True
        if kind.asking or kind.not_before > asyncio.get_running_loop().time():
            return False
        kind.asking = True
        await self._next(kind, _of_kind(kind, key, request), epoch, now_ms)
        return True

    def give_up(self, series: Series) -> None:
        """No device takes work under it any more: the next job is placed by what the coordinator knows now."""
        for kind in self._kinds.values():
            if kind.series is series:
                kind.not_before = asyncio.get_running_loop().time() + RETRY_S
                self._retire(kind)

    def answered(self, job: Job) -> None:
        """The answers to all attempts of a job are durable."""
        for tried in job.tried:
            series = tried.plan.series
            if series is not None and tried.submitted:
                series.unanswered -= 1
                series.answers[tried.target.device] += 1
                if series.retired:
                    self._close(series)

    async def run(self) -> None:
        """Close what nobody uses any more, until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(LOOK_S)
            now = asyncio.get_running_loop().time()
            for key, kind in list(self._kinds.items()):
                if now - kind.used_at > IDLE_S:
                    self._retire(kind)
                    if not kind.asking:
                        del self._kinds[key]
            if not self._kinds:
                self._some.clear()

    def close(self) -> list[asyncio.Task[None]]:
        """Close all; returns what still writes that down."""
        closing = [self._retire(kind) for kind in self._kinds.values()]
        self._kinds.clear()
        return [task for task in closing if task is not None]

    def _new(self, key: JobSpec) -> _Kind:
        if len(self._kinds) >= KINDS_MAX:
            oldest = min(self._kinds, key=lambda kind: self._kinds[kind].used_at)
            self._retire(self._kinds.pop(oldest))
        self._some.set()
        self._kinds[key] = kind = _Kind()
        return kind

    async def _next(self, kind: _Kind, request: PermitRequest, epoch: int, now_ms: int) -> None:
        try:
            plan = await self.ask(request)
        except MeshError as error:
            log.info("series.refused", code=error.wire_code)
            kind.not_before = asyncio.get_running_loop().time() + RETRY_S
            return
        finally:
            kind.asking = False
        self._retire(kind)
        budget = request.jobs * plan.rate.cost(request.spec.units)
        kind.series = Series(plan, budget=budget, epoch=epoch, now_ms=now_ms)
        if kind not in self._kinds.values():  # it was forgotten meanwhile
            self._retire(kind)

    def _retire(self, kind: _Kind) -> asyncio.Task[None] | None:
        series, kind.series = kind.series, None
        if series is None:
            return None
        series.retired = True
        return self._close(series)

    def _close(self, series: Series) -> asyncio.Task[None] | None:
        if series.plan.permit is None or series.unanswered:
            return None
        return self.spawn(self._no_more(series.plan.permit, series.answers))

    async def _no_more(self, permit: Permit, answers: dict[DeviceId, int]) -> None:
        """Say, durably, how many attempts were answered at each candidate, and that no more will come."""
        tokens = [self._signer.no_more(permit.permit, count, worker) for worker, count in answers.items()]
        try:
            await self._outbox.add_facts(tokens)
        except StoreBroken as error:
            log.error("series.not_closed", code=error.code)  # its hold ends with the permit's time


def _of_kind(kind: _Kind, key: JobSpec, request: RequestId) -> PermitRequest:
    """The question for a series, by how much of its kind came lately."""
    spec = msgspec.structs.replace(key, units=max(1, round(kind.units)))
    return PermitRequest(request, None, spec, jobs=min(series_jobs(kind.jobs_per_s), SERIES_JOBS_MAX))
