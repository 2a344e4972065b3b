"""What a requester says about a job when it is over: exactly one answer per attempt, and the job's record.

The attempt that was used gets ``Used`` and every other that was submitted ``Superseded``; of a job without a result
each gets ``Failed`` with its code. A stream that its own caller cut short was used as far as it came. A permit under
which nothing was used is closed by ``NoMore``, so that its hold does not wait for the permit's end; the paid ``Used``
of a one-job permit ends its share by itself. A series is closed by the book that keeps it.

Touches: nothing.
"""

from typing import Any, Literal

import msgspec

from mesh.agent.asking.job import Job, Tried, Won
from mesh.agent.identity import Keychain
from mesh.agent.store import Outgoing
from mesh.ids import DeviceId, NetworkId, PermitId
from mesh.protocol import receipt, signed
from mesh.protocol.link import Check, JobReport
from mesh.protocol.values import Explanation


class Signer:
    """Signs a requester's facts."""

    def __init__(self, network: NetworkId, me: DeviceId, keys: Keychain) -> None:
        self._network = network
        self._me = me
        self._keys = keys

    def submit(self, job: Job, tried: Tried, input_digest: str, time_ms: int) -> str:
        """The Submit of an attempt, with the most that it may cost."""
        about = self._about(job, tried)
        submit = receipt.Submit(**about, input_digest=input_digest, maximum=tried.maximum, time_ms=time_ms)
        return self._sign(submit, tried)

    def used(self, job: Job, tried: Tried, units: int, claim: str | None) -> str:
        """The answer that pays."""
        submit = tried.signed if claim is None else None
        return self._sign(receipt.Used(**self._about(job, tried), units=units, claim=claim, submit=submit), tried)

    def count(self, job: Job, tried: Tried, units: int) -> str:
        """So much of an attempt's stream has come."""
        return self._sign(receipt.Count(**self._about(job, tried), units=units), tried)

    def others(self, job: Job, used: Tried | None) -> list[str]:
        """The answers to all other attempts, then the closing of permits under which nothing was used."""
        used_permit = None if used is None or used.plan.permit is None else used.plan.permit.permit
        alone = [plan.permit for plan in job.plans if plan.permit is not None and plan.series is None]
        answers: dict[PermitId, int] = {permit.permit: 0 for permit in alone}
        tokens = []
        for tried in job.tried:
            if not tried.submitted or tried.plan.permit is None or tried is used:
                continue
            if tried.plan.series is None:
                answers[tried.plan.permit.permit] += 1
            about = self._about(job, tried)
            if used is not None:
                tokens.append(self._sign(receipt.Superseded(**about, used_attempt=used.number), tried))
            else:
                tokens.append(self._sign(receipt.Failed(**about, reason=tried.code or "job.failed"), tried))
        for permit, count in answers.items():
            if permit != used_permit:
                tokens.append(self.no_more(permit, count))
        return tokens

    def no_more(self, permit: PermitId, facts: int, worker: DeviceId | None = None) -> str:
        """The closing of a permit, or of one worker's share of a series, under which ``facts`` answers were given."""
        closing = receipt.NoMore(
            network=self._network, permit=permit, device=self._me, side="requester", facts=facts, worker=worker
        )
        return signed.sign(closing, self._keys.seed())

    def verdict(self, check: Check, outcome: Literal["passed", "missed", "skipped"]) -> str:
        """What came of doing an attempt again."""
        about = {"worker": check.worker, "job": check.job, "attempt": check.attempt, "outcome": outcome}
        paper = receipt.Verdict(network=self._network, check=check.check, requester=self._me, **about)  # type: ignore[arg-type]
        return signed.sign(paper, self._keys.seed())

    def _sign(self, fact: signed.Paper, tried: Tried) -> str:
        """With the key that the worker knows this device by: all about an attempt is signed by one."""
        return signed.sign(fact, self._keys.seed(tried.own_key))

    def _about(self, job: Job, tried: Tried) -> dict[str, Any]:
        permit = tried.plan.permit
        return {
            "network": self._network,
            "permit": None if permit is None else permit.permit,
            "requester": self._me,
            "worker": tried.target.device,
            "job": job.id,
            "attempt": tried.number,
        }


def record(job: Job, won: Won | None, code: str) -> JobReport:
    """The job's record as its requester saw it; with a permit the coordinator has its explanation already.

    A stream that was cut short is a result too, as far as it came.
    """
    last, cut = job.plans[-1] if job.plans else None, job.cut
    used, units = (cut, 0 if cut is None else cut.received) if won is None else (won.tried, won.units)
    known: Explanation | None = None
    if (last is None or last.permit is None) and job.explanation.gates:
        known = job.explanation
    return JobReport(
        job=job.id,
        spec=job.spec,
        attempts=tuple(tried.report() for tried in job.tried),
        device=None if used is None else used.target.device,
        units=units,
        own=last is not None and last.permit is None,
        code=code,
        explanation=known,
        choices=tuple(job.choices),
    )


def outgoing(tokens: list[str], report: JobReport) -> list[Outgoing]:
    """Facts and record as the store keeps them."""
    return [*(Outgoing("fact", token.encode()) for token in tokens), Outgoing("job", msgspec.json.encode(report))]
