"""Pages of the ledger, newest first: found by an index whatever they are narrowed to, with a million lines behind them.

Touches: database (through the store it is given).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Column, Select, bindparam, or_, select, text, union, union_all

from mesh.coordinator.store.connection import Prepared, Store
from mesh.coordinator.store.schema.ledger import USUAL, accounts, entries, postings
from mesh.ids import NetworkId, ulid

NEWEST = "~"
"""Sorts after every id: the cursor of the first page."""
FOREVER_MS = 2**47
FEW = 2000
"""A device with fewer postings than that is looked through, and its member's lines are not."""
Drive = Literal["member", "device", "kind", "all"]
WRITTEN_MS = 60_000
"""A posting's id is a ULID made while it is written: of its own moment, or of a little later. A minute is ample."""
LOWEST = bytes(10)
LINE_COLUMNS = (
    postings.c.id,
    postings.c.posted_ms,
    postings.c.kind,
    accounts.c.kind.label("account"),
    accounts.c.member,
    entries.c.amount,
    postings.c.payer,
    postings.c.earner,
    postings.c.requester,
    postings.c.worker,
    postings.c.job,
    postings.c.attempt,
    postings.c.tariff_version,
    postings.c.units,
    postings.c.price_micro,
    postings.c.price_per,
    postings.c.approver,
    postings.c.permit,
    postings.c.receipt,
    postings.c.reason,
    postings.c.sealed_number,
)
"""What a line of the ledger is made of: an entry, its account, and the posting that it belongs to."""
_SIDES = (postings.c.requester, postings.c.worker)
_OF_MEMBER = ("balance", "pending")
"""The kinds of account that a member has."""


class Wanted(NamedTuple):
    """Which lines: whose (empty: everybody's), which device asked or worked, what kind, from when to when (ms)."""

    network: NetworkId
    member: str = ""
    device: str = ""
    kind: str = ""
    since_ms: int = 0
    until_ms: int = FOREVER_MS


def lines(store: Store, wanted: Wanted, *, before: str, most: int) -> Sequence[Any]:
    """Entries of up to ``most`` postings newest first, from before a posting's id; whole postings only."""
    store.by_index()
    bound, from_id = id_bounds(wanted)
    facts = {**wanted._asdict(), "before": min(before, bound), "from_id": from_id, "most": most}
    drive: Drive = "member" if wanted.member else "device" if wanted.device else "all"
    if wanted.kind not in ("", USUAL):
        drive = "kind"
    elif wanted.member and wanted.device and len(store.rows(_OF_DEVICE, facts)) < FEW:
        drive = "device"
    return store.rows(_statement(drive, bool(wanted.member), bool(wanted.device), wanted.kind), facts)


def id_bounds(wanted: Wanted) -> tuple[str, str]:
    """Before which id, and from which one, the postings of the time asked for lie: what an index can be asked."""
    bound = NEWEST if wanted.until_ms >= FOREVER_MS else ulid(wanted.until_ms + WRITTEN_MS, LOWEST)
    return bound, ulid(wanted.since_ms, LOWEST) if wanted.since_ms else ""


@cache
def _statement(drive: Drive, of_member: bool, of_device: bool, kind: str) -> Prepared:
    """The query for one way of narrowing down: ids by the index of what ``drive`` names, then their entries."""
    if drive == "member":
        found = [_by_account(account, of_device, kind) for account in _OF_MEMBER]
    elif drive == "device":
        found = [_postings(of_member, False, kind).where(column == bindparam("device")) for column in _SIDES]
    else:
        found = [_postings(of_member, of_device, kind)]
    if drive == "kind":
        found = [one.where(text(f"postings.kind <> '{USUAL}'")) for one in found]
    parts = [
        select(part.order_by(part.selected_columns.id.desc()).limit(bindparam("most")).subquery()) for part in found
    ]
    ids = union(*parts).subquery() if len(parts) > 1 else parts[0].subquery()
    first = select(ids.c.id).order_by(ids.c.id.desc()).limit(bindparam("most")).subquery()
    query = (
        select(*LINE_COLUMNS)
        .join(first, first.c.id == postings.c.id)
        .join(entries, entries.c.posting == postings.c.id)
        .join(accounts, accounts.c.id == entries.c.account)
        .order_by(postings.c.id.desc(), entries.c.account.desc())
    )
    return Prepared(query.where(accounts.c.member == bindparam("member")) if of_member else query)


def _narrowed(query: Select[Any], of_device: bool, kind: str) -> Select[Any]:
    query = query.where(postings.c.posted_ms >= bindparam("since_ms")).where(
        postings.c.posted_ms < bindparam("until_ms")
    )
    if of_device:
        query = query.where(or_(postings.c.requester == bindparam("device"), postings.c.worker == bindparam("device")))
    return query.where(postings.c.kind == bindparam("kind")) if kind else query


def _postings(of_member: bool, of_device: bool, kind: str) -> Select[Any]:
    query = (
        select(postings.c.id)
        .where(postings.c.network == bindparam("network"))
        .where(postings.c.id < bindparam("before"))
        .where(postings.c.id >= bindparam("from_id"))
    )
    if of_member:
        whose = (
            select(entries.c.posting)
            .join(accounts, accounts.c.id == entries.c.account)
            .where(entries.c.posting == postings.c.id)
            .where(accounts.c.member == bindparam("member"))
            .correlate(postings)
        )
        query = query.where(whose.exists())
    return _narrowed(query, of_device, kind)


def _by_account(account: str, of_device: bool, kind: str) -> Select[Any]:
    one = (
        select(accounts.c.id)
        .where(accounts.c.network == bindparam("network"))
        .where(accounts.c.kind == account)
        .where(accounts.c.member == bindparam("member"))
        .scalar_subquery()
    )
    query = (
        select(entries.c.posting.label("id"))
        .join(postings, postings.c.id == entries.c.posting)
        .where(entries.c.account == one)
        .where(entries.c.posting < bindparam("before"))
        .where(entries.c.posting >= bindparam("from_id"))
    )
    return _narrowed(query, of_device, kind)


def _of_device(column: Column[Any]) -> Select[Any]:
    found = select(postings.c.id).where(postings.c.network == bindparam("network")).where(column == bindparam("device"))
    return select(found.limit(FEW).subquery())


_OF_DEVICE = Prepared(union_all(*(_of_device(column) for column in _SIDES)))
"""The postings of a device, or the first few of them."""
