"""Queries about machines that ask to join by a code.

Touches: database (through the store it is given).
"""

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, delete, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.pairings import pairings
from mesh.ids import TokenId
from mesh.networks.pairing import Outcome, Pairing

_COLUMNS = tuple(pairings.c[name] for name in Pairing.__struct_fields__)
_add = insert(pairings)
_one = select(*_COLUMNS).where(pairings.c.id == bindparam("pairing"))
_waiting = (pairings.c.outcome.is_(None), pairings.c.expires_ms > bindparam("now"))
_by_handle = select(*_COLUMNS).where(pairings.c.handle == bindparam("handle")).order_by(pairings.c.id.desc()).limit(1)
_of_secret = select(pairings.c.id).where(pairings.c.secret_hash == bindparam("secret_hash"))
_of_token = select(*_COLUMNS).where(pairings.c.token == bindparam("token"))
_open = select(pairings.c.address).where(*_waiting)
_handle_taken = select(pairings.c.id).where(*_waiting, pairings.c.handle == bindparam("handle"))
_reveal = (
    update(pairings)
    .where(pairings.c.id == bindparam("which"), pairings.c.nonce.is_(None))
    .values(nonce=bindparam("shown"))
)
_end = (
    update(pairings)
    .where(pairings.c.id == bindparam("which"), pairings.c.outcome.is_(None))
    .values(outcome=bindparam("how"), token=bindparam("by"))
)
_wrong = update(pairings).where(pairings.c.id == bindparam("which")).values(wrong=bindparam("count"))
_prune = delete(pairings).where(pairings.c.expires_ms < bindparam("before"))


def add(store: Store, pairing: Pairing) -> None:
    """A machine asks to come in."""
    store.run(_add, msgspec.to_builtins(pairing))


def get(store: Store, pairing: str) -> Pairing | None:
    """One machine's request."""
    return _pairing(store.row(_one, {"pairing": pairing}))


def by_handle(store: Store, handle: str) -> Pairing | None:
    """The newest request whose code begins like this."""
    return _pairing(store.row(_by_handle, {"handle": handle}))


def of_token(store: Store, token: TokenId) -> Pairing | None:
    """The request for which a join token was made; None for tokens of links."""
    return _pairing(store.row(_of_token, {"token": token}))


def secret_known(store: Store, secret_hash: str) -> bool:
    """Whether a request with this secret came before."""
    return store.row(_of_secret, {"secret_hash": secret_hash}) is not None


def waiting(store: Store, *, now_ms: int) -> list[str | None]:
    """The addresses of all machines that wait now; None where one cannot be told."""
    return [row[0] for row in store.rows(_open, {"now": now_ms})]


def handle_taken(store: Store, handle: str, *, now_ms: int) -> bool:
    """Whether a machine that waits has this first half of a code."""
    return store.row(_handle_taken, {"handle": handle, "now": now_ms}) is not None


def reveal(store: Store, pairing: str, nonce: str) -> bool:
    """Keep the number that a machine had committed to; False where it had shown it before."""
    return store.run(_reveal, {"which": pairing, "shown": nonce}) == 1


def end(store: Store, pairing: str, how: Outcome, *, token: TokenId | None = None) -> bool:
    """Nobody can confirm it any more; False where that was so already."""
    return store.run(_end, {"which": pairing, "how": how, "by": token}) == 1


def count_wrong(store: Store, pairing: str, count: int) -> None:
    """How often its code was typed wrong."""
    store.run(_wrong, {"which": pairing, "count": count})


def prune(store: Store, *, before_ms: int) -> None:
    """Forget requests that ended before."""
    store.run(_prune, {"before": before_ms})


def _pairing(row: Row[Any] | None) -> Pairing | None:
    return None if row is None else Pairing(**row._mapping)
