"""Ask other devices for work: plan, try the devices in order, check the result, answer every attempt.

The caller gets a result as soon as it is checked. The chosen attempt is written durably before its ``Used`` leaves, and
every other attempt is answered once; after a crash an attempt that is not remembered stays unanswered, never denied.

Touches: the agent's sessions, outbox and coordinator (through its arguments), randomness (jitter).
"""

import asyncio
from functools import partial
from typing import Any, Literal

import msgspec
import structlog

from mesh.agent.asking.answers import Signer, outgoing, record
from mesh.agent.asking.asked import Ask, JobTimedOut, OnProgress, Result
from mesh.agent.asking.dispatch import Dispatch
from mesh.agent.asking.exchange import Exchanges
from mesh.agent.asking.job import Job, Won
from mesh.agent.asking.lookout import Lookout
from mesh.agent.asking.numbers import Numbered, Numbers
from mesh.agent.asking.planning import Planner
from mesh.agent.asking.recent import Done, Recent, size_of
from mesh.agent.membership import Membership
from mesh.agent.outbox import Outbox
from mesh.agent.peers.sessions import Sessions
from mesh.agent.store import StoreBroken
from mesh.concurrency import Spawn
from mesh.errors import MeshError
from mesh.ids import JobId, RequestId
from mesh.jobs.attempts import Cancelled
from mesh.jobs.placement import NowhereToRun
from mesh.protocol import frames, link, signed
from mesh.protocol.permit import Permit

ANSWER_AFTER_S = 0.005
"""The caller gets the result first; the papers are signed and written when it has gone on."""

log = structlog.get_logger()


