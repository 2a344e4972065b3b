"""The default policy: allow or deny one job on one device, always with a reason.

Everything is denied that no rule below allows. The coordinator asks when it permits, the worker when it accepts.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.ids import MemberId
from mesh.protocol.values import Isolation, Role, Sensitivity

POLICY_VERSION = 2
"""Counts the changes to the rules of this file; a State names the version that its network runs under."""


class Asker(NamedTuple):
    """Who asks: a member in a role."""

    member: MemberId
    role: Role


class Target(NamedTuple):
    """Where the work would be done: a device's owner, the owner's role, and whether it is a phone."""

    owner: MemberId
    owner_role: Role
    phone: bool


class Decision(NamedTuple):
    """Allowed or not, by which rule, and why in words made of codes."""

    allowed: bool
    rule: str
    reason: str


def decide(asker: Asker, target: Target, sensitivity: Sensitivity, *, pinned: bool = False) -> Decision:
    """Decide one job on one device; ``pinned``: the asker named this very device.

    One's own devices take all of one's own work. Sensitive data leaves them only for an admin's device, which a member
    must have named, and goes to no phone but one's own, named one.
    """
    own = target.owner == asker.member
    if sensitivity == "sensitive":
        return _sensitive(asker, target, own=own, pinned=pinned)
    if own:
        return Decision(True, "own-device", "one's own device")
    if asker.role == "guest":
        if sensitivity == "public":
            return Decision(True, "guest-public", "guests may use public data")
        return Decision(False, "guest-public", "guests may use public data only")
    if target.owner_role == "guest" and sensitivity != "public":
        return Decision(False, "guest-device", "guests' devices get public data only")
    return Decision(True, "members", "members may run everything on contributing devices")


def isolated(isolation: Isolation, sensitivity: Sensitivity, *, own: bool) -> Decision:
    """Whether a device confines its engines enough: sensitive data of others needs the strict level."""
    if own or sensitivity != "sensitive" or isolation == "strict":
        return Decision(True, "isolation", "")
    return Decision(False, "isolation", f"isolation {isolation}, sensitive data of others needs strict")


def _sensitive(asker: Asker, target: Target, *, own: bool, pinned: bool) -> Decision:
    if target.phone and not (own and pinned):
        return Decision(False, "sensitive-phone", "sensitive data goes to no phone but one's own, named one")
    if own:
        return Decision(True, "own-device", "one's own device")
    if asker.role == "guest" or target.owner_role != "admin":
        return Decision(False, "sensitive-owner", "sensitive data goes only to one's own or an admin's device")
    if asker.role != "admin" and not pinned:
        return Decision(False, "sensitive-named", "sensitive data leaves one's own devices only for a device named")
    return Decision(True, "sensitive-admin", "an admin's device")
