"""Which devices somebody could ever have a job on, whatever the job and the hour: what a guest may see of a network.

Touches: nothing.
"""

from mesh.ids import MemberId
from mesh.policies.decide import Place, Places
from mesh.protocol.values import Grant, Policy, Role


class Reach:
    """A policy narrowed to one person: the grants that could ever let them use a device."""

    def __init__(self, policy: Policy, member: MemberId, role: Role) -> None:
        self._member = member
        self._meant = [
            (Places(grant), set(grant.sensitivities) == {"sensitive"})
            for grant in policy.grants
            if _meant(grant, member, role)
        ]

    def covers(self, place: Place) -> bool:
        """Whether some grant lets them use a device, for some work and data and at some time. One's own: always.

        ``place``: named and on its charger, as it may be when it is asked.
        """
        if place.owner == self._member:
            return True
        best = place._replace(named=True, charging=True)
        return any(
            places.hold(best) and (place.owner_role == "admin" or not only_sensitive)
            for places, only_sensitive in self._meant
        )


def reachable(policy: Policy, member: MemberId, role: Role, place: Place) -> bool:
    """Whether a person could ever have a job on a device."""
    return Reach(policy, member, role).covers(place)


def _meant(grant: Grant, member: MemberId, role: Role) -> bool:
    return (not grant.roles or role in grant.roles) and (not grant.members or member in grant.members)
