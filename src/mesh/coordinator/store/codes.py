"""Queries about machines that wait for a person to type their code: devices that want to join, and command lines.

Touches: database (through the store it is given).
"""

from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Row, Table, bindparam, delete, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.logins import logins
from mesh.coordinator.store.schema.pairings import pairings
from mesh.ids import TokenId
from mesh.networks.codes import Asked, Outcome
from mesh.networks.logins import Login
from mesh.networks.pairing import Pairing

A = TypeVar("A", bound=Asked)


class Requests(Generic[A]):
    """Requests of one kind, in a table with a column for each of their fields. ``by``: the column that a yes fills."""

    def __init__(self, table: Table, kind: type[A], by: str) -> None:
        self.kind = kind
        self._columns = tuple(table.c[name] for name in kind.__struct_fields__)
        waiting = (table.c.outcome.is_(None), table.c.expires_ms > bindparam("now"))
        this = table.c.id == bindparam("which")
        self._add = insert(table)
        self._get = select(*self._columns).where(this)
        self._by_handle = (
            select(*self._columns).where(table.c.handle == bindparam("handle")).order_by(table.c.id.desc()).limit(1)
        )
        self._of_secret = select(table.c.id).where(table.c.secret_hash == bindparam("secret_hash"))
        self._waiting = select(table.c.address).where(*waiting)
        self._handle_taken = select(table.c.id).where(*waiting, table.c.handle == bindparam("handle"))
        self._reveal = update(table).where(this, table.c.nonce.is_(None)).values(nonce=bindparam("shown"))
        self._end = (
            update(table)
            .where(this, table.c.outcome.is_(None))
            .values({table.c.outcome: bindparam("how"), table.c[by]: bindparam("by")})
        )
        self._wrong = update(table).where(this).values(wrong=bindparam("count"))
        self._forget = delete(table).where(this, table.c.outcome.is_(None))
        self._prune = delete(table).where(table.c.expires_ms < bindparam("before"))

    def add(self, store: Store, asked: A) -> None:
        """A machine asks."""
        store.run(self._add, msgspec.to_builtins(asked))

    def get(self, store: Store, which: str) -> A | None:
        """One request."""
        return self._asked(store.row(self._get, {"which": which}))

    def by_handle(self, store: Store, handle: str) -> A | None:
        """The newest request whose code begins like this."""
        return self._asked(store.row(self._by_handle, {"handle": handle}))

    def secret_known(self, store: Store, secret_hash: str) -> bool:
        """Whether a request with this secret came before."""
        return store.row(self._of_secret, {"secret_hash": secret_hash}) is not None

    def waiting(self, store: Store, *, now_ms: int) -> list[str | None]:
        """The addresses of all that wait now; None where one cannot be told."""
        return [row[0] for row in store.rows(self._waiting, {"now": now_ms})]

    def handle_taken(self, store: Store, handle: str, *, now_ms: int) -> bool:
        """Whether one that waits has this first half of a code."""
        return store.row(self._handle_taken, {"handle": handle, "now": now_ms}) is not None

    def reveal(self, store: Store, which: str, nonce: str) -> None:
        """Keep the number that a machine had committed to, once."""
        store.run(self._reveal, {"which": which, "shown": nonce})

    def end(self, store: Store, which: str, how: Outcome, *, by: str | None = None) -> bool:
        """Nobody can confirm it any more; False where that was so already. ``by``: what a yes made, or who said it."""
        return store.run(self._end, {"which": which, "how": how, "by": by}) == 1

    def count_wrong(self, store: Store, which: str, count: int) -> None:
        """How often its code was typed wrong."""
        store.run(self._wrong, {"which": which, "count": count})

    def forget(self, store: Store, which: str) -> None:
        """Forget one that waits no more: whoever asks and leaves over and over fills no disk."""
        store.run(self._forget, {"which": which})

    def prune(self, store: Store, *, before_ms: int) -> None:
        """Forget requests that ended before."""
        store.run(self._prune, {"before": before_ms})

    def _asked(self, row: Row[Any] | None) -> A | None:
        return None if row is None else self.kind(**row._mapping)


PAIRINGS = Requests(pairings, Pairing, "token")
LOGINS = Requests(logins, Login, "member")
_of_token = select(*(pairings.c[name] for name in Pairing.__struct_fields__)).where(
    pairings.c.token == bindparam("token")
)


def pairing_of(store: Store, token: TokenId) -> Pairing | None:
    """The pairing for which a join token was made; None for tokens of links."""
    row = store.row(_of_token, {"token": token})
    return None if row is None else Pairing(**row._mapping)
