"""Queries about the installation and its people: installation, members, sessions.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

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
_add_member = insert(members)
_member_name = select(members.c.name).where(members.c.id == bindparam("member"), members.c.removed_ms.is_(None))
_add_session = insert(sessions)
_session = (
    select(sessions.c.member, sessions.c.device, sessions.c.scope, sessions.c.expires_ms, members.c.name)
    .join(members, members.c.id == sessions.c.member)
    .where(
        sessions.c.token_hash == bindparam("token_hash"),
        sessions.c.revoked_ms.is_(None),
        members.c.removed_ms.is_(None),
    )
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
    """A sign-in that is neither revoked nor its person's removal; whether it has expired is for the caller to see."""

    member: MemberId
    device: DeviceId | None
    scope: str
    expires_ms: int
    name: str


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


def add_member(store: Store, *, member: MemberId, name: str, now_ms: int) -> None:
    """A new person."""
    store.run(_add_member, {"id": member, "name": name, "created_ms": now_ms})


def member_name(store: Store, member: MemberId) -> str | None:
    """A person's name."""
    name: str | None = store.value(_member_name, {"member": member})
    return name


def add_session(store: Store, session: Session, *, session_id: str, token_hash: str, now_ms: int) -> None:
    """A new sign-in; its token only as SHA-256."""
    store.run(
        _add_session,
        {
            "id": session_id,
            "token_hash": token_hash,
            "member": session.member,
            "device": session.device,
            "scope": session.scope,
            "created_ms": now_ms,
            "expires_ms": session.expires_ms,
        },
    )


def session(store: Store, token_hash: str) -> Session | None:
    """The sign-in that a token belongs to."""
    row = store.row(_session, {"token_hash": token_hash})
    return None if row is None else Session._make(row)


def end_device_sessions(store: Store, device: DeviceId, *, now_ms: int) -> None:
    """Revoke what a device signed in for."""
    store.run(_end_device_sessions, {"which": device, "now": now_ms})
