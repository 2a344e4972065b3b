"""Ask other devices for work: plan, try the devices in order, check the result, answer every attempt.

The caller gets a result as soon as it is checked. The chosen attempt is written durably before its ``Used`` leaves, and
every other attempt is answered once; after a crash an attempt that is not remembered stays unanswered, never denied.

Touches: the agent's sessions, outbox and coordinator (through its arguments), randomness (jitter).
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from mesh.agent.answers import Signer, outgoing, record
from mesh.agent.asked import Ask, Job, JobTimedOut, Plan, Result, Target, Tried, Won, WrongResult
from mesh.agent.attempt import Cancelled
from mesh.agent.membership import Membership, PeerRefused
from mesh.agent.numbers import Numbers
from mesh.agent.outbox import Outbox
from mesh.agent.planning import Planner
from mesh.agent.sessions import PeerConnection, Sessions
from mesh.agent.store import StoreBroken
from mesh.agent.stream import SessionStream
from mesh.errors import MeshError, from_wire
from mesh.ids import JobId, RequestId
from mesh.jobs.attempts import End, wait_before_next
from mesh.jobs.placement import NowhereToRun
from mesh.protocol import frames, receipt, signed
from mesh.protocol.frames import AnyFrame, FrameError
from mesh.protocol.session import Key
from mesh.transport.interface import TransportError
from mesh.workloads.contract import Payload

ANSWER_AFTER_S = 0.005
"""The caller gets the result first; the papers are signed and written when it has gone on."""

log = structlog.get_logger()
_payloads: msgspec.msgpack.Decoder[Payload] = msgspec.msgpack.Decoder(Payload)

Last = frames.Done | frames.Fault | frames.Busy | frames.Decline
OnProgress = Callable[[JobId, str, float], None]


class DeviceBusy(MeshError):
    """The device has longer work than this job would wait for. Other devices are tried; else try again later."""

    code = "worker.busy"
    kind = "too_many"


class Missed(Exception):
    """An attempt gave no result."""

    def __init__(self, end: End, error: MeshError) -> None:
        self.end = end
        self.error = error
        super().__init__(end)


class _Waiting:
    """Who waits for an attempt's last word."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self.last: asyncio.Future[Last] = asyncio.get_running_loop().create_future()
        self.on_progress = on_progress


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
        self.spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
        self._waiting: dict[Key, _Waiting] = {}
        self._running: dict[JobId, asyncio.Task[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._beats: dict[SessionStream, list[asyncio.Future[None]]] = {}

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
        await asyncio.gather(*self._answering)
        self._planner.series.close()

    async def beat(self, stream: SessionStream) -> None:
        """Send a beat and wait for its answer: one round trip to the worker."""
        answered = asyncio.get_running_loop().create_future()
        self._beats.setdefault(stream, []).append(answered)
        stream.send(frames.Beat())
        try:
            await answered
        finally:
            self._beats.pop(stream, None)

    async def run(self, ask: Ask, on_progress: OnProgress | None = None) -> Result:
        """Do a job somewhere. Raises BadInput, NowhereToRun, AllBusy, JobFailed, JobTimedOut and planning's errors."""
        ask.workload.check(ask.payload)
        units = ask.workload.count(ask.payload, None)
        again = ask.again
        numbered = again.numbered if again else await self._numbers.job(self._membership.clock.now_ms())
        job = Job(numbered.job, numbered.secret, numbered.number, ask, units)
        task = asyncio.current_task()
        assert task is not None
        self._running[job.id] = task
        error: MeshError = Cancelled()
        won: Won | None = None
        try:
            async with asyncio.timeout(ask.limit_s):
                won = await self._until_done(job, on_progress)
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
                answering = self.spawn(self._answer(job, won, "" if won else error.wire_code))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)

    async def _until_done(self, job: Job, on_progress: OnProgress | None) -> Won:
        """Try device after device. Raises what the caller should see when there is no result."""
        last: MeshError | None = None
        while True:
            now_ms = self._membership.clock.now_ms()
            try:
                plan = await self._planner.plan(job, partial(self._request, job.number, now_ms))
            except MeshError as error:
                if error.wire_code == NowhereToRun.code and job.forgive():
                    continue
                raise (job.failure(last) if job.tried else error) from error
            job.plans.append(plan)
            for place, target in enumerate(plan.targets, start=1):
                try:
                    return await self._attempt(job, target, plan, on_progress)
                except Missed as missed:
                    last = missed.error
                    if missed.end == "failed" and last.wire_code.startswith("input."):
                        raise last from missed  # what is wrong with the input is wrong on every device
                draw = random.random()  # noqa: S311 - spreads load, guards nothing
                wait_s = wait_before_next(job.ends, others_open=place < len(plan.targets), draw=draw)
                if wait_s is None or job.spent:
                    raise job.failure(last)
                await asyncio.sleep(wait_s)

    def _request(self, number: int, now_ms: int, turn: int) -> RequestId:
        return self._numbers.request(number, turn, now_ms)

    # --- one attempt --------------------------------------------------------------------------------------------------

    async def _attempt(self, job: Job, target: Target, plan: Plan, on_progress: OnProgress | None) -> Won:
        """Have one device do the job. Raises Missed."""
        tried = Tried(job.attempts_before + len(job.tried) + 1, target, plan, self._membership.clock.now_ms())
        job.tried.append(tried)
        try:
            try:
                peer = await self._sessions.reach(target.address)
                stream = await peer.asking()
            except MeshError as error:  # no connection, or a peer whose Hello does not hold
                raise Missed("unreached", error) from error
            tried.path = peer.path_kind
            won = await self._exchange(job, tried, peer, stream, on_progress)
        except Missed as missed:
            tried.ended(missed.end, missed.error, self._membership.clock.now_ms())
            if tried.submitted and tried.plan.series is not None and missed.end in ("busy", "declined", "failed"):
                tried.plan.series.given_back(tried)
            raise
        except asyncio.CancelledError:
            tried.ended("failed", Cancelled(), self._membership.clock.now_ms())
            raise
        tried.finished_ms = self._membership.clock.now_ms()
        tried.path = peer.path_kind
        return won

    async def _exchange(
        self, job: Job, tried: Tried, peer: PeerConnection, stream: SessionStream, on_progress: OnProgress | None
    ) -> Won:
        """Submit, wait for the last word, take the result and check it."""
        key = (job.id, tried.number)
        waiting = self._waiting[key] = _Waiting(on_progress)
        try:
            self._submit(job, tried, peer, stream)
            last = await waiting.last
            if not isinstance(last, frames.Done):
                stream.declined(tried.plan)
                raise _missed(last)
            content = last.result
            if content is None:
                content = await peer.blobs.receive(key, _bounded(last.result_size))
            return self._check(job, tried, peer, last, content)
        except asyncio.CancelledError:
            if not waiting.last.done() or waiting.last.cancelled():
                stream.send(frames.Cancel(*key))
            raise
        except TransportError as error:
            raise Missed("lost", error) from error
        except FrameError as error:
            raise Missed("failed", error) from error
        finally:
            del self._waiting[key]
            peer.blobs.forget(key)

    def _submit(self, job: Job, tried: Tried, peer: PeerConnection, stream: SessionStream) -> None:
        digest = receipt.keyed_digest(job.secret, job.raw)
        inline = len(job.raw) <= frames.INLINE_BYTES_MAX
        if stream.closed:
            raise Missed("unreached", stream.failure or PeerRefused())
        tried.submitted, tried.own_key = True, peer.own
        tried.maximum = min(tried.plan.rate.cost(job.units), tried.target.cap)
        if tried.plan.series is not None:
            tried.plan.series.submitted(tried)
        stream.send(
            frames.Submit(
                job=job.id,
                attempt=tried.number,
                signed=self._signer.submit(job, tried, digest, self._membership.clock.now_ms()),
                spec=job.spec,
                secret=job.secret,
                permit=stream.token_for(tried.plan),
                payload=job.raw if inline else None,
                payload_size=0 if inline else len(job.raw),
            )
        )
        if not inline:
            self.spawn(self._send_payload(job, tried, peer))

    async def _send_payload(self, job: Job, tried: Tried, peer: PeerConnection) -> None:
        try:
            await peer.send_blob((job.id, tried.number), job.raw)
        except TransportError:
            log.info("requester.payload_not_sent", job=job.id)  # the session's own end tells the attempt

    def _check(self, job: Job, tried: Tried, peer: PeerConnection, done: frames.Done, content: bytes) -> Won:
        """A result counts only with a sound claim over these very bytes. Raises Missed."""
        try:
            claim = signed.verify(done.claim, receipt.Claim, peer.key, self._membership.network)
            permit = None if tried.plan.permit is None else tried.plan.permit.permit
            names = (permit, self._membership.me, tried.target.device, job.id, tried.number, "done")
            if (claim.permit, claim.requester, claim.worker, claim.job, claim.attempt, claim.outcome) != names:
                raise WrongResult("The worker's receipt is for another job.", reason="claim")
            if claim.output_digest != receipt.keyed_digest(job.secret, content):
                raise WrongResult(reason="digest")
            try:
                result = _payloads.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise WrongResult(reason="form") from error
            job.ask.workload.check_result(job.ask.payload, result)
        except MeshError as error:
            raise Missed("failed", error) from error
        return Won(tried, peer.key, done.claim, min(job.units, claim.units), result)

    # --- what peers say -----------------------------------------------------------------------------------------------

    def frame(self, peer: PeerConnection, stream: SessionStream, frame: AnyFrame) -> None:
        """Act on an answer of an admitted peer."""
        if isinstance(frame, frames.Beat):
            for answered in self._beats.pop(stream, []):
                if not answered.done():
                    answered.set_result(None)
            return
        if isinstance(frame, frames.Hello | frames.Blob):
            return
        waiting = self._waiting.get((frame.job, frame.attempt))
        if waiting is None:
            return  # late news of an attempt that was given up
        if isinstance(frame, frames.Done | frames.Fault | frames.Busy | frames.Decline):
            if not waiting.last.done():
                waiting.last.set_result(frame)
        elif isinstance(frame, frames.Progress) and waiting.on_progress is not None:
            waiting.on_progress(frame.job, frame.stage, frame.fraction)

    def ended(self, peer: PeerConnection, keys: list[Key], error: MeshError) -> None:
        """A session is gone: its attempts are lost."""
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.last.done():
                waiting.last.set_exception(error if isinstance(error, TransportError) else _lost(error))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _result(self, job: Job, won: Won) -> Result:
        rate, target = won.tried.plan.rate, won.tried.target
        return Result(
            job=job.id,
            device=target.device,
            path=won.tried.path or "direct",
            charge=min(rate.cost(won.units), target.cap),
            units=job.units,
            model=job.spec.model,
            payload=won.payload,
            attempts=tuple(tried.report() for tried in job.tried),
            explanation=job.explanation,
        )

    async def _answer(self, job: Job, won: Won | None, code: str) -> None:
        """Write the answers durably, then let them go: to the worker, and through the outbox."""
        await asyncio.sleep(ANSWER_AFTER_S)
        paid = won is not None and won.tried.plan.permit is not None
        used = self._signer.used(job, won) if won is not None and paid else None
        tokens = ([] if used is None else [used]) + self._signer.others(job, won)
        number = won.tried.number if won is not None else None
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


def _missed(last: frames.Fault | frames.Busy | frames.Decline) -> Missed:
    if isinstance(last, frames.Busy):
        return Missed("busy", DeviceBusy())
    error = from_wire(last.error)
    if isinstance(last, frames.Decline):
        if last.retry_after_s is not None:
            error.facts["retry_after_s"] = last.retry_after_s
        return Missed("declined", error)
    return Missed("failed", error)


def _lost(error: MeshError) -> TransportError:
    return TransportError(f"The session ended: {error.wire_code}.", reason=error.wire_code)


def _bounded(size: int) -> int:
    if not 0 < size <= frames.BLOB_BYTES_MAX:
        raise Missed("failed", WrongResult(reason="size"))
    return size
