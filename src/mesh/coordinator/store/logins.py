"""Queries about command lines that ask to be signed in by a code.

Touches: database (through the store it is given).
"""

from typing import Any

import msgspec
from sqlalchemy import Row, bindparam, delete, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.logins import logins
from mesh.ids import MemberId
from mesh.networks.logins import Login, Outcome

_COLUMNS = tuple(logins.c[name] for name in Login.__struct_fields__)
_add = insert(logins)
_one = select(*_COLUMNS).where(logins.c.id == bindparam("login"))
_waiting = (logins.c.outcome.is_(None), logins.c.expires_ms > bindparam("now"))
_by_handle = select(*_COLUMNS).where(logins.c.handle == bindparam("handle")).order_by(logins.c.id.desc()).limit(1)
_of_secret = select(logins.c.id).where(logins.c.secret_hash == bindparam("secret_hash"))
_open = select(logins.c.address).where(*_waiting)
_handle_taken = select(logins.c.id).where(*_waiting, logins.c.handle == bindparam("handle"))
_reveal = (
    update(logins).where(logins.c.id == bindparam("which"), logins.c.nonce.is_(None)).values(nonce=bindparam("shown"))
)
_end = (
    update(logins)
    .where(logins.c.id == bindparam("which"), logins.c.outcome.is_(None))
    .values(outcome=bindparam("how"), member=bindparam("by"))
)
_wrong = update(logins).where(logins.c.id == bindparam("which")).values(wrong=bindparam("count"))
_withdraw = delete(logins).where(logins.c.id == bindparam("which"), logins.c.outcome.is_(None))
_prune = delete(logins).where(logins.c.expires_ms < bindparam("before"))


def add(store: Store, login: Login) -> None:
    """A command line asks to be signed in."""
    store.run(_add, msgspec.to_builtins(login))


def get(store: Store, login: str) -> Login | None:
    """One command line's request."""
    return _login(store.row(_one, {"login": login}))


def by_handle(store: Store, handle: str) -> Login | None:
    """The newest request whose code begins like this."""
    return _login(store.row(_by_handle, {"handle": handle}))


def secret_known(store: Store, secret_hash: str) -> bool:
    """Whether a request with this secret came before."""
    return store.row(_of_secret, {"secret_hash": secret_hash}) is not None


def waiting(store: Store, *, now_ms: int) -> list[str | None]:
    """The addresses of all that wait now; None where one cannot be told."""
    return [row[0] for row in store.rows(_open, {"now": now_ms})]


def handle_taken(store: Store, handle: str, *, now_ms: int) -> bool:
    """Whether one that waits has this first half of a code."""
    return store.row(_handle_taken, {"handle": handle, "now": now_ms}) is not None


def reveal(store: Store, login: str, nonce: str) -> None:
    """Keep the number that it had committed to."""
    store.run(_reveal, {"which": login, "shown": nonce})


def end(store: Store, login: str, how: Outcome, *, by: MemberId | None = None) -> bool:
    """Nobody can confirm it any more; False where that was so already."""
    return store.run(_end, {"which": login, "how": how, "by": by}) == 1


def count_wrong(store: Store, login: str, count: int) -> None:
    """How often its code was typed wrong."""
    store.run(_wrong, {"which": login, "count": count})


def withdraw(store: Store, login: str) -> None:
    """Forget one that waits no more: whoever asks and leaves over and over fills no disk."""
    store.run(_withdraw, {"which": login})


def prune(store: Store, *, before_ms: int) -> None:
    """Forget requests that ended before."""
    store.run(_prune, {"before": before_ms})


def _login(row: Row[Any] | None) -> Login | None:
    return None if row is None else Login(**row._mapping)
