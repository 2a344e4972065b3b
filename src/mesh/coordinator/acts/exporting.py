"""The ledger and the jobs behind it as one stream of events in order of time, each explaining itself.

Touches: nothing.
"""

from typing import Any, NamedTuple

from mesh.units import credits_text

_ENTRIES = {
    "settle": ("credits.spent", "credits.earned"),
    "second": ("credits.spent", "credits.earned"),
    "reverse": ("credits.taken_back", "credits.given_back"),
    "mature": ("credits.matured", "credits.matured"),
    "welcome": ("credits.issued", "credits.welcome"),
    "admin": ("credits.taken", "credits.given"),
    "burn": ("credits.burnt", "credits.burnt"),
    "line": ("credits.line_changed", "credits.line_changed"),
}
"""What an entry of a kind of posting is called, by the sign of its amount."""
_OTHERS = ("credits.fee", "job.started", "job.completed", "job.failed")
KINDS = (*dict.fromkeys(name for names in _ENTRIES.values() for name in names), *_OTHERS)
"""All events that an export can hold."""


class Event(NamedTuple):
    """One line of an export. Amounts in micro-credits and in credits; the price is ``price_micro`` per ``price_per``.

    ``receipt`` is the SHA-256 of the signed fact that a payment rests on; ``sealed_number`` and ``sealed_hash`` its
    place in the chain. ``note``: why a job failed, or what an admin said.
    """

    time_ms: int
    event: str
    account: str = ""
    member: str = ""
    counterparty: str = ""
    requester: str = ""
    worker: str = ""
    job: str = ""
    attempt: int | None = None
    amount_micro: int | None = None
    amount: str = ""
    units: int | None = None
    price_micro: int | None = None
    price_per: int | None = None
    tariff_version: int | None = None
    receipt: str = ""
    posting: str = ""
    sealed_number: int | None = None
    sealed_hash: str = ""
    note: str = ""


def of_entry(row: Any) -> Event:
    """The event of a ledger entry."""
    fee = row.account == "verification"
    event = "credits.fee" if fee else _ENTRIES[row.kind][row.amount > 0]
    other = row.earner if row.member == row.payer else row.payer
    return Event(
        row.posted_ms,
        event,
        row.account,
        row.member,
        other or "",
        row.requester or "",
        row.worker or "",
        row.job or "",
        row.attempt,
        row.amount,
        credits_text(row.amount),
        row.units,
        row.price_micro,
        row.price_per,
        row.tariff_version,
        row.receipt or "",
        row.id,
        row.sealed_number,
        row.sealed_hash or "",
        row.reason or "",
    )


def of_start(row: Any) -> Event:
    """A job began."""
    return Event(row.created_ms, "job.started", member=row.member, requester=row.requester, job=row.job)


def of_end(row: Any) -> Event:
    """A job ended, as its requester reported."""
    return Event(
        row.finished_ms,
        "job.failed" if row.code else "job.completed",
        member=row.member,
        requester=row.requester,
        worker=row.device or "",
        job=row.job,
        units=row.units_used,
        note=row.code or "",
    )
