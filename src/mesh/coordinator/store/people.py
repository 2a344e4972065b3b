"""Queries about the installation and its people: installation, members, sessions.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, or_, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema.people import installation, members, sessions
from mesh.ids import DeviceId, DeviceKey, MemberId

_installation = select(installation.c.coordinator_key, installation.c.claimed_ms, installation.c.operator)
_install = insert(installation)
_count_start = update(installation).values(starts=installation.c.starts + 1)
_claim = (
    update(installation)
    .where(installation.c.claimed_ms.is_(None))
    .values(claimed_ms=bindparam("now"), operator=bindparam("who"))
)
_hand_over = update(installation).values(operator=bindparam("who"))
_add_member = insert(members)
_member_name = select(members.c.name).where(members.c.id == bindparam("member"), members.c.removed_ms.is_(None))
_add_session = insert(sessions)
_session = (
    select(
        sessions.c.member,
        sessions.c.device,
        sessions.c.scope,
        sessions.c.expires_ms,
        members.c.name,
        sessions.c.created_ms,
        sessions.c.admin_until_ms,
    )
    .join(members, members.c.id == sessions.c.member)
    .where(
        sessions.c.token_hash == bindparam("token_hash"),
        sessions.c.revoked_ms.is_(None),
        members.c.removed_ms.is_(None),
    )
)
_SHOWN = (
    *(sessions.c.id, sessions.c.token_hash, sessions.c.label, sessions.c.created_ms, sessions.c.expires_ms),
    sessions.c.admin_until_ms,
)
_sessions_of = (
    select(*_SHOWN)
    .where(
        sessions.c.member == bindparam("member"),
        sessions.c.scope == "full",
        sessions.c.revoked_ms.is_(None),
        sessions.c.expires_ms > bindparam("now"),
    )
    .order_by(sessions.c.id.desc())
)
_end_session = (
    update(sessions)
    .where(
        sessions.c.id == bindparam("which"), sessions.c.member == bindparam("whose"), sessions.c.revoked_ms.is_(None)
    )
    .values(revoked_ms=bindparam("now"))
)
_forget_sessions = delete(sessions).where(
    or_(sessions.c.expires_ms < bindparam("before"), sessions.c.revoked_ms < bindparam("before"))
)
_end_device_sessions = (
    update(sessions)
    .where(sessions.c.device == bindparam("which"), sessions.c.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("now"))
)


class Installation(NamedTuple):
    """The one row: whose key this is, and who claimed it when."""

    coordinator_key: DeviceKey
    claimed_ms: int | None
    operator: MemberId | None


class Session(NamedTuple):
    """A sign-in that is neither revoked nor its person's removal; whether it has expired is for the caller to see.

    ``admin_until_ms``: of a sign-in by a code, until when it may what only admins may; None for all others.
    """

    member: MemberId
    device: DeviceId | None
    scope: str
    expires_ms: int
    name: str
    created_ms: int
    admin_until_ms: int | None = None


class OpenSession(NamedTuple):
    """A person's sign-in that works, as they see it in a list."""

    id: str
    token_hash: str
    label: str | None
    created_ms: int
    expires_ms: int
    admin_until_ms: int | None


def installed(store: Store) -> Installation | None:
    """The installation, or None in a fresh database."""
    row = store.row(_installation)
    return None if row is None else Installation._make(row)


def install(store: Store, *, key: DeviceKey, now_ms: int) -> None:
    """Write the one row."""
    store.run(_install, {"one": 1, "coordinator_key": key, "created_ms": now_ms})


def count_start(store: Store) -> None:
    """One more start of the coordinator."""
    store.run(_count_start)


def claim(store: Store, *, operator: MemberId, now_ms: int) -> bool:
    """Give the installation to its first person; False where somebody was first."""
    return store.run(_claim, {"now": now_ms, "who": operator}) == 1


def hand_over(store: Store, operator: MemberId) -> None:
    """Somebody else operates the installation from now on."""
    store.run(_hand_over, {"who": operator})


def add_member(store: Store, *, member: MemberId, name: str, now_ms: int) -> None:
    """A new person."""
    store.run(_add_member, {"id": member, "name": name, "created_ms": now_ms})


def member_name(store: Store, member: MemberId) -> str | None:
    """A person's name."""
    name: str | None = store.value(_member_name, {"member": member})
    return name


def add_session(store: Store, session: Session, *, session_id: str, token_hash: str, label: str | None = None) -> None:
    """A new sign-in; its token only as SHA-256. ``label``: what the place calls itself, for its owner's list."""
    store.run(
        _add_session,
        {
            "id": session_id,
            "token_hash": token_hash,
            "member": session.member,
            "device": session.device,
            "scope": session.scope,
            "label": label,
            "created_ms": session.created_ms,
            "expires_ms": session.expires_ms,
            "admin_until_ms": session.admin_until_ms,
        },
    )


def session(store: Store, token_hash: str) -> Session | None:
    """The sign-in that a token belongs to."""
    row = store.row(_session, {"token_hash": token_hash})
    return None if row is None else Session._make(row)


def sessions_of(store: Store, member: MemberId, *, now_ms: int) -> list[OpenSession]:
    """Where a person is signed in, newest first; the hourly ones of their devices' keys are not among them."""
    return [OpenSession._make(row) for row in store.rows(_sessions_of, {"member": member, "now": now_ms})]


def end_session(store: Store, member: MemberId, session_id: str, *, now_ms: int) -> bool:
    """Sign a person out in one place; False where that sign-in is not theirs, or is over already."""
    return store.run(_end_session, {"which": session_id, "whose": member, "now": now_ms}) == 1


def end_device_sessions(store: Store, device: DeviceId, *, now_ms: int) -> None:
    """Revoke what a device signed in for."""
    store.run(_end_device_sessions, {"which": device, "now": now_ms})


def forget_sessions(store: Store, *, before_ms: int) -> int:
    """Forget sign-ins that ended before a moment."""
    return store.run(_forget_sessions, {"before": before_ms})
