"""The default policy: allow or deny one job on one device, always with a reason.

Everything is denied that no rule below allows. The coordinator asks when it permits, the worker when it accepts.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.ids import MemberId
from mesh.protocol.values import Role, Sensitivity

POLICY_VERSION = 1
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


def decide(asker: Asker, target: Target, sensitivity: Sensitivity) -> Decision:
    """Decide one job on one device. One's own devices take all of one's own work, phones no sensitive data."""
    if sensitivity == "sensitive":
        if target.phone:
            return Decision(False, "sensitive-phone", "sensitive data never goes to phones")
        if target.owner == asker.member:
            return Decision(True, "own-device", "one's own device")
        if asker.role != "guest" and target.owner_role == "admin":
            return Decision(True, "sensitive-admin", "an admin's device")
        return Decision(False, "sensitive-owner", "sensitive data goes only to one's own or an admin's device")
    if target.owner == asker.member:
        return Decision(True, "own-device", "one's own device")
    if asker.role == "guest":
        if sensitivity == "public":
            return Decision(True, "guest-public", "guests may use public data")
        return Decision(False, "guest-public", "guests may use public data only")
    if target.owner_role == "guest" and sensitivity != "public":
        return Decision(False, "guest-device", "guests' devices get public data only")
    return Decision(True, "members", "members may run everything on contributing devices")
