"""Queries about letters by which somebody shows that an invite's e-mail address is theirs.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.networks import invite_letters
from mesh.ids import TokenId

_add = insert(invite_letters)
_by_secret = select(
    invite_letters.c.id, invite_letters.c.token, invite_letters.c.browser_hash, invite_letters.c.expires_ms
).where(invite_letters.c.secret_hash == bindparam("secret_hash"))
_prune = delete(invite_letters).where(invite_letters.c.expires_ms < bindparam("before"))


class InviteLetter(NamedTuple):
    """A letter as it is kept: for which invite, and in which browser it counts."""

    id: str
    token: TokenId
    browser_hash: str
    expires_ms: int


def add(store: Store, letter: InviteLetter, *, secret_hash: str, now_ms: int) -> None:
    """A new letter; its secret only as SHA-256."""
    store.run(_add, {**letter._asdict(), "secret_hash": secret_hash, "created_ms": now_ms})


def by_secret(store: Store, secret_hash: str) -> InviteLetter | None:
    """The letter that a secret belongs to."""
    row = store.row(_by_secret, {"secret_hash": secret_hash})
    return None if row is None else InviteLetter._make(row)


def prune(store: Store, *, before_ms: int) -> None:
    """Forget letters that ended before."""
    store.run(_prune, {"before": before_ms})
