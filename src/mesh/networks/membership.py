"""Roles: what each may do in a network, and why there is always an admin.

Touches: nothing.
"""

from collections.abc import Mapping, Set
from typing import Literal

from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.protocol.values import Role

Permission = Literal[
    "network.read",
    "network.change",
    "devices.read",
    "devices.invite",
    "devices.remove_own",
    "devices.remove_any",
    "devices.approve",
    "devices.steer_own",
    "devices.steer_any",
    "members.read",
    "members.invite",
    "members.approve",
    "members.change",
    "members.leave",
    "jobs.read_own",
    "jobs.read_all",
    "jobs.run",
    "ledger.read_own",
    "ledger.read_all",
    "credits.change",
    "audit.read",
    "keys.own",
    "keys.revoke_any",
]

MEMBER: frozenset[Permission] = frozenset(
    {
        "network.read",
        "devices.read",
        "devices.invite",
        "devices.remove_own",
        "devices.steer_own",
        "members.read",
        "members.leave",
        "jobs.run",
        "jobs.read_own",
        "ledger.read_own",
        "audit.read",
        "keys.own",
    }
)
GUEST = MEMBER - {"audit.read"}
"""A guest needs a device of their own to ask from. What sets guests apart is whose data goes where (``policies``),
who pays, and that they see fewer people.
"""
ADMIN: frozenset[Permission] = MEMBER | {
    "network.change",
    "devices.remove_any",
    "devices.approve",
    "devices.steer_any",
    "members.invite",
    "members.approve",
    "members.change",
    "jobs.read_all",
    "ledger.read_all",
    "credits.change",
    "keys.revoke_any",
}
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {"guest": GUEST, "member": MEMBER, "admin": ADMIN}
"""The one table: role → what it may do."""


class NotAllowed(MeshError):
    """Your role in this network does not allow that. Ask an admin to do it, or to change your role."""

    code = "members.not_allowed"
    kind = "forbidden"


class NotMember(MeshError):
    """There is no such network, or you are not in it. Ask an admin for an invite."""

    code = "members.not_member"
    kind = "not_found"


class AlreadyIn(MeshError):
    """You are in this network already, and no use of the link was counted. Leave it for whom it is meant."""

    code = "members.already_in"
    kind = "conflict"


class NotLetBack(MeshError):
    """You left this network, were removed or not let in, after this link was made. Ask an admin for a fresh one."""

    code = "members.not_let_back"
    kind = "forbidden"


class LastAdmin(MeshError):
    """A network always has an admin, and this is the last one. Make somebody else an admin first."""

    code = "members.last_admin"
    kind = "conflict"


def allows(role: Role, permission: Permission) -> bool:
    """Whether a role includes a permission."""
    return permission in PERMISSIONS[role]


def require(role: Role | None, permission: Permission) -> None:
    """Refuse somebody who is no member (role None), or whose role lacks the permission."""
    if role is None:
        raise NotMember
    if not allows(role, permission):
        raise NotAllowed(permission=permission, role=role)


def change_role(
    roles: Mapping[MemberId, Role], member: MemberId, role: Role | None, leaving: Set[MemberId] = frozenset()
) -> dict[MemberId, Role]:
    """Give a member another role, or None to let them go; the last admin stays one.

    ``leaving``: people whose account is about to be deleted: nobody may count on them as admins. Nothing changes for a
    member who has the role already. Raises NotMember, LastAdmin.
    """
    if member not in roles:
        raise NotMember
    changed = {who: has for who, has in roles.items() if who != member}
    if role is not None:
        changed[member] = role
    if _administered(roles, frozenset()) and not _administered(changed, leaving):
        raise LastAdmin
    return changed


def _administered(roles: Mapping[MemberId, Role], leaving: Set[MemberId]) -> bool:
    return any(role == "admin" and member not in leaving for member, role in roles.items())
