"""Which devices somebody could ever have a job on, whatever the job and the hour: what a guest may see of a network.

Touches: nothing.
"""

from mesh.ids import MemberId
from mesh.policies.decide import Place, applies_at
from mesh.protocol.values import Grant, Policy, Role


def reachable(policy: Policy, member: MemberId, role: Role, place: Place) -> bool:
    """Whether some grant lets a person use a device, for some work and data and at some time. One's own: always.

    ``place``: named and on its charger, as it may be when it is asked.
    """
    if place.owner == member:
        return True
    best = place._replace(named=True, charging=True)
    return any(_meant(grant, member, role, place) and applies_at(grant, best) for grant in policy.grants)


def _meant(grant: Grant, member: MemberId, role: Role, place: Place) -> bool:
    only_sensitive = set(grant.sensitivities) == {"sensitive"} and place.owner_role != "admin"
    return (
        not only_sensitive
        and (not grant.roles or role in grant.roles)
        and (not grant.members or member in grant.members)
    )
