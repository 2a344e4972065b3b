"""What the coordinator knows right now, in memory: who is in which network, and how every device is.

It is filled from the store at start and follows what was committed and what links say. Placement reads it without a
transaction; whatever must be exact (credits, membership at the moment of a permit) is checked again when written.

Touches: nothing.
"""

from collections.abc import Iterable

import msgspec

from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Membership, Network
from mesh.coordinator.store.successions import History
from mesh.devices.presence import OFFLINE_AFTER_S, seen_state
from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.jobs.backlog import Backlog, on_beat
from mesh.jobs.placement import DeviceFacts
from mesh.jobs.weights import Terms, terms_of
from mesh.policies.decide import DEFAULT_POLICY
from mesh.policies.stored import policy_of
from mesh.protocol.link import PathSeen
from mesh.protocol.values import Capability, Condition, DeviceState, Policy, Role

SEEN_EVERY_S = 15.0
"""How often the moments of last beats are written down."""
_FRESH_MS = int((SEEN_EVERY_S + OFFLINE_AFTER_S) * 1000)
RTT_MOST_MS = 60_000.0
"""Longer than any exchange waits: a claim above it is none."""
ROUND_TRIPS_KEPT = 16
"""Of one device, the newest: what a panel can show."""
_NOTHING = Capability(system="unknown", arch="unknown", cores=0, memory_bytes=0, tier=2)

_MadeOf = tuple[Device, Condition, Backlog, str | None, DeviceState, Role | None]


class Seen:
    """One device as it is known now. ``kept`` is its row; the rest is soft and lost with the process."""

    __slots__ = (
        "addresses", "attested", "backlog", "certificate", "condition", "home", "kept", "known", "last_beat_ms",
        "linked", "relay", "round_trips",
    )  # fmt: skip

    def __init__(self, kept: Device, certificate: Issued | None = None) -> None:
        self.kept = kept
        self.certificate = certificate
        self.condition = Condition()
        self.last_beat_ms: int | None = None
        self.backlog = Backlog()
        self.linked = False
        self.relay: str | None = None
        self.addresses: tuple[str, ...] = ()
        """What it says it listens on."""
        self.attested: tuple[str, ...] = ()
        """Where observers have seen it."""
        self.home: str | None = None
        """Which network it is in, as far as its addresses tell: equal homes are near each other."""
        self.round_trips: dict[DeviceId, tuple[float, int]] = {}
        """To other devices (ms), as one of the two said, and when it said so (ms); the newest of them last."""
        self.known: tuple[_MadeOf, DeviceFacts] | None = None
        """What placement was last told of it, and what that was made of."""

    @property
    def capability(self) -> Capability:
        """What it last said it is."""
        return self.kept.capability or _NOTHING


