"""Deleting an account: what a network makes of it that somebody goes for good, and how long they may think again.

Touches: nothing.
"""

from collections.abc import Mapping, Set
from typing import Literal

from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.networks.membership import LastAdmin, change_role
from mesh.protocol.values import Role
from mesh.units import DAY

GRACE_S = 30 * DAY
"""A month: who was away, or was not the one who asked, still comes in time."""

Parting = Literal["leave", "end", "blocked"]
"""A network goes on without somebody; it ends with them, as nobody else is in it; or it would have no admin."""


class OnlyAdmin(MeshError):
    """You are the only admin of a network that has other people. Make one of them an admin first (`mesh members role`),
    or remove them; then ask again.
    """

    code = "privacy.only_admin"
    kind = "conflict"


class OperatorStays(MeshError):
    """You operate this installation, and somebody has to. Hand it over first, `mesh auth hand-over PERSON`; or stop it
    and delete its data folder, which is all that it keeps.
    """

    code = "privacy.operator"
    kind = "conflict"


class NotConfirmed(MeshError):
    """Nothing was deleted: to say that you mean it, give the name that you have here, letter by letter."""

    code = "privacy.not_confirmed"
    kind = "invalid"


class NothingAsked(MeshError):
    """There is no deletion to take back or to look at. `mesh privacy status` says how things stand."""

    code = "privacy.nothing_asked"
    kind = "not_found"


def parting(roles: Mapping[MemberId, Role], member: MemberId, leaving: Set[MemberId]) -> Parting:
    """What a network's people make of it that ``member`` goes; ``leaving``: who goes as well.

    Raises NotMember.
    """
    if set(roles) == {member}:
        return "end"
    try:
        change_role(roles, member, None, leaving)
    except LastAdmin:
        return "blocked"
    return "leave"
