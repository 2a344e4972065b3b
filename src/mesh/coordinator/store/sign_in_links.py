"""Queries about links by which a known person signs in elsewhere.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.sign_in_links import sign_in_links
from mesh.ids import MemberId

_add = insert(sign_in_links)
_by_secret = select(
    *(sign_in_links.c.id, sign_in_links.c.member, sign_in_links.c.expires_ms, sign_in_links.c.used_ms),
    *(sign_in_links.c.browser_hash, sign_in_links.c.address),
).where(sign_in_links.c.secret_hash == bindparam("secret_hash"))
_use = (
    update(sign_in_links)
    .where(sign_in_links.c.id == bindparam("which"), sign_in_links.c.used_ms.is_(None))
    .values(used_ms=bindparam("now"))
)
_open = select(func.count()).where(
    sign_in_links.c.member == bindparam("member"),
    sign_in_links.c.used_ms.is_(None),
    sign_in_links.c.expires_ms > bindparam("now"),
    sign_in_links.c.address.is_(None),
)
_forget = delete(sign_in_links).where(
    sign_in_links.c.member == bindparam("whose"), sign_in_links.c.address == bindparam("mailed")
)
_prune = delete(sign_in_links).where(sign_in_links.c.expires_ms < bindparam("before"))


class SignInLink(NamedTuple):
    """A link as it is kept. ``browser_hash``, ``address``: of one that was sent by mail."""

    id: str
    member: MemberId
    expires_ms: int
    used_ms: int | None
    browser_hash: str | None = None
    address: str | None = None


def add(store: Store, link: SignInLink, *, secret_hash: str, now_ms: int) -> None:
    """A new link; its secret only as SHA-256."""
    store.run(_add, {**link._asdict(), "secret_hash": secret_hash, "created_ms": now_ms})


def by_secret(store: Store, secret_hash: str) -> SignInLink | None:
    """The link that a secret belongs to."""
    row = store.row(_by_secret, {"secret_hash": secret_hash})
    return None if row is None else SignInLink._make(row)


def use(store: Store, link: str, *, now_ms: int) -> bool:
    """A link was used; False where it was so before."""
    return store.run(_use, {"which": link, "now": now_ms}) == 1


def open_of(store: Store, member: MemberId, *, now_ms: int) -> int:
    """How many links of a person still work, without those that were sent by mail."""
    return int(store.value(_open, {"member": member, "now": now_ms}))


def forget(store: Store, member: MemberId, address: str) -> None:
    """What was sent to an address works no more: it is no way in of theirs from now on."""
    store.run(_forget, {"whose": member, "mailed": address})


def prune(store: Store, *, before_ms: int) -> None:
    """Forget links that ended before."""
    store.run(_prune, {"before": before_ms})
