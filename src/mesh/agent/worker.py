"""Work for others: check a Submit, queue it, run it in an engine, make the claim durable, answer.

The signed claim is written before ``Done`` leaves, so that a crash never leaves a delivered result without its
receipt. Everything refused is refused with a code; no text of a job is ever in one.

Touches: the agent's store, engines and sessions (through its arguments).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from mesh.agent.attempt import Attempt, AttemptKey, Cancelled, Doorkeeper, Repeated, WrongInput
from mesh.agent.checks import LEEWAY_MS, Shown, check_submit
from mesh.agent.fair_queue import Queued
from mesh.agent.identity import Keychain
from mesh.agent.membership import Membership
from mesh.agent.outbox import Outbox
from mesh.agent.pool import Pool
from mesh.agent.queueing import Bid, Work
from mesh.agent.sessions import PeerConnection
from mesh.agent.shares import Shares
from mesh.agent.store import Store, StoreBroken, Taken
from mesh.agent.stream import SessionStream
from mesh.errors import MeshError
from mesh.ids import JobId, PermitId
from mesh.protocol import frames, receipt, signed
from mesh.protocol.frames import AnyFrame
from mesh.protocol.papers import Certificate
from mesh.protocol.session import Key
from mesh.protocol.values import JobSpec, Load, Usage
from mesh.workloads.contract import Payload, Turn
from mesh.workloads.known import workload_named

CLAIMS_MAX = 4096
"""Claimed attempts whose acknowledgment may still come."""
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
        self, membership: Membership, keys: Keychain, store: Store, outbox: Outbox, engines: Pool,
        doorkeeper: Doorkeeper,
    ) -> None:  # fmt: skip
        self._membership = membership
        self._keys = keys
        self._store = store
        self._outbox = outbox
        self._engines = engines
        self._doorkeeper = doorkeeper
        self.work: Work[Attempt] = Work(membership.member, membership.clock.boot_s)
        self.spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._seen: dict[AttemptKey, int] = {}
        self._swept_ms = 0
        self._shares = Shares(store, membership.me)
        self._claims: OrderedDict[AttemptKey, asyncio.Future[int]] = OrderedDict()

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
            self._acknowledged(peer, frame)
        elif isinstance(frame, frames.Beat):
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
        claims = await self._shares.close(permit, self._membership.clock.now_ms())
        facts = receipt.NoMore(
            network=self._membership.network, permit=permit, device=self._membership.me, side="worker", facts=claims
        )
        await self._outbox.add_facts([signed.sign(facts, self._keys.seed())])

    # --- a Submit -----------------------------------------------------------------------------------------------------

    def _submitted(self, peer: PeerConnection, stream: SessionStream, frame: frames.Submit) -> None:
        assert peer.certificate is not None
        try:
            shown = self._permit_of(stream, frame)
            checked = check_submit(self._membership, peer.certificate, frame, shown)
            if shown is not None and checked.permit is not None and checked.permit.share == "each":
                stream.keep(checked.permit.permit, shown)
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

    def _permit_of(self, stream: SessionStream, frame: frames.Submit) -> Shown | None:
        """The permit as it was shown: it came with this frame, or with an earlier one of its series."""
        if frame.permit is not None:
            return Shown(frame.permit)
        named = signed.peek(frame.signed, receipt.Submit).permit
        return None if named is None else stream.permits.get(named)

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
        expected = self._engines.expected_s(spec.workload, spec.model, max(0, spec.units))
        limit_s = spec.limit_s
        if attempt.checked.permit is not None:
            limit_s = min(limit_s, (attempt.checked.permit.finish_by_ms - self._membership.clock.now_ms()) / 1000)
        service_s = SERVICE_UNKNOWN_S if expected is None else expected
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

    def _taken(self, attempt: Attempt) -> Taken:
        submit = attempt.checked.submit
        return Taken(*attempt.key, submit.permit, submit.maximum, attempt.checked.until_ms)

    async def _fetch(self, attempt: Attempt) -> None:
        """Wait for a long payload; only then does the job take a place in the queue."""
        try:
            key = (attempt.frame.job, attempt.frame.attempt)
            attempt.payload = await attempt.peer.blobs.receive(key, attempt.size)
            attempt.task = None
            self._queue(attempt)
        except asyncio.CancelledError:
            self._fault(attempt, Cancelled())
            if not attempt.cancelled:
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
            await self._do(attempt)
        except asyncio.CancelledError:
            self._fault(attempt, Cancelled())
            if not attempt.cancelled:
                raise  # this device is stopping
        except MeshError as error:
            self._fault(attempt, error)
        self.work.end(job)
        self.feed()

    async def _do(self, attempt: Attempt) -> None:
        frame, spec = attempt.frame, attempt.frame.spec
        started_ms = self._membership.clock.now_ms()
        raw = attempt.payload
        assert raw is not None
        if receipt.keyed_digest(frame.secret, raw) != attempt.checked.submit.input_digest:
            raise WrongInput
        try:
            payload = _payloads.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WrongInput("The input is not a payload of this protocol.") from error
        del raw
        attempt.started = True
        attempt.stream.send(frames.Started(frame.job, frame.attempt, self.load()))
        alone = spec.sensitivity == "sensitive" or workload_named(spec.workload).apart
        group = attempt.asker.device if alone else ""
        turn = Turn(group, first=attempt.asker.owner == self._membership.member)
        result = await self._engines.run(
            spec.workload, spec.model, payload, limit_s=self._limit_s(attempt), turn=turn, advance=_advance(attempt)
        )
        units = workload_named(spec.workload).count(payload, result)
        content = _encode(result)
        claim = self._claim(attempt, units, content, started_ms)
        if attempt.checked.permit is not None:
            self._claims[attempt.key] = kept = self._store.claim(self._taken(attempt), claim.encode())
            kept.add_done_callback(self._claim_kept)
            while len(self._claims) > CLAIMS_MAX:
                self._claims.popitem(last=False)
        await self._deliver(attempt, Usage(units), claim, content)

    def _limit_s(self, attempt: Attempt) -> float:
        """Seconds that the engine may work on it: the job's own limit, and never beyond the permit's end."""
        permit, limit_s = attempt.checked.permit, attempt.frame.spec.limit_s
        if permit is None:
            return limit_s
        left_s = (permit.finish_by_ms + LEEWAY_MS - self._membership.clock.now_ms()) / 1000
        return max(0.0, min(limit_s, left_s))

    def _claim(self, attempt: Attempt, units: int, content: bytes, started_ms: int) -> str:
        submit = attempt.checked.submit
        return signed.sign(
            receipt.Claim(
                network=self._membership.network,
                permit=submit.permit,
                requester=submit.requester,
                worker=submit.worker,
                job=submit.job,
                attempt=submit.attempt,
                units=units,
                outcome="done",
                output_digest=receipt.keyed_digest(attempt.frame.secret, content),
                started_ms=started_ms,
                finished_ms=self._membership.clock.now_ms(),
                submit=attempt.frame.signed,
            ),
            self._keys.seed(attempt.peer.own),
        )

    async def _deliver(self, attempt: Attempt, usage: Usage, claim: str, content: bytes) -> None:
        frame = attempt.frame
        self._forget(attempt)
        inline = content if len(content) <= frames.INLINE_BYTES_MAX else None
        size = 0 if inline is not None else len(content)
        attempt.stream.send(frames.Done(frame.job, frame.attempt, usage, claim, inline, size, self.load()))
        if inline is None:
            await attempt.peer.send_blob((frame.job, frame.attempt), content)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _cancel(self, attempt: Attempt | None) -> None:
        if attempt is None:
            return
        attempt.cancelled = True
        if attempt.task is not None:
            attempt.task.cancel()
        elif self.work.queue.remove(attempt):
            self._fault(attempt, Cancelled())

    def _fault(self, attempt: Attempt, error: MeshError) -> None:
        """An attempt ended without a result: nothing was delivered, nothing is claimed, its share is free again."""
        if self._attempts.get(attempt.key) is not attempt:
            return  # its result has left already
        self._forget(attempt)
        self._give_back(attempt)
        frame = attempt.frame
        attempt.stream.send(frames.Fault(frame.job, frame.attempt, _told(error), load=self.load()))

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
        if self._attempts.pop(attempt.key, None) is not None:
            self.work.release(attempt.bid)
            attempt.peer.blobs.forget((attempt.frame.job, attempt.frame.attempt))

    def _acknowledged(self, peer: PeerConnection, frame: frames.Acknowledged) -> None:
        """Keep the requester's Used: it pays this worker even if the requester is never heard again."""
        assert peer.certificate is not None
        key = (peer.certificate.device, frame.job, frame.attempt)
        if frame.used is None or key not in self._claims:
            return
        used = self._verified_used(peer.certificate, frame.used)
        if (used.requester, used.job, used.attempt) == key and used.worker == self._membership.me:
            self.spawn(self._pay_in(self._claims.pop(key), frame.used))

    async def _pay_in(self, kept: "asyncio.Future[int]", used: str) -> None:
        with suppress(StoreBroken):  # which was logged; the claim comes from the journal at the next start
            await self._outbox.outdo(await kept, used)

    def _claim_kept(self, kept: "asyncio.Future[int]") -> None:
        error = None if kept.cancelled() else kept.exception()
        if error is not None:
            log.error("worker.claim_not_kept", problem=type(error).__name__)
        self._outbox.wake()

    def _verified_used(self, asker: Certificate, token: str) -> receipt.Used:
        """By the key that the requester showed, or another that speaks for it: it may come over another connection."""
        for key in self._membership.keys_of(asker.device):
            with suppress(signed.BadToken):
                return signed.verify(token, receipt.Used, key, self._membership.network)
        return signed.verify(token, receipt.Used, asker.key, self._membership.network)


def _advance(attempt: Attempt) -> Callable[[float], None]:
    frame = attempt.frame
    return lambda fraction: attempt.stream.send(frames.Progress(frame.job, frame.attempt, "running", fraction))


def _told(error: MeshError) -> dict[str, Any]:
    """What the requester's device learns of an error: code, kind, message, and the facts that are numbers or codes."""
    return error.wire()
