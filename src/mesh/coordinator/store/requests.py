"""Queries about answers already given: a repeated request gets the first answer again.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.requests import idempotency

_find = select(idempotency.c.body_hash, idempotency.c.answer).where(
    idempotency.c.caller == bindparam("caller"), idempotency.c.key == bindparam("key")
)
_add = insert(idempotency)
_prune = delete(idempotency).where(idempotency.c.created_ms < bindparam("before"))


class Given(NamedTuple):
    """The first answer, sealed, and the hash of the request that it answered."""

    body_hash: str
    answer: str


def find(store: Store, *, caller: str, key: str) -> Given | None:
    """What was answered to this caller's key."""
    row = store.row(_find, {"caller": caller, "key": key})
    return None if row is None else Given._make(row)


def add(store: Store, given: Given, *, caller: str, key: str, now_ms: int) -> None:
    """Keep an answer."""
    store.run(
        _add,
        {
            "caller": caller,
            "key": key,
            "body_hash": given.body_hash,
            "status": 200,
            "answer": given.answer,
            "created_ms": now_ms,
        },
    )


def prune(store: Store, *, before_ms: int) -> int:
    """Forget answers older than ``before_ms``."""
    return store.run(_prune, {"before": before_ms})
