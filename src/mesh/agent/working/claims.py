"""This worker's receipts: signed and kept before a result leaves, and paid in when the requester's ``Used`` comes back.

A result that was cut short in the middle of a stream has a receipt too: what was delivered, with the newest Count.

Touches: the agent's store and outbox (through its arguments).
"""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress
from typing import Literal, NamedTuple

import structlog

from mesh.agent.identity import Keychain
from mesh.agent.membership import Membership
from mesh.agent.outbox import Outbox
from mesh.agent.peers.sessions import PeerConnection
from mesh.agent.store import Store, StoreBroken, Taken
from mesh.agent.working.attempt import Attempt, AttemptKey
from mesh.concurrency import Spawn
from mesh.ids import PermitId
from mesh.protocol import frames, receipt, signed
from mesh.protocol.papers import Certificate

CLAIMS_MAX = 4096
"""Claimed attempts whose acknowledgment may still come."""
CHECK_AFTER_S = 0.005
"""An acknowledgment often comes together with the next job, and that is not to wait until it was checked."""

log = structlog.get_logger()


class _Kept(NamedTuple):
    """A claim on its way: its number in the outbox once it is there, and what it is known by."""

    number: "asyncio.Future[int]"
    digest: bytes


class Claims:
    """The claims of this device."""

    def __init__(self, membership: Membership, keys: Keychain, store: Store, outbox: Outbox) -> None:
        self._membership, self._keys, self._store, self._outbox = membership, keys, store, outbox
        self._kept: OrderedDict[AttemptKey, _Kept] = OrderedDict()

    def make(self, attempt: Attempt, units: int, outcome: Literal["done", "broken"], digest: str) -> str:
        """Sign what was delivered; between devices of different owners also keep it. Raises StoreBroken."""
        submit, delivery = attempt.checked.submit, attempt.delivery
        claim = signed.sign(
            receipt.Claim(
                network=self._membership.network,
                permit=submit.permit,
                requester=submit.requester,
                worker=submit.worker,
                job=submit.job,
                attempt=submit.attempt,
                units=units,
                outcome=outcome,
                output_digest=digest,
                started_ms=attempt.started_ms,
                finished_ms=self._membership.clock.now_ms(),
                submit=attempt.frame.signed,
                count=None if delivery is None else delivery.count,
            ),
            self._keys.seed(attempt.peer.own),
        )
        if attempt.checked.permit is not None:
            taken = Taken(*attempt.key, submit.permit, submit.maximum, attempt.checked.until_ms)
            number = self._store.claim(taken, claim.encode())
            number.add_done_callback(self._is_kept)
            self._kept[attempt.key] = _Kept(number, _digest(claim))
            while len(self._kept) > CLAIMS_MAX:
                self._kept.popitem(last=False)
        return claim

    async def no_more(self, permit: PermitId, claims: int) -> None:
        """Say, durably, that so many claims were made under a permit, and no more will come."""
        said = receipt.NoMore(
            network=self._membership.network, permit=permit, device=self._membership.me, side="worker", facts=claims
        )
        await self._outbox.add_facts([signed.sign(said, self._keys.seed())])

    def acknowledged(self, peer: PeerConnection, frame: frames.Acknowledged, spawn: Spawn) -> None:
        """Keep the requester's Used: it pays this worker even if the requester is never heard again."""
        assert peer.certificate is not None
        key = (peer.certificate.device, frame.job, frame.attempt)
        if frame.used is not None and key in self._kept:
            spawn(self._pay_in(peer, key, self._kept.pop(key), frame.used))

    async def _pay_in(self, peer: PeerConnection, key: AttemptKey, kept: _Kept, token: str) -> None:
        """A Used takes the claim's place in the outbox only if it holds that very claim: another pays nothing."""
        await asyncio.sleep(CHECK_AFTER_S)
        assert peer.certificate is not None
        try:
            used = self._verified_used(peer.certificate, token)
        except signed.BadToken as error:
            log.info("peer.refused", reason=error.wire_code)
            await peer.close(error.wire_code)
            return
        claim = "" if used.claim is None else used.claim
        if _digest(claim) != kept.digest or not receipt.fits(used, signed.peek(claim, receipt.Claim)):
            log.warning("worker.used_of_something_else", job=key[1])
            return
        with suppress(StoreBroken):  # which was logged; the claim comes from the journal at the next start
            await self._outbox.outdo(await kept.number, token)

    def _is_kept(self, kept: "asyncio.Future[int]") -> None:
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


def _digest(claim: str) -> bytes:
    return hashlib.blake2b(claim.encode(), digest_size=16).digest()
