"""Which devices of its network a device may learn of: a member's of all, a guest's of those it can have to do with.

Those are its owner's, those that the policy lets its owner use, and those whose owners it lets use this one: a device
hangs up on whoever it does not know, so that without the last kind nobody's job would ever reach a guest's device.

Touches: nothing.
"""

from mesh.coordinator.snapshot import Seen, Snapshot
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.policies.decide import Place
from mesh.policies.reach import Reach


class Sight:
    """What one device may learn of, by the policy and roles of this moment. ``everything``: its owner is no guest."""

    def __init__(self, snapshot: Snapshot, reader: Seen) -> None:
        kept = reader.kept
        role = snapshot.role(kept.network, kept.owner) or "guest"
        self.everything = role != "guest"
        self._network = kept.network
        self._snapshot = snapshot
        self._policy = snapshot.policy(kept.network)
        self._reach = Reach(self._policy, kept.owner, role)
        self._place = place_of(snapshot, reader)
        self._used_by: dict[MemberId, bool] = {}

    def holds(self, seen: Seen) -> bool:
        """Whether it may learn of a device of its network."""
        return self.everything or self._reach.covers(place_of(self._snapshot, seen)) or self._used(seen.kept.owner)

    def _used(self, owner: MemberId) -> bool:
        if owner not in self._used_by:
            role = self._snapshot.role(self._network, owner) or "guest"
            self._used_by[owner] = Reach(self._policy, owner, role).covers(self._place)
        return self._used_by[owner]


def known_devices(snapshot: Snapshot, network: NetworkId) -> dict[DeviceId, Seen]:
    """The devices of a network that others may learn of: those that are in, by the certificate that says so."""
    return {
        seen.kept.id: seen
        for seen in snapshot.devices(network)
        if seen.kept.standing == "active" and seen.certificate is not None
    }


def place_of(snapshot: Snapshot, seen: Seen) -> Place:
    """A device as the policy looks at it."""
    kept = seen.kept
    return Place(
        kept.id,
        kept.owner,
        snapshot.role(kept.network, kept.owner) or "guest",
        kept.tags,
        seen.capability.tier,
        phone=seen.capability.phone,
    )
