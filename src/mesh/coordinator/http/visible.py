"""Which devices a caller sees: members all of them; a guest their own, and those that the policy lets them use. And
which round trips between them.

Touches: nothing.
"""

from mesh.coordinator.http.access import Caller
from mesh.coordinator.snapshot import Seen, Snapshot
from mesh.coordinator.telling.sight import place_of
from mesh.policies.reach import reachable
from mesh.sdk.round_trips import RoundTrip


def visible(snapshot: Snapshot, seen: Seen, caller: Caller) -> bool:
    """Whether the caller sees a device of the route's network."""
    kept = seen.kept
    if caller.role != "guest" or kept.owner == caller.member:
        return True
    policy = snapshot.policy(kept.network)
    return kept.standing == "active" and reachable(policy, caller.member, "guest", place_of(snapshot, seen))


def round_trips(snapshot: Snapshot, seen: Seen, caller: Caller) -> tuple[RoundTrip, ...]:
    """The round trips of a device to others, newest first, as far as the caller may know that the two met.

    Who worked for whom is nobody else's business: the owners of both ends know it, and whoever may read all jobs.
    """
    found = []
    for device, (rtt_ms, at_ms) in seen.round_trips.items():
        other = snapshot.device(device)
        if other is None or not visible(snapshot, other, caller):
            continue
        if caller.may("jobs.read_all") or caller.member in (seen.kept.owner, other.kept.owner):
            found.append(RoundTrip(device, rtt_ms, at_ms))
    return tuple(sorted(found, key=lambda one: (-one.at_ms, one.device)))
