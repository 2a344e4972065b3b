"""One attempt with one device: send the Submit, hear what the worker says, take the result and check it.

A result counts only with a sound claim over these very bytes. Whoever gives an attempt up cancels it here; late news of
it is ignored, but for one: a job that is cancelled in the moment in which it is done was worked on all the same, so the
worker's last word is waited for before anything is said about it.

Touches: the agent's sessions (through its argument).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from mesh.agent.asking.answers import Signer
from mesh.agent.asking.asked import WrongResult
from mesh.agent.asking.job import CANCELLED, Job, Tried, Won
from mesh.agent.asking.plan import Plan
from mesh.agent.asking.streams import Streams
from mesh.agent.membership import Membership, PeerRefused
from mesh.agent.peers.sessions import PeerConnection, Sessions
from mesh.agent.peers.stream import SessionStream
from mesh.concurrency import Spawn, expected
from mesh.errors import MeshError, from_wire
from mesh.ids import DeviceId
from mesh.jobs.attempts import End
from mesh.protocol import frames, receipt, signed
from mesh.protocol.frames import AnyFrame, FrameError
from mesh.protocol.session import Key
from mesh.protocol.values import Load, PathKind
from mesh.transport.interface import TransportError
from mesh.workloads.contract import Payload

log = structlog.get_logger()
_payloads: msgspec.msgpack.Decoder[Payload] = msgspec.msgpack.Decoder(Payload)

LAST_WORD_S = 3.0
"""For so long a worker's last word on a cancelled attempt is waited for: an engine stops within a second of a cancel,
and who says nothing for three is silent."""

Last = frames.Done | frames.Fault | frames.Busy | frames.Decline
_LAST = (frames.Done, frames.Fault, frames.Busy, frames.Decline)


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


class Watch(Protocol):
    """Whoever follows an attempt."""

    def connected(self, path: PathKind, rtt_s: float | None) -> None:
        """There is a connection: the Submit leaves now."""
        ...

    def heard(self, frame: AnyFrame) -> None:
        """The worker says something about it."""
        ...


class SeriesOver(MeshError):
    """The permit that was to be used has just been closed. A fresh one is asked for by itself."""

    code = "permit.over"
    kind = "unavailable"


class _Waiting:
    """Who waits for an attempt's last word."""

    def __init__(self, job: Job, watch: Watch) -> None:
        self.job = job
        self.watch = watch
        self.begun = False
        self.last: asyncio.Future[Last] = expected()
        self.content: asyncio.Future[bytes] | None = None
        """A long result on its way, on a stream of its own."""

    def ended(self) -> bool:
        """Whether its last word has come."""
        return self.last.done() and not self.last.cancelled()

    def unheard(self) -> "_Waiting":
        """The same, for the end alone: the job is over, and nobody follows it any more."""
        self.job.on_progress = None
        rest = _Waiting(self.job, _Quiet())
        rest.content = self.content
        if self.ended():
            rest.last = self.last
        return rest


class _Quiet:
    """Follows an attempt whose job is over."""

    def connected(self, path: PathKind, rtt_s: float | None) -> None:
        """Nobody asks."""

    def heard(self, frame: AnyFrame) -> None:
        """Nobody asks."""