class Snapshot:
    """Networks, memberships and devices. Only the event loop's thread touches it."""

    def __init__(self, started_ms: int) -> None:
        self.started_ms = started_ms
        self.networks: dict[NetworkId, Network] = {}
        self.histories: dict[str, History] = {"": History()}
        """How the networks' keys, and the coordinator's (under ""), came to be the current ones."""
        self.heads: dict[NetworkId, str] = {}
        """The signed heads of the ledgers, as far as they are sealed."""
        self._terms: dict[NetworkId, Terms] = {}
        self._policies: dict[NetworkId, Policy] = {}
        self._people: dict[NetworkId, dict[MemberId, Membership]] = {}
        self._devices: dict[DeviceId, Seen] = {}
        self._members: dict[NetworkId, dict[DeviceId, Seen]] = {}

    def load(self, networks: Iterable[Network], memberships: Iterable[Membership], devices: Iterable[Device]) -> None:
        """Fill from the store at start. Devices heard of shortly before the stop have their grace."""
        for network in networks:
            self.put_network(network)
        for membership in memberships:
            self.put_role(membership)
        kept = list(devices)
        stopped_ms = max((device.seen_ms or 0 for device in kept), default=0)
        for device in kept:
            seen = self.put_device(device)
            if device.seen_ms is not None and device.seen_ms >= stopped_ms - _FRESH_MS:
                seen.last_beat_ms = min(device.seen_ms, self.started_ms - 1)

    def put_network(self, network: Network) -> None:
        """A network is new or changed."""
        self.networks[network.id] = network
        self._terms[network.id] = terms_of(network.settings)
        self._policies[network.id] = policy_of(network.settings).policy or DEFAULT_POLICY
        self.histories.setdefault(network.id, History())
        self._people.setdefault(network.id, {})
        self._members.setdefault(network.id, {})

    def drop_network(self, network: NetworkId) -> None:
        """A network is no more; nobody and nothing is in it."""
        for known in (self.networks, self.heads, self._terms, self._policies, self._people, self._members):
            known.pop(network, None)

    def policy(self, network: NetworkId) -> Policy:
        """A network's rules."""
        return self._policies[network]

    def terms(self, network: NetworkId) -> Terms:
        """On which terms a network's jobs are placed."""
        return self._terms[network]

    def put_role(self, membership: Membership) -> None:
        """A person came into a network, or has another role."""
        self._people[membership.network][membership.member] = membership

    def drop_role(self, network: NetworkId, member: MemberId) -> None:
        """A person left a network."""
        self._people.get(network, {}).pop(member, None)

    def role(self, network: NetworkId, member: MemberId) -> Role | None:
        """A person's role; None for a stranger."""
        membership = self._people.get(network, {}).get(member)
        return None if membership is None else membership.role

    def payer(self, network: NetworkId, member: MemberId) -> MemberId:
        """Whose credits pay for a person's jobs: their own; for a guest their inviter's."""
        membership = self._people[network][member]
        return (membership.invited_by if membership.role == "guest" else None) or member

    def put_device(self, kept: Device, certificate: Issued | None = None) -> Seen:
        """A device is new, or its row changed; what is known of its presence stays."""
        seen = self._devices.get(kept.id)
        if seen is None:
            seen = self._devices[kept.id] = self._members[kept.network][kept.id] = Seen(kept)
        seen.kept = kept
        seen.certificate = certificate or seen.certificate
        return seen

    def put_quarantine(self, device: DeviceId, quarantined: bool) -> None:
        """A device was found wrong by checks, or released."""
        seen = self._devices.get(device)
        if seen is not None:
            seen.kept = seen.kept._replace(quarantined=quarantined)

    def drop_device(self, device: DeviceId) -> None:
        """A device was removed."""
        seen = self._devices.pop(device, None)
        if seen is not None:
            del self._members[seen.kept.network][device]

    def device(self, device: DeviceId) -> Seen | None:
        """One device, unless it was removed."""
        return self._devices.get(device)

    def devices(self, network: NetworkId) -> list[Seen]:
        """A network's devices, pending ones included."""
        return list(self._members.get(network, {}).values())

    def everywhere(self) -> list[Seen]:
        """The devices of all networks."""
        return list(self._devices.values())

    def beat(self, seen: Seen, condition: Condition, now_ms: int) -> bool:
        """A device spoke. Returns whether something changed that its owner's other devices should know."""
        before = seen.condition
        fresh = self.state(seen, now_ms) == "offline"
        seen.condition, seen.last_beat_ms = condition, now_ms
        seen.backlog = on_beat(condition.load, now_ms)
        return fresh or (before.state, before.contributes, before.warm) != (
            condition.state,
            condition.contributes,
            condition.warm,
        )

    def note_round_trips(self, seen: Seen, paths: Iterable[PathSeen], now_ms: int) -> None:
        """A device told how far others are from it: believed of devices of its network, as far as it can be."""
        for path in paths:
            other, rtt_ms = self._devices.get(path.device), path.rtt_ms
            if other is None or other is seen or other.kept.network != seen.kept.network:
                continue
            if rtt_ms is not None and 0 <= rtt_ms <= RTT_MOST_MS:
                for one, end in ((seen, other.kept.id), (other, seen.kept.id)):
                    one.round_trips.pop(end, None)
                    one.round_trips[end] = (round(rtt_ms, 3), now_ms)
                    if len(one.round_trips) > ROUND_TRIPS_KEPT:
                        del one.round_trips[next(iter(one.round_trips))]

    def state(self, seen: Seen, now_ms: int) -> DeviceState:
        """What a device counts as."""
        if seen.kept.standing != "active":
            return seen.kept.standing
        return seen_state(
            seen.condition.state,
            last_beat_ms=seen.last_beat_ms,
            now_ms=now_ms,
            started_ms=self.started_ms,
            linked=seen.linked,
        )

    def facts(self, network: NetworkId, now_ms: int) -> list[DeviceFacts]:
        """What placement needs of every device of a network, backlogs as they were when they were told."""
        found = []
        for seen in self._members.get(network, {}).values():
            kept, state = seen.kept, self.state(seen, now_ms)
            made_of = (kept, seen.condition, seen.backlog, seen.home, state, self.role(network, kept.owner))
            if seen.known is None or seen.known[0] != made_of:
                seen.known = (made_of, _facts(seen, state, made_of[-1] or "guest"))
            found.append(seen.known[1])
        return found


def _facts(seen: Seen, state: DeviceState, owner_role: Role) -> DeviceFacts:
    kept = seen.kept
    return DeviceFacts(
        device=kept.id,
        key=kept.key,
        owner=kept.owner,
        owner_role=owner_role,
        capability=seen.capability,
        condition=_as_seen(seen.condition, state),
        certified=kept.standing == "active",
        backlog_s=seen.backlog.work_s,
        backlog_ms=seen.backlog.at_ms,
        tags=kept.tags,
        home=seen.home,
        quarantined=kept.quarantined,
    )


def _as_seen(condition: Condition, state: DeviceState) -> Condition:
    return condition if condition.state == state else msgspec.structs.replace(condition, state=state)
