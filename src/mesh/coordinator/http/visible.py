"""Which devices a caller sees: members all of them; a guest their own, and those that the policy lets them use.

Touches: nothing.
"""

from mesh.coordinator.http.access import Caller
from mesh.coordinator.snapshot import Seen, Snapshot
from mesh.coordinator.telling.sight import place_of
from mesh.policies.reach import reachable


def visible(snapshot: Snapshot, seen: Seen, caller: Caller) -> bool:
    """Whether the caller sees a device of the route's network."""
    kept = seen.kept
    if caller.role != "guest" or kept.owner == caller.member:
        return True
    policy = snapshot.policy(kept.network)
    return kept.standing == "active" and reachable(policy, caller.member, "guest", place_of(snapshot, seen))
