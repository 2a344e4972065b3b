"""Work for others: check a Submit, queue it, run it in an engine, make the claim durable, answer.

The signed claim is written before ``Done`` leaves, so that a crash never leaves a delivered result without its
receipt. Everything refused is refused with a code; no text of a job is ever in one.

Touches: the agent's store, engines and sessions (through its arguments).
"""

import asyncio
from typing import Any

import msgspec
import structlog

from mesh.agent.engines.pool import Works
from mesh.agent.identity import Keychain
from mesh.agent.membership import Membership
from mesh.agent.outbox import Outbox
from mesh.agent.peers.sessions import PeerConnection
from mesh.agent.peers.stream import SessionStream
from mesh.agent.store import Store, StoreBroken
from mesh.agent.working.attempt import Attempt, AttemptKey, Doorkeeper, Repeated, WrongInput
from mesh.agent.working.checks import LEEWAY_MS, check_submit
from mesh.agent.working.claims import Claims
from mesh.agent.working.delivering import Delivery, StreamStalled
from mesh.agent.working.fair_queue import Queued
from mesh.agent.working.queueing import Bid, Work
from mesh.agent.working.shares import Shares
from mesh.agent.working.telling import say_loading
from mesh.concurrency import Spawn
from mesh.errors import MeshError
from mesh.ids import JobId, PermitId
from mesh.jobs.attempts import Cancelled
from mesh.protocol import frames, receipt, signed
from mesh.protocol.frames import AnyFrame
from mesh.protocol.session import Key
from mesh.protocol.values import JobSpec, Load, Usage
from mesh.workloads.contract import Listener, Payload, Turn, Workload
from mesh.workloads.known import workload_named

SWEEP_MS = 60_000
"""How often attempts that can no longer be repeated are forgotten."""
SERVICE_UNKNOWN_S = 0.05
"""What a job counts as before this device has measured itself."""
RETRY_S = 5.0
"""When to ask again a device that cannot say more: by then it has beaten, and is heard again."""

_payloads: msgspec.msgpack.Decoder[Payload] = msgspec.msgpack.Decoder(Payload)
log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder().encode


