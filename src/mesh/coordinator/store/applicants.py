"""Queries about people who wait for an admin: memberships that are pending, and how requests ended.

Touches: database (through the store it is given).
"""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, or_, select, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.coordinator.store.schema.networks import memberships, networks
from mesh.coordinator.store.schema.people import members
from mesh.ids import MemberId, NetworkId
from mesh.networks.applicants import Ended, MembershipState
from mesh.protocol.values import Role

_OF = (memberships.c.network == bindparam("of"), memberships.c.member == bindparam("who"))
_ASKED: dict[str, Any] = {
    "state": "pending",
    "approved_by": None,
    "approved_ms": None,
    "removed_ms": None,
    "credit_floor": None,
    "day_limit": None,
    "trusted": False,
    "ended": None,
    "why": None,
}
_ask = insert(memberships)
_ask_again = (
    update(memberships)
    .where(*_OF)
    .values(
        **_ASKED,
        role=bindparam("as_role"),
        invited_by=bindparam("by"),
        joined_ms=bindparam("now"),
        invite_name=bindparam("for_whom"),
        address=bindparam("proven"),
    )
)
_SHOWN = (
    *(memberships.c.network, memberships.c.member, members.c.name, memberships.c.role, memberships.c.joined_ms),
    *(memberships.c.invited_by, memberships.c.invite_name, memberships.c.address),
)
_pending = select(*_SHOWN).join(members, members.c.id == memberships.c.member).where(memberships.c.state == "pending")
_of_network = _pending.where(memberships.c.network == bindparam("network")).order_by(
    memberships.c.joined_ms, memberships.c.member
)
_one = _pending.where(memberships.c.network == bindparam("network"), memberships.c.member == bindparam("member"))
_overdue = _pending.where(memberships.c.joined_ms < bindparam("before")).order_by(memberships.c.joined_ms).limit(100)
_count = select(func.count()).where(memberships.c.network == bindparam("network"), memberships.c.state == "pending")
_of_member = (
    select(
        memberships.c.network,
        networks.c.name,
        memberships.c.role,
        memberships.c.state,
        memberships.c.joined_ms,
        memberships.c.removed_ms,
        memberships.c.ended,
        memberships.c.why,
    )
    .join(networks, networks.c.id == memberships.c.network)
    .where(memberships.c.member == bindparam("member"), networks.c.deleted_ms.is_(None))
    .where(or_(memberships.c.state == "pending", memberships.c.ended.is_not(None)))
    .order_by(memberships.c.network)
)
_approve = (
    update(memberships)
    .where(*_OF, memberships.c.state == "pending")
    .values(
        state="active",
        approved_by=bindparam("by"),
        approved_ms=bindparam("now"),
        joined_ms=bindparam("now"),
        invite_name=None,
        address=None,
    )
)
_end = (
    update(memberships)
    .where(*_OF, memberships.c.state == "pending")
    .values(
        state="removed",
        removed_ms=bindparam("now"),
        ended=bindparam("how"),
        why=bindparam("reason"),
        approved_by=bindparam("by"),
        invite_name=None,
        address=None,
    )
)
_outcome = (
    select(memberships.c.state, memberships.c.ended, members.c.name)
    .join(members, members.c.id == memberships.c.approved_by, isouter=True)
    .where(memberships.c.network == bindparam("network"), memberships.c.member == bindparam("member"))
)
_forget = (
    update(memberships)
    .where(memberships.c.state == "removed", memberships.c.removed_ms < bindparam("before"))
    .where(memberships.c.ended.is_not(None))
    .values(ended=None, why=None, approved_by=None)
)


class Applicant(NamedTuple):
    """Somebody who waits: who they say they are, as what they would come, by whose invite.

    ``invite_name``: whom the invite was made for; ``address``: an e-mail address that they proved by coming.
    """

    network: NetworkId
    member: MemberId
    name: str
    role: Role
    asked_ms: int
    invited_by: MemberId | None
    invite_name: str | None
    address: str | None


class Request(NamedTuple):
    """Where a person asked to come in, and what became of it: ``ended`` None: it waits."""

    network: NetworkId
    name: str
    role: Role
    state: MembershipState
    asked_ms: int
    ended_ms: int | None
    ended: Ended | None
    why: str | None


class Outcome(NamedTuple):
    """What became of a request, and who decided it, by name."""

    state: MembershipState
    ended: Ended | None
    by: str | None


def ask(store: Store, who: Membership, about: tuple[str, str], *, again: bool, now_ms: int) -> None:
    """A person waits from now on. ``about``: for whom their invite was, and the address that they proved ("": none).

    ``again``: they were in the network, or asked, before.
    """
    invite_name, address = about[0] or None, about[1] or None
    if again:
        values = {"of": who.network, "who": who.member, "as_role": who.role, "by": who.invited_by, "now": now_ms}
        store.run(_ask_again, {**values, "for_whom": invite_name, "proven": address})
        return
    row = {"network": who.network, "member": who.member, "role": who.role, "invited_by": who.invited_by}
    store.run(_ask, {**_ASKED, **row, "joined_ms": now_ms, "invite_name": invite_name, "address": address})


def of_network(store: Store, network: NetworkId) -> list[Applicant]:
    """Who waits in a network, first come first."""
    return [Applicant._make(row) for row in store.rows(_of_network, {"network": network})]


def one(store: Store, network: NetworkId, member: MemberId) -> Applicant | None:
    """Somebody who waits; None: they do not."""
    row = store.row(_one, {"network": network, "member": member})
    return None if row is None else Applicant._make(row)


def count(store: Store, network: NetworkId) -> int:
    """How many wait in a network."""
    return int(store.value(_count, {"network": network}))


def of_member(store: Store, member: MemberId) -> list[Request]:
    """Where a person waits, and what became of requests that led to nothing."""
    return [Request._make(row) for row in store.rows(_of_member, {"member": member})]


def overdue(store: Store, *, before_ms: int) -> list[Applicant]:
    """Some who have waited since before a moment, in any network."""
    return [Applicant._make(row) for row in store.rows(_overdue, {"before": before_ms})]


def approve(store: Store, network: NetworkId, member: MemberId, *, by: MemberId, now_ms: int) -> bool:
    """Let somebody in who waits; False where they do not."""
    return store.run(_approve, {"of": network, "who": member, "by": by, "now": now_ms}) == 1


def end(
    store: Store, network: NetworkId, member: MemberId, how: tuple[Ended, str], *, by: MemberId | None, now_ms: int
) -> bool:
    """End a request that leads to nothing, with the reason that is told ("": none); False where nobody waits."""
    values = {"of": network, "who": member, "how": how[0], "reason": how[1] or None, "by": by, "now": now_ms}
    return store.run(_end, values) == 1


def outcome(store: Store, network: NetworkId, member: MemberId) -> Outcome | None:
    """What became of somebody's request; None: they never were in this network, nor asked."""
    row = store.row(_outcome, {"network": network, "member": member})
    return None if row is None else Outcome._make(row)


def forget(store: Store, *, before_ms: int) -> int:
    """Forget how requests ended before a moment."""
    return store.run(_forget, {"before": before_ms})