class Requester:
    """All jobs that this device asks for."""

    def __init__(
        self, membership: Membership, signer: Signer, outbox: Outbox, sessions: Sessions, planner: Planner,
        numbers: Numbers,
    ) -> None:  # fmt: skip
        self._membership = membership
        self._signer = signer
        self._outbox = outbox
        self._sessions = sessions
        self._planner = planner
        self._numbers = numbers
        self.exchanges = Exchanges(membership, signer, sessions)
        self.dispatch = Dispatch(membership, self.exchanges)
        self.recent = Recent()
        """What was asked of others lately, in case it is to be checked."""
        self.lookout = Lookout(self.dispatch, self.exchanges, sessions)
        self.spawn: Spawn
        self._running: dict[JobId, asyncio.Task[Any]] = {}
        self._answering: dict[asyncio.Task[None], Job] = {}

    @property
    def running(self) -> int:
        """Jobs under way."""
        return len(self._running)

    def cancel(self, job: JobId) -> bool:
        """Cancel a job of this device; False if it is not under way."""
        task = self._running.get(job)
        return task is not None and task.cancel()

    async def stop(self) -> None:
        """Cancel what is under way and write its answers down."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.lookout.stop()
        await self.dispatch.stop()
        await asyncio.gather(*self._answering)
        await asyncio.gather(*self._planner.series.close())

    async def decline(self, token: str) -> None:
        """Close a permit that came when nobody waited for it: nothing was sent under it, so its hold ends at once."""
        permit = signed.peek(token, Permit)
        workers = [None] if permit.job is not None else [candidate.device for candidate in permit.candidates]
        try:
            await self._outbox.add_facts([self._signer.no_more(permit.permit, 0, worker) for worker in workers])
        except StoreBroken as error:
            log.error("requester.permit_not_closed", code=error.code)  # its hold ends with the permit's time

    def verdict(self, check: link.Check, outcome: Literal["passed", "missed", "skipped"]) -> str:
        """The signed word on an attempt that was done again."""
        return self._signer.verdict(check, outcome)

    async def numbered(self) -> Numbered:
        """The id and secret of a further job, for somebody who asks for it more than once."""
        return await self._numbers.job(self._membership.clock.now_ms())

    async def run(self, ask: Ask, on_progress: OnProgress | None = None) -> Result:
        """Do a job somewhere. Raises BadInput, NowhereToRun, AllBusy, JobFailed, JobTimedOut and planning's errors."""
        ask.workload.check(ask.payload)
        units = ask.workload.count(ask.payload, None)
        again = ask.again
        numbered = again.numbered if again else await self.numbered()
        job = Job(numbered, ask, units, on_progress or ask.on_progress)
        job.by_s = asyncio.get_running_loop().time() + ask.limit_s
        task = asyncio.current_task()
        assert task is not None
        self._running[job.id] = task
        error: MeshError | None = None
        won: Won | None = None
        try:
            async with asyncio.timeout(ask.limit_s):
                won = await self._until_done(job)
            self._keep(job, won)
            return self._result(job, won)
        except TimeoutError:
            error = JobTimedOut(job=job.id, limit_s=ask.limit_s)
            raise error from None
        except MeshError as refused:
            error = refused
            raise
        finally:
            del self._running[job.id]
            if job.plans or ask.again is None:  # who asks again under the same id has not failed yet
                answering = self.spawn(self._answer(job, won, "" if won else (error or Cancelled()).wire_code))
                self._answering[answering] = job
                answering.add_done_callback(self._answering.pop)

    async def last_word(self, job: JobId) -> Result | None:
        """What had come of a job before its cancel got there, once that is known: it is paid for. None: nothing."""
        for answering, over in self._answering.items():
            if over.id == job:
                await asyncio.wait((answering,))
                return None if over.cut or over.crossed is None else self._result(over, over.crossed)
        return None

    async def _until_done(self, job: Job) -> Won:
        """Plan and dispatch until there is a result. Raises what the caller should see when there is none."""
        while True:
            now_ms = self._membership.clock.now_ms()
            try:
                plan = await self._planner.plan(job, partial(self._request, job.number, now_ms))
            except MeshError as error:
                if error.wire_code != NowhereToRun.code:
                    raise (job.failure(error) if job.tried else error) from error
                if job.forgive():
                    continue
                # who was turned away by all that were asked is told by which gates the others are out of question
                told = job.tried and not (job.alone and job.refused)
                raise (job.failure(error) if told else error) from error
            job.plans.append(plan)
            outcome = await self.dispatch.do(job, plan)
            if isinstance(outcome, Won):
                return outcome
            if plan.series is not None and job.alone:
                self._planner.series.give_up(plan.series)
            await asyncio.sleep(outcome)

    def _request(self, number: int, now_ms: int, turn: int) -> RequestId:
        return self._numbers.request(number, turn, now_ms)

    def _keep(self, job: Job, won: Won) -> None:
        if won.tried.plan.permit is not None:
            size, now_s = size_of(won.payload, len(job.raw)), asyncio.get_running_loop().time()
            done = Done(won.tried.target.device, job.spec, job.ask.payload, won.payload, now_s, size)
            self.recent.keep(job.id, won.tried.number, done)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _result(self, job: Job, won: Won) -> Result:
        rate, target = won.tried.plan.rate, won.tried.target
        return Result(
            job=job.id,
            device=target.device,
            path=won.tried.path or "direct",
            charge=min(rate.cost(won.units), target.cap),
            units=won.counted,
            model=job.spec.model,
            payload=won.payload,
            attempts=tuple(tried.report() for tried in job.tried),
            explanation=msgspec.structs.replace(job.explanation, choices=tuple(job.choices)),
        )

    async def _answer(self, job: Job, won: Won | None, code: str) -> None:
        """Write the answers durably, then let them go: to the worker, and through the outbox."""
        await asyncio.sleep(ANSWER_AFTER_S)
        if job.last_words:
            await asyncio.wait(job.last_words)
            won = won or (None if job.cut else job.crossed)
        chosen = job.cut if won is None else won.tried
        used = None
        if chosen is not None and chosen.plan.permit is not None:
            units, claim = (chosen.received, None) if won is None else (won.counted, won.claim)
            used = self._signer.used(job, chosen, units, claim)
        tokens = ([] if used is None else [used]) + self._signer.others(job, chosen)
        number = None if chosen is None else chosen.number
        now_ms = self._membership.clock.now_ms()
        try:
            await self._outbox.add_answers(job.id, number, outgoing(tokens, record(job, won, code)), now_ms)
        except StoreBroken as error:
            log.error("requester.answers_not_kept", job=job.id, code=error.code)
            return  # what is not written down is not said: the worker's own claim stands
        self._planner.series.answered(job)
        peer = None if won is None else self._sessions.connected(won.key)
        if won is not None and peer is not None:
            stream = peer.asking_now
            if stream is not None:
                stream.send(frames.Acknowledged(job.id, won.tried.number, used))
