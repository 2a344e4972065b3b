"""The policy at work: allow or deny one job on one device, always with a reason.

Everything is denied that no grant allows. Two rules stand above every grant: one's own devices take one's own work, and
sensitive data of others goes only to an admin's device. The coordinator asks when it permits, the worker once more.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.ids import DeviceId, MemberId
from mesh.policies.times import within
from mesh.protocol.values import Grant, Isolation, Policy, Role, Sensitivity

DEFAULT_POLICY = Policy(
    (
        Grant(
            "members share their devices",
            roles=("admin", "member"),
            sensitivities=("public", "private"),
            owner_roles=("admin", "member"),
        ),
        Grant("guests' devices get public data", roles=("admin", "member"), sensitivities=("public",)),
        Grant("guests run public data", roles=("guest",), sensitivities=("public",)),
        Grant(
            "admins' sensitive data stays with admins",
            roles=("admin",),
            sensitivities=("sensitive",),
            owner_roles=("admin",),
            phones="never",
        ),
        Grant(
            "members name an admin's device for sensitive data",
            roles=("member",),
            sensitivities=("sensitive",),
            owner_roles=("admin",),
            named=True,
            phones="never",
        ),
    )
)
"""What a network has until its admins say otherwise (``policies.default`` writes it as people would)."""
DEFAULT_VERSION = 0
"""The version of the default; those that admins save count from 1."""


class Asked(NamedTuple):
    """What is asked, by whom, and when (minute of the week, UTC)."""

    member: MemberId
    role: Role
    workload: str
    model: str
    sensitivity: Sensitivity
    minute: int = 0


class Place(NamedTuple):
    """Where the work would be done. ``charging``: on its charger; ``named``: the asker named this very device."""

    device: DeviceId
    owner: MemberId
    owner_role: Role
    tags: tuple[str, ...] = ()
    tier: int = 0
    phone: bool = False
    charging: bool = False
    named: bool = False


class Decision(NamedTuple):
    """Allowed or not, by which rule, and why in words made of codes and names of grants."""

    allowed: bool
    rule: str
    reason: str


class Rules:
    """A policy narrowed to what is asked: grants that cannot apply are left out once, not for every device."""

    def __init__(self, policy: Policy, asked: Asked) -> None:
        self._asked = asked
        self._missed = [(_other_work(grant, asked), grant) for grant in policy.grants]
        """What of each grant keeps it from what is asked."""
        self._places = [Places(grant) for missed, grant in self._missed if not missed]
        self._looks = (
            any(grant.devices for grant in policy.grants),
            any(grant.owners for grant in policy.grants),
            any(grant.tags for grant in policy.grants),
            any(grant.tier_min for grant in policy.grants),
        )

    def kind(self, device: DeviceId, owner: MemberId, tags: tuple[str, ...], tier: int) -> tuple[object, ...]:
        """What of a device the grants look at: those of one kind are decided alike, where the owner's role, phone,
        charger and naming are the same too. One's own devices are decided by these alone.
        """
        devices, owners, tagged, tiers = self._looks
        return (device if devices else None, owner if owners else None, tags if tagged else None, tiers and tier)

    def decide(self, place: Place) -> Decision:
        """Decide one place."""
        asked = self._asked
        if place.owner == asked.member:
            if asked.sensitivity == "sensitive" and place.phone and not place.named:
                return Decision(False, "own-phone", "sensitive data goes to one's own phone only when it is named")
            return Decision(True, "own-device", "one's own device")
        if asked.sensitivity == "sensitive" and place.owner_role != "admin":
            return Decision(False, "sensitive-owner", "sensitive data goes only to one's own or an admin's device")
        for places in self._places:
            if places.hold(place):
                return Decision(True, places.grant.name, f"granted: {places.grant.name}")
        return Decision(False, "no-grant", _nearest(self._missed, place))


class Places:
    """Where a grant applies: the same question as ``_other_place``, answered without words."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self._devices, self._owners = frozenset(grant.devices), frozenset(grant.owners)
        self._tags = frozenset(grant.tags)

    def hold(self, place: Place) -> bool:
        """Whether nothing of the grant keeps it from a place."""
        grant = self.grant
        return not (
            (self._devices and place.device not in self._devices)
            or (self._owners and place.owner not in self._owners)
            or (self._tags and self._tags.isdisjoint(place.tags))
            or (grant.owner_roles and place.owner_role not in grant.owner_roles)
            or place.tier < grant.tier_min
            or (grant.named and not place.named)
            or (place.phone and (grant.phones == "never" or (grant.phones == "charging" and not place.charging)))
        )


def decide(policy: Policy, asked: Asked, place: Place) -> Decision:
    """Decide one job on one device."""
    return Rules(policy, asked).decide(place)


def isolated(isolation: Isolation, sensitivity: Sensitivity, *, own: bool) -> Decision:
    """Whether a device confines its engines enough: sensitive data of others needs the strict level."""
    if own or sensitivity != "sensitive" or isolation == "strict":
        return Decision(True, "isolation", "")
    return Decision(False, "isolation", f"isolation {isolation}, sensitive data of others needs strict")


def _other_work(grant: Grant, asked: Asked) -> list[str]:
    """What of a grant keeps it from what is asked."""
    missed = []
    if grant.roles and asked.role not in grant.roles:
        missed.append("role " + " or ".join(grant.roles))
    if grant.members and asked.member not in grant.members:
        missed.append("another member")
    if grant.workloads and asked.workload not in grant.workloads:
        missed.append("workload " + " or ".join(grant.workloads))
    if grant.models and asked.model not in grant.models:
        missed.append("model " + " or ".join(grant.models))
    if grant.sensitivities and asked.sensitivity not in grant.sensitivities:
        missed.append("data " + " or ".join(grant.sensitivities))
    if (grant.hours or grant.days) and not within(asked.minute, grant.hours, grant.days):
        missed.append("another time")
    return missed


def _other_place(grant: Grant, place: Place) -> list[str]:
    """What of a grant keeps it from a place."""
    missed = []
    if grant.devices and place.device not in grant.devices:
        missed.append("another device")
    if grant.tags and not any(tag in place.tags for tag in grant.tags):
        missed.append("tag " + " or ".join(grant.tags))
    if grant.owners and place.owner not in grant.owners:
        missed.append("another owner")
    if grant.owner_roles and place.owner_role not in grant.owner_roles:
        missed.append("owner " + " or ".join(grant.owner_roles))
    if place.tier < grant.tier_min:
        missed.append(f"tier {grant.tier_min}")
    if grant.named and not place.named:
        missed.append("a device that is named")
    if place.phone and (grant.phones == "never" or (grant.phones == "charging" and not place.charging)):
        missed.append("no phone" if grant.phones == "never" else "a phone on its charger")
    return missed


def _nearest(grants: Sequence[tuple[list[str], Grant]], place: Place) -> str:
    """Why nothing allows it: the grant that lacks least, and what."""
    lacking = [(work, _other_place(grant, place), grant) for work, grant in grants]
    if not lacking:
        return "the policy grants nothing"
    work, where, grant = min(lacking, key=lambda one: (len(one[0]) + len(one[1]), len(one[0])))
    missed = work + where
    return f"no grant allows it; nearest: {grant.name}, which needs {', '.join(missed)}"
