"""Reading the whole ledger and all job records in order of time, a part at a time: for exports.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.ledger_pages import LINE_COLUMNS
from mesh.coordinator.store.schema.jobs import LISTED, attempts, jobs
from mesh.coordinator.store.schema.ledger import accounts, entries, postings
from mesh.ids import NetworkId

_LINES = Prepared(
    select(
        *LINE_COLUMNS,
        postings.c.sealed_hash,
    )
    .join(entries, entries.c.posting == postings.c.id)
    .join(accounts, accounts.c.id == entries.c.account)
    .where(postings.c.network == bindparam("network"))
    .where(postings.c.id > bindparam("after"))
    .where(postings.c.posted_ms >= bindparam("since_ms"))
    .where(postings.c.posted_ms < bindparam("until_ms"))
    .where(
        or_(
            bindparam("device") == "",
            postings.c.requester == bindparam("device"),
            postings.c.worker == bindparam("device"),
        )
    )
    .where(or_(bindparam("member") == "", accounts.c.member == bindparam("member")))
    .order_by(postings.c.id, accounts.c.kind, accounts.c.member)
    .limit(bindparam("most"))
)
_ran_at = (
    select(attempts.c.job)
    .where(attempts.c.network == jobs.c.network)
    .where(attempts.c.requester == jobs.c.requester)
    .where(attempts.c.job == jobs.c.job)
    .where(attempts.c.worker == bindparam("device"))
    .correlate(jobs)
    .exists()
)
_WHOSE = and_(
    jobs.c.network == bindparam("network"),
    or_(bindparam("member") == "", jobs.c.member == bindparam("member")),
    or_(
        bindparam("device") == "",
        jobs.c.requester == bindparam("device"),
        jobs.c.device == bindparam("device"),
        _ran_at,
    ),
)
_STARTED = Prepared(
    select(jobs)
    .where(_WHOSE)
    .where(LISTED)
    .where(
        or_(
            jobs.c.created_ms > bindparam("after_ms"),
            and_(jobs.c.created_ms == bindparam("after_ms"), jobs.c.job > bindparam("after")),
        )
    )
    .where(jobs.c.created_ms < bindparam("until_ms"))
    .order_by(jobs.c.created_ms, jobs.c.job)
    .limit(bindparam("most"))
)
_FINISHED = Prepared(
    select(jobs)
    .where(_WHOSE)
    .where(
        or_(
            jobs.c.finished_ms > bindparam("after_ms"),
            and_(jobs.c.finished_ms == bindparam("after_ms"), jobs.c.job > bindparam("after")),
        )
    )
    .where(jobs.c.finished_ms < bindparam("until_ms"))
    .order_by(jobs.c.finished_ms, jobs.c.job)
    .limit(bindparam("most"))
)
PART = 1000
"""Rows read at a time: a few milliseconds, half a megabyte."""


class Wanted(NamedTuple):
    """What is to be exported: whose (empty: everybody's), at or by which device, from when to when (milliseconds)."""

    network: NetworkId
    member: str = ""
    device: str = ""
    since_ms: int = 0
    until_ms: int = 2**53


def lines(store: Store, wanted: Wanted, after: str) -> Sequence[Any]:
    """Ledger entries in order of their postings, beyond one posting; whole postings only."""
    rows = list(store.rows(_LINES, {**wanted._asdict(), "after": after, "most": PART}))
    if len(rows) == PART:  # the last posting may be cut: it comes whole with the next part
        last = rows[-1].id
        whole = [row for row in rows if row.id != last]
        assert whole, "a posting has a handful of entries"
        return whole
    return rows


def started(store: Store, wanted: Wanted, after: tuple[int, str]) -> Sequence[Any]:
    """Job records by when they began."""
    return store.rows(_STARTED, _keys(wanted, after))


def finished(store: Store, wanted: Wanted, after: tuple[int, str]) -> Sequence[Any]:
    """Job records by when they ended."""
    return store.rows(_FINISHED, _keys(wanted, after))


def _keys(wanted: Wanted, after: tuple[int, str]) -> dict[str, Any]:
    keys = {"network": wanted.network, "member": wanted.member, "device": wanted.device}
    return {**keys, "after_ms": after[0], "after": after[1], "until_ms": wanted.until_ms, "most": PART}
