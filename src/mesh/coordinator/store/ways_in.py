"""Queries about people's ways in: identities at providers, and passkeys.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.ways_in import identities, passkeys
from mesh.ids import MemberId

_add_identity = insert(identities)
_SHOWN = (identities.c.id, identities.c.member, identities.c.issuer, identities.c.label)
_TIMES = (identities.c.created_ms, identities.c.used_ms)
_identity = select(*_SHOWN, *_TIMES).where(
    identities.c.issuer == bindparam("issuer"), identities.c.subject == bindparam("subject")
)
_identities_of = select(*_SHOWN, *_TIMES).where(identities.c.member == bindparam("whose")).order_by(identities.c.id)
_use_identity = (
    update(identities)
    .where(identities.c.id == bindparam("which"))
    .values(used_ms=bindparam("now"), label=bindparam("as"))
)
_drop_identity = delete(identities).where(
    identities.c.id == bindparam("which"), identities.c.member == bindparam("whose")
)

_add_passkey = insert(passkeys)
_PASSKEY = tuple(passkeys.c[name] for name in ("id", "member", "credential", "public_key", "uses", "label"))
_KEY_TIMES = (passkeys.c.created_ms, passkeys.c.used_ms)
_passkey = select(*_PASSKEY, *_KEY_TIMES).where(passkeys.c.credential == bindparam("credential"))
_passkeys_of = select(*_PASSKEY, *_KEY_TIMES).where(passkeys.c.member == bindparam("whose")).order_by(passkeys.c.id)
_use_passkey = (
    update(passkeys)
    .where(passkeys.c.id == bindparam("which"))
    .values(used_ms=bindparam("now"), uses=bindparam("times"))
)
_drop_passkey = delete(passkeys).where(passkeys.c.id == bindparam("which"), passkeys.c.member == bindparam("whose"))


class Linked(NamedTuple):
    """An identity that is linked with a person here."""

    id: str
    member: MemberId
    issuer: str
    label: str
    created_ms: int
    used_ms: int | None


class Passkey(NamedTuple):
    """A passkey of a person. ``credential`` and ``public_key`` are base64url; ``uses``: the authenticator's counter."""

    id: str
    member: MemberId
    credential: str
    public_key: str
    uses: int
    label: str
    created_ms: int
    used_ms: int | None = None


def add_identity(store: Store, linked: Linked, *, subject: str) -> None:
    """A person may sign in with this account from now on."""
    store.run(_add_identity, {**linked._asdict(), "subject": subject})


def identity(store: Store, issuer: str, subject: str) -> Linked | None:
    """Whose account that is here."""
    row = store.row(_identity, {"issuer": issuer, "subject": subject})
    return None if row is None else Linked._make(row)


def identities_of(store: Store, member: MemberId) -> list[Linked]:
    """A person's accounts, the oldest first."""
    return [Linked._make(row) for row in store.rows(_identities_of, {"whose": member})]


def use_identity(store: Store, linked: Linked, *, label: str, now_ms: int) -> None:
    """A person signed in with it; it is called as its provider calls it now."""
    store.run(_use_identity, {"which": linked.id, "now": now_ms, "as": label})


def drop_identity(store: Store, member: MemberId, identity: str) -> bool:
    """It is no way in any more; False where it is not theirs."""
    return store.run(_drop_identity, {"which": identity, "whose": member}) == 1


def add_passkey(store: Store, passkey: Passkey) -> None:
    """A person may sign in with this passkey from now on."""
    store.run(_add_passkey, passkey._asdict())


def passkey(store: Store, credential: str) -> Passkey | None:
    """The passkey of a credential."""
    row = store.row(_passkey, {"credential": credential})
    return None if row is None else Passkey._make(row)


def passkeys_of(store: Store, member: MemberId) -> list[Passkey]:
    """A person's passkeys, the oldest first."""
    return [Passkey._make(row) for row in store.rows(_passkeys_of, {"whose": member})]


def use_passkey(store: Store, passkey: Passkey, *, uses: int, now_ms: int) -> None:
    """A person signed in with it."""
    store.run(_use_passkey, {"which": passkey.id, "times": uses, "now": now_ms})


def drop_passkey(store: Store, member: MemberId, passkey: str) -> bool:
    """It is no way in any more; False where it is not theirs."""
    return store.run(_drop_passkey, {"which": passkey, "whose": member}) == 1
