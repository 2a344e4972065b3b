"""The signed facts of a job: what settlement believes. See docs/wire.md for who may say what.

All carry (network, job, attempt): with the requester's device they name one attempt. An answer to an attempt is
exactly one of Used, Failed, Superseded. Digests are keyed with a secret that only the two devices know, because plain
hashes of short prompts can be guessed.

Touches: nothing.
"""

import hashlib
from typing import Any, ClassVar, Literal

from mesh.ids import DeviceId, JobId, PermitId, is_ulid
from mesh.protocol.signed import Paper
from mesh.units import KIB, MICRO_LIMIT

DIGEST_SECRET_BYTES = 32
OUTCOMES = ("done", "broken", "failed")
ATTEMPTS_MAX = 64
"""Attempts of one job: 3 counted failures, hedges and devices that vanish stay far below."""
FACT_BYTES_MAX = 2 * KIB
"""An honest Submit has 600 bytes. Whatever one side takes fits into what wraps it at the other, and 64 in a report."""


class Fact(Paper, frozen=True, kw_only=True):
    """Base of the facts: one attempt at one job. ``permit`` is None between devices of one owner."""

    BYTES_MAX: ClassVar[int] = FACT_BYTES_MAX

    permit: PermitId | None
    requester: DeviceId
    worker: DeviceId
    job: JobId
    attempt: int


class Submit(Fact, frozen=True, kw_only=True):
    """The requester asks this worker for this attempt, and will pay at most ``maximum`` micro-credits."""

    TYP: ClassVar[str] = "mesh-submit"

    input_digest: str
    maximum: int
    time_ms: int


class Count(Fact, frozen=True, kw_only=True):
    """The requester has received this many units of a stream so far, those of the input included."""

    TYP: ClassVar[str] = "mesh-count"

    units: int


class Claim(Fact, frozen=True, kw_only=True):
    """The worker's receipt: units delivered, and how it ended. Carries the Submit that asked for it."""

    TYP: ClassVar[str] = "mesh-claim"
    BYTES_MAX: ClassVar[int] = 4 * FACT_BYTES_MAX

    units: int
    outcome: Literal["done", "broken", "failed"]
    output_digest: str
    started_ms: int
    finished_ms: int
    submit: str
    """The requester's signed Submit."""
    count: str | None = None
    """The last signed Count that the worker holds."""


class Used(Fact, frozen=True, kw_only=True):
    """The requester took the result and counted ``units`` itself. Wraps the worker's Claim if it has it."""

    TYP: ClassVar[str] = "mesh-used"
    BYTES_MAX: ClassVar[int] = 6 * FACT_BYTES_MAX

    units: int
    claim: str | None = None
    submit: str | None = None
    """Without a Claim: the Submit, since a worker that was killed never brings it, and nothing is paid without one."""


class Failed(Fact, frozen=True, kw_only=True):
    """The requester got nothing it can use from this attempt; ``reason`` is an error code."""

    TYP: ClassVar[str] = "mesh-failed"

    reason: str


class Superseded(Fact, frozen=True, kw_only=True):
    """The requester used another attempt of the same job instead."""

    TYP: ClassVar[str] = "mesh-superseded"

    used_attempt: int


class NoMore(Paper, frozen=True, kw_only=True):
    """One side has nothing more to say about a share: ``facts`` answers (or claims) in all. Kept for good.

    ``worker``: whose share of a series a requester is through with; None for the one share of a one-job permit.
    """

    TYP: ClassVar[str] = "mesh-nomore"
    BYTES_MAX: ClassVar[int] = FACT_BYTES_MAX

    permit: PermitId
    device: DeviceId
    side: Literal["requester", "worker"]
    facts: int
    worker: DeviceId | None = None


class Verdict(Paper, frozen=True, kw_only=True):
    """A requester did an attempt again that the coordinator drew, and says whether the answer was right.

    ``skipped``: it could not tell, since it has no engine for it, or not the input any more.
    """

    TYP: ClassVar[str] = "mesh-verdict"
    BYTES_MAX: ClassVar[int] = FACT_BYTES_MAX

    check: str
    requester: DeviceId
    worker: DeviceId
    job: JobId
    attempt: int
    outcome: Literal["passed", "missed", "skipped"]


def about(fact: Fact) -> tuple[Any, ...]:
    """Which attempt a fact is about: of two that are about different ones, one wrapped in the other, neither counts."""
    return (fact.permit, fact.requester, fact.worker, fact.job, fact.attempt)


def in_range(fact: Fact, units: int) -> bool:
    """Whether a coordinator takes a fact with such an amount; what it would refuse nobody should work or wait for."""
    return 1 <= fact.attempt <= ATTEMPTS_MAX and 0 <= units <= MICRO_LIMIT and is_ulid(fact.job)


def fits(fact: Count | Used, other: Fact) -> bool:
    """Whether a coordinator believes both, one wrapped in the other."""
    return about(fact) == about(other) and in_range(fact, fact.units)


def keyed_digest(secret: bytes, content: bytes) -> str:
    """BLAKE2b-256 of ``content`` keyed with the job's 32-byte secret, in hex."""
    assert len(secret) == DIGEST_SECRET_BYTES
    return hashlib.blake2b(content, key=secret, digest_size=32).hexdigest()
