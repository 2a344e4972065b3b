"""Calls about credits that admins steer, and what they answer.

Touches: nothing.
"""

from typing import Any

from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.sdk.answers import Answer, Done
from mesh.sdk.calls import Call


class CreditTerms(Answer, frozen=True):
    """A person's own floor and daily limit in micro-credits; None: the network's."""

    floor: int | None = None
    day_limit: int | None = None
    trusted: bool = False


class Paid(Answer, frozen=True):
    """An amount was paid, in micro-credits."""

    amount: int


class Cleared(Answer, frozen=True):
    """So many marks were cleared."""

    marks: int


class OwedLine(Answer, frozen=True):
    """What one member owes another for an attempt (micro-credits), on which evidence, since when."""

    requester: DeviceId
    job: JobId
    attempt: int
    payer: MemberId
    earner: MemberId
    worker: DeviceId
    amount: int
    how: str
    since_ms: int


class OwedLines(Answer, frozen=True):
    """What is owed, the oldest first."""

    owed: tuple[OwedLine, ...]
    cursor: str | None = None


class Mark(Answer, frozen=True):
    """What counts against a device: how often, by whose work, and the newest job."""

    device: DeviceId
    kind: str
    times: int
    last_ms: int
    job: str
    other: MemberId | None = None


class Unusual(Answer, frozen=True):
    """A device whose earnings of the last 24 hours stand out from all others' (micro-credits)."""

    device: DeviceId
    earned: int


class Marks(Answer, frozen=True):
    """Marks that were not cleared, and earnings that stand out."""

    marks: tuple[Mark, ...]
    unusual: tuple[Unusual, ...] = ()


class Decision(Answer, frozen=True):
    """What an admin decided, and its place in the chain."""

    number: int
    at_ms: int
    by: MemberId
    kind: str
    subject: str
    facts: dict[str, Any]
    hash: str


class Decisions(Answer, frozen=True):
    """Decisions newest first; ``before`` asks for the next page; ``broken``: the first whose hash does not fit."""

    decisions: tuple[Decision, ...]
    before: int | None = None
    broken: int | None = None


def _path(network: NetworkId, *rest: str) -> str:
    return "/".join(("/v1/networks", network, *rest))


def give(network: NetworkId, member: MemberId, amount: int, reason: str) -> Call[Done]:
    """Give a member credits (negative: take back), in micro-credits (for admins)."""
    return Call("POST", _path(network, "credits"), Done, {"member": member, "amount": amount, "reason": reason})


def set_terms(network: NetworkId, member: MemberId, changes: dict[str, int | bool | None]) -> Call[CreditTerms]:
    """Give a member a ``floor`` or a ``day_limit`` of their own; None is the network's; ``trusted`` vouches for
    them (for admins).
    """
    return Call("PUT", _path(network, "members", member, "credit"), CreditTerms, dict(changes))


def set_device_day(network: NetworkId, device: DeviceId, day_limit: int | None) -> Call[Done]:
    """Limit what a device's jobs may cost in 24 hours (for admins)."""
    return Call("PUT", _path(network, "devices", device, "credit"), Done, {"day_limit": day_limit})


def owed(network: NetworkId) -> Call[OwedLines]:
    """What is owed by or to me; for admins all."""
    return Call("GET", _path(network, "owed"), OwedLines)


def settle_owed(network: NetworkId, line: OwedLine) -> Call[Paid]:
    """Pay what an attempt is owed, out of what its payer has free (for admins)."""
    body = {"requester": line.requester, "job": line.job, "attempt": line.attempt}
    return Call("POST", _path(network, "owed", "settle"), Paid, body)


def marks(network: NetworkId) -> Call[Marks]:
    """What counts against my devices; for admins against all."""
    return Call("GET", _path(network, "marks"), Marks)


def clear_marks(network: NetworkId, device: DeviceId, other: MemberId | None = None) -> Call[Cleared]:
    """Clear what counts against a device (for admins)."""
    return Call("POST", _path(network, "marks", "clear"), Cleared, {"device": device, "other": other})


def decisions(network: NetworkId, before: int | None = None) -> Call[Decisions]:
    """What admins decided."""
    return Call("GET", _path(network, "decisions"), Decisions, query={"before": str(before)} if before else None)
