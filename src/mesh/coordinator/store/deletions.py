"""Accounts that their people want deleted, in SQL.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.deletions import deletions
from mesh.coordinator.store.schema.people import members, sessions
from mesh.ids import MemberId

_COLUMNS = (
    *(deletions.c.member, deletions.c.asked_ms, deletions.c.due_ms, deletions.c.closed_ms, deletions.c.done_ms),
    deletions.c.report,
)
_of = select(*_COLUMNS).where(deletions.c.member == bindparam("member"))
_by_receipt = select(*_COLUMNS).where(deletions.c.receipt_hash == bindparam("receipt_hash"))
_due = (
    select(*_COLUMNS)
    .where(deletions.c.done_ms.is_(None), deletions.c.due_ms <= bindparam("now"))
    .order_by(deletions.c.due_ms, deletions.c.member)
)
_waiting = select(deletions.c.member).where(deletions.c.closed_ms.is_(None))
_add = insert(deletions)
_drop = delete(deletions).where(deletions.c.member == bindparam("whose"), deletions.c.closed_ms.is_(None))
_close = (
    update(deletions)
    .where(deletions.c.member == bindparam("whose"))
    .values(closed_ms=bindparam("now"), report=bindparam("counted"))
)
_finish = (
    update(deletions)
    .where(deletions.c.member == bindparam("whose"))
    .values(done_ms=bindparam("now"), report=bindparam("told"))
)
_remove = update(members).where(members.c.id == bindparam("whose")).values(removed_ms=bindparam("now"))
_sign_out = (
    update(sessions)
    .where(sessions.c.member == bindparam("whose"), sessions.c.revoked_ms.is_(None))
    .where(sessions.c.scope == "full", sessions.c.token_hash != bindparam("but"))
    .values(revoked_ms=bindparam("now"))
)


class Deletion(NamedTuple):
    """Who asked when, and from when on it happens; ``closed_ms``, ``done_ms`` and ``report`` as in the table."""

    member: MemberId
    asked_ms: int
    due_ms: int
    closed_ms: int | None = None
    done_ms: int | None = None
    report: str | None = None


def of(store: Store, member: MemberId) -> Deletion | None:
    """What a person has asked for."""
    row = store.row(_of, {"member": member})
    return None if row is None else Deletion._make(row)


def by_receipt(store: Store, receipt_hash: str) -> Deletion | None:
    """The deletion that a receipt belongs to."""
    row = store.row(_by_receipt, {"receipt_hash": receipt_hash})
    return None if row is None else Deletion._make(row)


def due(store: Store, *, now_ms: int) -> list[Deletion]:
    """Those whose time has come and that are not done, the longest due first."""
    return [Deletion._make(row) for row in store.rows(_due, {"now": now_ms})]


def waiting(store: Store) -> frozenset[MemberId]:
    """People who asked, and whose account is not closed yet."""
    return frozenset(MemberId(row.member) for row in store.rows(_waiting))


def add(store: Store, deletion: Deletion, *, receipt_hash: str) -> None:
    """Somebody asks."""
    when = {"asked_ms": deletion.asked_ms, "due_ms": deletion.due_ms}
    store.run(_add, {"member": deletion.member, "receipt_hash": receipt_hash, **when})


def drop(store: Store, member: MemberId) -> bool:
    """Somebody takes it back; False where nothing waits, or the account is closed already."""
    return store.run(_drop, {"whose": member}) == 1


def close(store: Store, member: MemberId, counted: str, *, now_ms: int) -> None:
    """From now on there is no way back: nobody signs in as this person. ``counted``: the rows that there are."""
    store.run(_close, {"whose": member, "now": now_ms, "counted": counted})
    store.run(_remove, {"whose": member, "now": now_ms})


def finish(store: Store, member: MemberId, told: str, *, now_ms: int) -> None:
    """All is done; ``told``: what became of the rows."""
    store.run(_finish, {"whose": member, "now": now_ms, "told": told})


def sign_out(store: Store, member: MemberId, *, but: str, now_ms: int) -> None:
    """End a person's sign-ins everywhere except in one place."""
    store.run(_sign_out, {"whose": member, "but": but, "now": now_ms})