class Worker:
    """All work that this device does for peers, its own other devices included."""

    def __init__(
        self, membership: Membership, keys: Keychain, store: Store, outbox: Outbox, engines: Works,
        doorkeeper: Doorkeeper,
    ) -> None:  # fmt: skip
        self._membership = membership
        self._store = store
        self._engines = engines
        self._doorkeeper = doorkeeper
        self.work: Work[Attempt] = Work(membership.member, membership.clock.boot_s)
        self.spawn: Spawn
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._seen: dict[AttemptKey, int] = {}
        self._swept_ms = 0
        self._shares = Shares(store, membership.me)
        self.claims = Claims(membership, keys, store, outbox)

    async def recall(self) -> None:
        """Take up what must survive a restart: attempts taken, shares begun, tombstones."""
        remembered = await self._store.remembered(self._membership.clock.now_ms())
        self._shares.recall(remembered)
        for taken in remembered.taken:
            self._seen[taken.requester, taken.job, taken.attempt] = taken.until_ms

    def load(self) -> Load:
        """The queue, for beats."""
        return self.work.load()

    @property
    def busy(self) -> int:
        """Jobs that wait or run."""
        return len(self._attempts)

    def started(self) -> dict[AttemptKey, JobSpec]:
        """What is in the engines now."""
        return {key: attempt.frame.spec for key, attempt in self._attempts.items() if attempt.started}

    # --- what peers say -----------------------------------------------------------------------------------------------

    def frame(self, peer: PeerConnection, stream: SessionStream, frame: AnyFrame) -> None:
        """Act on a frame of an admitted peer."""
        if isinstance(frame, frames.Submit):
            self._submitted(peer, stream, frame)
        elif isinstance(frame, frames.Cancel):
            assert peer.certificate is not None
            self._cancel(self._attempts.get((peer.certificate.device, frame.job, frame.attempt)))
        elif isinstance(frame, frames.Acknowledged):
            self.claims.acknowledged(peer, frame, self.spawn)
        elif isinstance(frame, frames.Beat):
            self._beat(peer, frame)
            stream.send(frames.Beat(load=self.load()))

    def ended(self, peer: PeerConnection, keys: list[Key], error: MeshError) -> None:
        """A peer's stream is gone: nobody can take these results any more."""
        if peer.certificate is not None:
            for job, attempt in keys:
                self._cancel(self._attempts.get((peer.certificate.device, job, attempt)))

    def cancel_job(self, job: JobId) -> None:
        """The coordinator says that a job is to be stopped."""
        for attempt in [one for one in self._attempts.values() if one.frame.job == job]:
            self._cancel(attempt)

    async def close_permit(self, permit: PermitId) -> None:
        """Take nothing more under a permit, for good, and say how many claims were made under it."""
        await self.claims.no_more(permit, await self._shares.close(permit, self._membership.clock.now_ms()))

    def _beat(self, peer: PeerConnection, beat: frames.Beat) -> None:
        """What the requester says of its streams: how much was taken, and signed, of how much."""
        assert peer.certificate is not None
        device = peer.certificate.device
        for taken in beat.taken:
            attempt = self._attempts.get((device, taken.job, taken.attempt))
            if attempt is not None and attempt.delivery is not None:
                attempt.delivery.taken(taken.bytes)
        for token in beat.counts:
            about = signed.peek(token, receipt.Count)
            attempt = self._attempts.get((device, about.job, about.attempt))
            if attempt is not None and attempt.delivery is not None:
                count = signed.verify(token, receipt.Count, peer.key, self._membership.network)
                if receipt.fits(count, attempt.checked.submit):
                    attempt.delivery.counted(count.units, token)

    # --- a Submit -----------------------------------------------------------------------------------------------------

    def _submitted(self, peer: PeerConnection, stream: SessionStream, frame: frames.Submit) -> None:
        assert peer.certificate is not None
        try:
            checked = check_submit(self._membership, peer.certificate, frame, stream.permits.get)
            if checked.shown is not None and checked.permit is not None and checked.permit.share == "each":
                stream.keep(checked.permit.permit, checked.shown)
            self._doorkeeper.refuse(peer, frame, checked)
            attempt = Attempt(peer, stream, frame, checked)
            self._refuse_repeated(attempt)
            attempt.bid = self._bid(attempt)
            wait_s = self.work.admit(attempt.bid)
        except MeshError as error:
            self._decline(stream, frame, error)
            return
        if wait_s is None:
            stream.send(frames.Busy(frame.job, frame.attempt, self.load()))
            return
        self._take(attempt)
        stream.send(frames.Accept(frame.job, frame.attempt, wait_s, self.work.load(attempt.bid)))
        if attempt.payload is None:
            attempt.task = self.spawn(self._fetch(attempt))
        else:
            self._queue(attempt)

    def _refuse_repeated(self, attempt: Attempt) -> None:
        if attempt.key in self._seen:
            raise Repeated
        permit, submit = attempt.checked.permit, attempt.checked.submit
        if attempt.size > frames.BLOB_BYTES_MAX:
            raise WrongInput("The input is longer than any job may be.", bytes=attempt.size)
        workload_named(attempt.frame.spec.workload)
        if permit is not None:
            self._shares.refuse(permit, submit.maximum)

    def _bid(self, attempt: Attempt) -> Bid:
        spec = attempt.frame.spec
        expected = self._engines.expected_s(spec.workload, spec.model, max(0, spec.work))
        limit_s = spec.limit_s
        if attempt.checked.permit is not None:
            limit_s = min(limit_s, (attempt.checked.permit.finish_by_ms - self._membership.clock.now_ms()) / 1000)
        service_s = SERVICE_UNKNOWN_S if expected is None else expected
        if spec.guessed:
            limit_s += service_s  # it is refused for what waits before it, never for what it may come to itself
        at_s = self._membership.clock.boot_s()
        return Bid(attempt.asker.owner, service_s, attempt.size, limit_s, attempt.frame.wait_limit_s, at_s)

    def _take(self, attempt: Attempt) -> None:
        submit, permit = attempt.checked.submit, attempt.checked.permit
        now_ms = self._membership.clock.now_ms()
        if now_ms - self._swept_ms > SWEEP_MS:
            self._swept_ms = now_ms
            self._seen = {key: until_ms for key, until_ms in self._seen.items() if until_ms >= now_ms}
            self._shares.sweep(now_ms)
        self._seen[attempt.key] = attempt.checked.until_ms
        self._attempts[attempt.key] = attempt
        self.work.hold(attempt.bid)
        if permit is not None:
            self._shares.take(permit, submit.maximum, attempt.checked.until_ms)

    async def _fetch(self, attempt: Attempt) -> None:
        """Wait for a long payload; only then does the job take a place in the queue."""
        try:
            attempt.begin()
            key = (attempt.frame.job, attempt.frame.attempt)
            attempt.payload = await attempt.peer.blobs.receive(key, attempt.size)
            attempt.task, attempt.begun = None, False
            self._queue(attempt)
        except asyncio.CancelledError:
            self._fault(attempt, attempt.cancelled or Cancelled())
            if attempt.cancelled is None:
                raise
        except MeshError as error:
            self._fault(attempt, error)

    def _queue(self, attempt: Attempt) -> None:
        try:
            pushed = self.work.put(attempt.bid, attempt)
        except MeshError as error:
            self._turn_away(attempt, error)
            return
        if pushed is not None:
            self._turn_away(pushed, self.work.pushed_out())
        self.feed()

    def feed(self) -> None:
        """Give the engines what they should have, and turn away what has waited too long to be finished in time."""
        while True:
            job, late = self.work.next()
            for attempt in late:
                self._turn_away(attempt, self.work.expired())
            if job is None:
                return
            job.entry.task = self.spawn(self._run(job))

    def hand_back(self, error: MeshError) -> None:
        """Let go of what waits for other people: they have it done elsewhere."""
        for attempt in self.work.queue.others():
            self.work.queue.remove(attempt)
            self._turn_away(attempt, error)

    def _turn_away(self, attempt: Attempt, error: MeshError) -> None:
        """Decline a job that was accepted, before it has started: it costs nobody an attempt."""
        self._forget(attempt)
        self._give_back(attempt)
        self._decline(attempt.stream, attempt.frame, error)

    # --- running ------------------------------------------------------------------------------------------------------

    async def _run(self, job: Queued[Attempt]) -> None:
        attempt = job.entry
        try:
            attempt.begin()
            await self._do(attempt)
        except asyncio.CancelledError:
            self._fault(attempt, attempt.cancelled or Cancelled())
            if attempt.cancelled is None:
                raise  # this device is stopping
        except MeshError as error:
            self._fault(attempt, error)
        self.work.end(job)
        self.feed()

    async def _do(self, attempt: Attempt) -> None:
        frame, spec = attempt.frame, attempt.frame.spec
        attempt.started_ms = self._membership.clock.now_ms()
        raw = attempt.payload
        assert raw is not None
        if receipt.keyed_digest(frame.secret, raw) != attempt.checked.submit.input_digest:
            raise WrongInput
        try:
            payload = _payloads.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WrongInput("The input is not a payload of this protocol.") from error
        del raw
        workload = workload_named(spec.workload)
        attempt.started = True
        attempt.stream.send(frames.Started(frame.job, frame.attempt, self.load()))
        if spec.model not in self._engines.warm():
            self.spawn(say_loading(attempt, self._engines.warm))
        group = attempt.asker.device if spec.sensitivity == "sensitive" or workload.apart else ""
        turn = Turn(group, first=attempt.asker.owner == self._membership.member)
        delivery = self._delivery(attempt, workload, payload)
        result = await self._engines.run(
            *(spec.workload, spec.model, payload),
            limit_s=self._limit_s(attempt),
            turn=turn,
            listener=Listener(None if delivery is None else delivery.outlet, attempt.advance, attempt.getting_ready),
        )
        if delivery is not None:
            await delivery.drained()
        if attempt.cancelled is not None:
            raise attempt.cancelled  # an engine that did not heed it: what nobody waits for is not claimed
        units = workload.count(payload, result)
        content = _encode(result)
        claim = self.claims.make(attempt, units, "done", receipt.keyed_digest(frame.secret, content))
        await self._deliver(attempt, Usage(units), claim, content)

    def _delivery(self, attempt: Attempt, workload: Workload, payload: Payload) -> Delivery | None:
        """Where the stream of an attempt goes, if its workload streams."""
        if not workload.streams:
            return None
        frame = attempt.frame

        def send(number: int, content: bytes) -> None:
            attempt.stream.send(frames.Chunk(frame.job, frame.attempt, number, content))

        attempt.delivery = Delivery(
            workload,
            payload,
            frame.secret,
            send,
            stalled=lambda: self._cancel(attempt, StreamStalled()),
            now=None if attempt.checked.permit is None else self._membership.clock.boot_s,
        )
        return attempt.delivery

    def _limit_s(self, attempt: Attempt) -> float:
        """Seconds that the engine may work on it: the job's own limit, and never beyond the permit's end."""
        permit, limit_s = attempt.checked.permit, attempt.frame.spec.limit_s
        if permit is None:
            return limit_s
        left_s = (permit.finish_by_ms + LEEWAY_MS - self._membership.clock.now_ms()) / 1000
        return max(0.0, min(limit_s, left_s))

    async def _deliver(self, attempt: Attempt, usage: Usage, claim: str, content: bytes) -> None:
        frame = attempt.frame
        self._forget(attempt)
        inline = content if len(content) <= frames.INLINE_BYTES_MAX else None
        size = 0 if inline is not None else len(content)
        attempt.stream.send(frames.Done(frame.job, frame.attempt, usage, claim, inline, size, self.load()))
        if inline is None:
            await attempt.peer.send_blob((frame.job, frame.attempt), content)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _cancel(self, attempt: Attempt | None, reason: MeshError | None = None) -> None:
        if attempt is None:
            return
        attempt.cancelled = reason or Cancelled()
        if attempt.begun:
            assert attempt.task is not None
            attempt.task.cancel()
        elif attempt.task is None and self.work.queue.remove(attempt):
            self._fault(attempt, attempt.cancelled)

    def _fault(self, attempt: Attempt, error: MeshError) -> None:
        """An attempt ended without a result. Where nothing was delivered, nothing is claimed, and its share is free
        again; what has left of a stream is claimed as broken.
        """
        if self._attempts.get(attempt.key) is not attempt:
            return  # its result has left already
        claim = self._claim_broken(attempt)
        self._forget(attempt)
        if claim is None:
            self._give_back(attempt)
        frame = attempt.frame
        attempt.stream.send(frames.Fault(frame.job, frame.attempt, _told(error), claim, self.load()))

    def _claim_broken(self, attempt: Attempt) -> str | None:
        """The receipt of a stream that was cut, if anything of it has left for pay."""
        delivery = attempt.delivery
        if delivery is None or attempt.checked.permit is None or delivery.units == 0:
            return None
        try:
            return self.claims.make(attempt, delivery.units, "broken", delivery.digest)
        except StoreBroken as error:
            log.error("worker.claim_not_kept", problem=error.code)
            return None

    def _give_back(self, attempt: Attempt) -> None:
        permit = attempt.checked.permit
        if permit is not None:
            self._shares.give_back(permit.permit, attempt.checked.submit.maximum)

    def _decline(self, stream: SessionStream, frame: frames.Submit, error: MeshError) -> None:
        """Refuse; whatever time can mend says when to ask again."""
        hint = error.facts.get("retry_after_s")
        if hint is None and error.wire_kind in ("unavailable", "too_many"):
            hint = RETRY_S
        stream.send(frames.Decline(frame.job, frame.attempt, _told(error), hint, self.load()))

    def _forget(self, attempt: Attempt) -> None:
        if attempt.delivery is not None:
            attempt.delivery.close()
        if self._attempts.pop(attempt.key, None) is not None:
            self.work.release(attempt.bid)
            attempt.peer.blobs.forget((attempt.frame.job, attempt.frame.attempt))


def _told(error: MeshError) -> dict[str, Any]:
    """What the requester's device learns of an error: code, kind, message, and the facts that are numbers or codes."""
    return error.wire()