class Exchanges:
    """All attempts of this device's jobs that are under way somewhere."""

    def __init__(self, membership: Membership, signer: Signer, sessions: Sessions) -> None:
        self._membership = membership
        self._signer = signer
        self._sessions = sessions
        self.spawn: Spawn
        """Set by the wiring."""
        self._waiting: dict[Key, _Waiting] = {}
        self._streams = Streams(signer)
        self._beats: dict[SessionStream, list[asyncio.Future[None]]] = {}
        self.on_beat: Callable[[DeviceId, Load], None] = lambda device, load: None
        """Told what each beat of a worker says of its load."""

    async def attempt(self, job: Job, tried: Tried, watch: Watch) -> Won:
        """Have one device do the job. Raises Missed; cancelled, it cancels the attempt there."""
        try:
            try:
                peer = await self._sessions.reach(tried.target.address)
                stream = await peer.asking()
            except MeshError as error:  # no connection, or a peer whose Hello does not hold
                raise Missed("unreached", error) from error
            watch.connected(peer.path_kind, peer.rtt_s)
            won = await self._exchange(job, tried, watch, peer, stream)
        except Missed as missed:
            tried.ended(missed.end, missed.error, self._membership.clock.now_ms())
            spent = not tried.submitted or tried.received > 0
            if not spent and tried.plan.series is not None and missed.end in ("busy", "declined", "failed"):
                tried.plan.series.given_back(tried.target.device, tried.maximum)
            raise
        tried.finished_ms = self._membership.clock.now_ms()
        tried.path = peer.path_kind
        return won

    async def beat(self, stream: SessionStream) -> None:
        """Send a beat and wait for its answer: one round trip to the worker."""
        answered = asyncio.get_running_loop().create_future()
        self._beats.setdefault(stream, []).append(answered)
        stream.send(frames.Beat())
        try:
            await answered
        finally:
            self._beats.pop(stream, None)

    # --- to the worker ------------------------------------------------------------------------------------------------

    async def _exchange(self, job: Job, tried: Tried, watch: Watch, peer: PeerConnection, stream: SessionStream) -> Won:
        """Submit, wait for the last word, take the result and check it."""
        key = (job.id, tried.number)
        waiting = self._waiting[key] = _Waiting(job, watch)
        if job.ask.workload.streams:
            tried.receiving = self._streams.open(job, tried, stream)
        try:
            self._submit(job, tried, peer, stream)
            return await self._end(tried, peer, stream, waiting)
        except asyncio.CancelledError:
            if not waiting.ended():
                stream.send(frames.Cancel(*key))
            if tried.code == CANCELLED and tried.plan.permit is not None and not tried.received:
                crossed = self._waiting[key] = waiting.unheard()
                job.last_words.append(self.spawn(self._last_word(tried, peer, stream, crossed)))
            raise
        except TransportError as error:
            raise Missed("lost" if waiting.begun else "unstarted", error) from error
        except FrameError as error:
            raise Missed("failed", error) from error
        finally:
            if self._waiting[key] is waiting:
                self._forget(key, peer)

    async def _end(self, tried: Tried, peer: PeerConnection, stream: SessionStream, waiting: _Waiting) -> Won:
        """Wait for the last word, take the result and check it. Raises Missed, TransportError, FrameError."""
        last = await waiting.last
        if not isinstance(last, frames.Done):
            if tried.plan.permit is not None:
                stream.tell_again(tried.plan.permit.permit)
            raise _missed(last)
        content = last.result
        if content is None:
            if waiting.content is None:
                receive = peer.blobs.receive((waiting.job.id, tried.number), _bounded(last.result_size))
                waiting.content = asyncio.ensure_future(receive)
            content = await asyncio.shield(waiting.content)
        return self._check(waiting.job, tried, peer, last, content)

    async def _last_word(self, tried: Tried, peer: PeerConnection, stream: SessionStream, waiting: _Waiting) -> None:
        """A cancel is on its way: what crosses it counts as received, and is paid for like any result."""
        tried.unheard = True
        try:
            async with asyncio.timeout(LAST_WORD_S):
                tried.crossed = await self._end(tried, peer, stream, waiting)
        except (Missed, TransportError, FrameError, TimeoutError):
            pass  # it was stopped, as was wished, or nobody is there: then nothing was received
        finally:
            self._forget((waiting.job.id, tried.number), peer)

    def _forget(self, key: Key, peer: PeerConnection) -> None:
        waiting = self._waiting.pop(key)
        if waiting.content is not None and not waiting.content.cancel() and not waiting.content.cancelled():
            waiting.content.exception()  # who waited for it may have been cancelled in that moment
        self._streams.close(key)
        peer.blobs.forget(key)

    def _submit(self, job: Job, tried: Tried, peer: PeerConnection, stream: SessionStream) -> None:
        digest = receipt.keyed_digest(job.secret, job.raw)
        inline = len(job.raw) <= frames.INLINE_BYTES_MAX
        if stream.closed:
            raise Missed("unreached", stream.failure or PeerRefused())
        if tried.plan.series is not None and tried.plan.series.retired:
            raise Missed("unstarted", SeriesOver())  # while it was dialled, all was said about that series
        tried.submitted, tried.own_key = True, peer.own
        tried.maximum = min(tried.plan.rate.cost(job.units), tried.target.cap)
        if tried.plan.series is not None:
            tried.plan.series.submitted(tried.target.device, tried.maximum)
        tried.signed = self._signer.submit(job, tried, digest, self._membership.clock.now_ms())
        stream.send(
            frames.Submit(
                job=job.id,
                attempt=tried.number,
                signed=tried.signed,
                spec=job.spec,
                secret=job.secret,
                permit=_token(tried.plan, stream),
                wait_limit_s=tried.wait_limit_s,
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
            if tried.receiving is not None:
                tried.receiving.check(result)
        except MeshError as error:
            raise Missed("failed", error) from error
        counted = job.ask.workload.count(job.ask.payload, result)
        return Won(tried, peer.key, done.claim, min(counted, claim.units), counted, result)

    # --- what peers say -----------------------------------------------------------------------------------------------

    def frame(self, peer: PeerConnection, stream: SessionStream, frame: AnyFrame) -> None:
        """Act on an answer of an admitted peer."""
        if isinstance(frame, frames.Beat):
            if frame.load is not None and peer.certificate is not None:
                self.on_beat(peer.certificate.device, frame.load)
            for answered in self._beats.pop(stream, []):
                if not answered.done():
                    answered.set_result(None)
            return
        if isinstance(frame, (frames.Hello, frames.Blob)):
            return
        waiting = self._waiting.get((frame.job, frame.attempt))
        if waiting is None:
            return  # late news of an attempt that was given up
        waiting.begun = waiting.begun or isinstance(frame, frames.Started)
        if isinstance(frame, frames.Chunk):
            self._chunk(waiting, stream, frame)
        waiting.watch.heard(frame)
        if isinstance(frame, _LAST):
            if not waiting.last.done():
                waiting.last.set_result(frame)
        elif isinstance(frame, frames.Progress) and waiting.job.on_progress is not None:
            waiting.job.on_progress(frame.job, frame.stage, frame.fraction)

    def _chunk(self, waiting: _Waiting, stream: SessionStream, chunk: frames.Chunk) -> None:
        """A part of a stream; one that is out of order ends the attempt."""
        try:
            self._streams.chunk(chunk)
        except MeshError as error:
            if not waiting.last.done():
                waiting.last.set_exception(Missed("failed", error))
            stream.send(frames.Cancel(chunk.job, chunk.attempt))

    def ended(self, peer: PeerConnection, keys: list[Key], error: MeshError) -> None:
        """A session is gone: its attempts are lost."""
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.last.done():
                waiting.last.set_exception(error if isinstance(error, TransportError) else _lost(error))


def _missed(last: frames.Fault | frames.Busy | frames.Decline) -> Missed:
    if isinstance(last, frames.Busy):
        return Missed("busy", DeviceBusy())
    error = from_wire(last.error)
    if isinstance(last, frames.Decline):
        if last.retry_after_s is not None:
            error.facts["retry_after_s"] = last.retry_after_s
        return Missed("declined", error)
    return Missed("failed", error)


def _token(plan: Plan, stream: SessionStream) -> str | None:
    """The permit's token for a Submit under a plan."""
    if plan.series is None or plan.permit is None or plan.token is None:
        return plan.token
    return stream.token_once(plan.permit.permit, plan.token)


def _lost(error: MeshError) -> TransportError:
    return TransportError(f"The session ended: {error.wire_code}.", reason=error.wire_code)


def _bounded(size: int) -> int:
    if not 0 < size <= frames.BLOB_BYTES_MAX:
        raise Missed("failed", WrongResult(reason="size"))
    return size
