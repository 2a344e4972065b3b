"""What happens after a commit: the snapshot follows, devices and relays are told, each what it may learn of.

Nothing here decides, and nothing here can fail an act: what it did is committed. A device that is not connected gets
the whole when it connects.

Touches: database (reads revoked keys, through ``parts``).
"""

from collections.abc import Iterable

from mesh.coordinator import issuing
from mesh.coordinator.acts.join import Joined
from mesh.coordinator.acts.members import Gone
from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.store.devices import Device, Issued
from mesh.coordinator.store.networks import Membership, Network
from mesh.coordinator.telling.admissions import RelayAdmissions
from mesh.coordinator.telling.live import Link, LiveLinks
from mesh.coordinator.telling.sight import Sight, known_devices
from mesh.ids import NetworkId
from mesh.protocol.link import CertificateUpdate, KeyTaken, OwnDevice, Peers, Removed, StateUpdate
from mesh.protocol.papers import PeerCertificate, RelayInfo
from mesh.protocol.values import Policy

REMOVED = "device.removed"
"""The code that a removed device is told."""
PEERS_IN_MESSAGE = 250
"""A certificate is about 700 bytes, a device's facts with all its offers up to 3 KiB: below the message limit."""


class News:
    """Tells devices and relays; keeps the signed State of every network."""

    def __init__(self, parts: Parts, live: LiveLinks, admissions: RelayAdmissions) -> None:
        self._parts = parts
        self._live = live
        self._admissions = admissions
        self._states: dict[NetworkId, tuple[int, str]] = {}
        self._sights: dict[NetworkId, Policy] = {}
        """By which policy guests' devices were last told whom they may learn of."""
        self.relays: tuple[RelayInfo, ...] = ()

    async def network_changed(self, network: Network, membership: Membership | None = None) -> None:
        """A network is new, or what its State says has changed."""
        self._parts.snapshot.put_network(network)
        if membership is not None:
            self._parts.snapshot.put_role(membership)
        self._live.changed(network.id, "settings")
        if self._sights.get(network.id) != self._parts.snapshot.policy(network.id):
            self.sight_changed(network.id)
        await self._new_state(network)

    def person_joined(self, membership: Membership) -> None:
        """A person came into a network, or waits for its admins: then they are in nothing yet."""
        if membership.state == "active":
            self._parts.snapshot.put_role(membership)
        self._live.changed(membership.network, "people")

    def request_ended(self, network: NetworkId) -> None:
        """Somebody waits no more, and is not in: admins look at the list again."""
        self._live.changed(network, "people")

    def role_changed(self, membership: Membership) -> None:
        """A person has another role: devices learn it, and whom they may learn of by it."""
        snapshot = self._parts.snapshot
        snapshot.put_role(membership)
        self._live.changed(membership.network, "people")
        for seen in snapshot.devices(membership.network):
            if seen.kept.owner == membership.member and seen.certificate is not None:
                self._tell_certificate(seen, seen.certificate)
        self.sight_changed(membership.network)

    async def person_left(self, gone: Gone) -> None:
        """A person went, with all their devices."""
        for device in gone.devices:
            await self.device_removed(device, gone.network)
        self._parts.snapshot.drop_role(gone.network.id, gone.member)
        self._live.changed(gone.network.id, "people")
        if not gone.devices:
            await self.network_changed(gone.network)

    def network_ended(self, network: NetworkId) -> None:
        """A network is no more; its devices and people were told that they are out of it."""
        self._live.changed(network, "settings")
        self._parts.snapshot.drop_network(network)
        self._states.pop(network, None)
        self._sights.pop(network, None)

    async def device_joined(self, joined: Joined) -> None:
        """A device came in, or was approved: others learn its certificate, relays its key, itself that it is in."""
        snapshot, device = self._parts.snapshot, joined.device
        known, before = snapshot.networks.get(device.network), snapshot.device(device.id)
        if before is not None:
            device = device._replace(key_number=before.kept.key_number, former=before.kept.former)
        snapshot.put_network(joined.network)
        seen = snapshot.put_device(device, joined.certificate)
        self._live.changed(device.network, "devices")
        if joined.certificate is None:
            return
        self._admissions.device_changed(seen.kept)
        if known is None or known.epoch != joined.network.epoch:
            await self._new_state(joined.network)
        self._tell_certificate(seen, joined.certificate)
        own = self._live.of(device.id)
        if own is not None:
            own.say(StateUpdate(await self.state(device.network)))
            own.say(CertificateUpdate(joined.certificate.signed))
            self.show_peers(own, seen)

    async def device_removed(self, device: Device, network: Network) -> None:
        """A device is out: its link ends, relays drop its key, all others get the new State."""
        seen = self._parts.snapshot.device(device.id)
        self._parts.snapshot.drop_device(device.id)
        own = self._live.of(device.id)
        if own is not None:
            own.say(Removed(REMOVED))
            own.end()
        await self._no_more(device if seen is None else seen.kept, network)

    async def device_held(self, device: Device, network: Network) -> None:
        """A device counts for nobody until an admin approves; its link stays, so that it hears of that."""
        seen = self._parts.snapshot.device(device.id)
        if seen is None:
            return  # it was removed meanwhile
        seen.kept = seen.kept._replace(standing=device.standing, held=device.held)
        seen.certificate = None
        await self._no_more(seen.kept, network)

    async def _no_more(self, device: Device, network: Network) -> None:
        """Relays drop a device's key, all other devices get the new State and forget it."""
        self._parts.snapshot.put_network(network)
        self._live.changed(network.id, "devices")
        self._admissions.device_changed(device)
        await self._new_state(network)
        for link in self._members(network.id):
            if link.device != device.id and (link.shown is None or device.id in link.shown):
                link.say(Peers(gone=(device.id,)))
                if link.shown is not None:
                    link.shown.discard(device.id)

    def certificate_renewed(self, device: Device, issued: Issued) -> None:
        """A device got its next certificate; one that names it as it was called before is not passed on."""
        seen = self._parts.snapshot.device(device.id)
        if seen is None or seen.kept.name != device.name:
            return
        seen.certificate = issued
        own = self._live.of(device.id)
        if own is not None:
            own.say(CertificateUpdate(issued.signed))
        self._tell_certificate(seen, issued)

    def device_renamed(self, device: Device, issued: Issued | None) -> None:
        """A device is called something else: itself and all others learn it by its certificate."""
        seen = self._parts.snapshot.device(device.id)
        if seen is None:
            return  # it was removed meanwhile
        seen.kept = seen.kept._replace(name=device.name)
        self._live.changed(device.network, "devices")
        if issued is not None:
            self.certificate_renewed(device, issued)

    async def device_turned(self, device: Device, issued: Issued | None) -> None:
        """A device speaks with another key now: relays admit both, itself and all others learn its new certificate."""
        seen = self._parts.snapshot.device(device.id)
        if seen is None:
            return  # it was removed meanwhile
        seen.kept = seen.kept._replace(key=device.key, key_number=device.key_number, former=device.former)
        seen.certificate = issued or seen.certificate
        self._admissions.device_changed(seen.kept)
        own = self._live.of(device.id)
        if own is not None:
            own.say(KeyTaken(device.key, None if issued is None else issued.signed))
        if issued is not None:
            self._tell_certificate(seen, issued)

    async def grace_over(self, device: Device, network: Network) -> None:
        """Earlier keys of a device count no more: relays drop them, and everybody's State names them."""
        seen = self._parts.snapshot.device(device.id)
        if seen is None:
            return
        ended = [one for one in seen.kept.former if one not in device.former]
        seen.kept = seen.kept._replace(former=device.former)
        for one in ended:
            self._admissions.changed(one.key)
        await self.network_changed(network)

    def own_device_changed(self, seen: Seen) -> None:
        """Presence or capability changed: the owner's other devices place among themselves by it."""
        news = Peers(own=(self._own_facts(seen),))
        for other in self._parts.snapshot.devices(seen.kept.network):
            if other.kept.owner == seen.kept.owner and other is not seen:
                link = self._live.of(other.kept.id)
                if link is not None:
                    link.say(news)

    async def state(self, network: NetworkId) -> str:
        """The signed State of a network."""
        known = self._states.get(network)
        found = self._parts.snapshot.networks[network]
        if known is None or known[0] < found.epoch:
            await self._sign(found)
        return self._states[network][1]

    def show_peers(self, link: Link, reader: Seen) -> None:
        """Tell a device all that it may know of its network: certificates, and facts of its owner's devices.

        It comes in parts that fit a message; the first replaces what the device knew.
        """
        snapshot, network = self._parts.snapshot, reader.kept.network
        sight = Sight(snapshot, reader)
        shown = {device: seen for device, seen in known_devices(snapshot, network).items() if sight.holds(seen)}
        link.shown = None if sight.everything else set(shown)
        certificates = self._certificates(shown.values())
        own = [
            self._own_facts(seen)
            for seen in snapshot.devices(network)
            if seen.kept.standing == "active" and seen.kept.owner == reader.kept.owner
        ]
        for start in range(0, max(1, len(certificates), len(own)), PEERS_IN_MESSAGE):
            end = start + PEERS_IN_MESSAGE
            link.say(Peers(tuple(certificates[start:end]), tuple(own[start:end]), full=start == 0))

    def sight_changed(self, network: NetworkId) -> None:
        """Whom guests and their devices may learn of is perhaps another by now.

        Each device hears who came into sight, and who went; pages are nudged to look at their devices again.
        """
        snapshot = self._parts.snapshot
        self._sights[network] = snapshot.policy(network)
        self._live.changed(network, "devices")
        known = known_devices(snapshot, network)
        for link in self._members(network):
            reader = snapshot.device(link.device)
            if reader is None:
                continue
            sight = Sight(snapshot, reader)
            if link.shown is None and sight.everything:
                continue
            before = set(known) if link.shown is None else link.shown
            after = {device for device, seen in known.items() if sight.holds(seen)}
            link.shown = None if sight.everything else after
            came, went = self._certificates(known[device] for device in sorted(after - before)), sorted(before - after)
            for start in range(0, max(len(came), len(went)), PEERS_IN_MESSAGE):
                end = start + PEERS_IN_MESSAGE
                link.say(Peers(tuple(came[start:end]), gone=tuple(went[start:end])))

    def _certificates(self, devices: Iterable[Seen]) -> list[PeerCertificate]:
        role = self._parts.snapshot.role
        return [
            PeerCertificate(seen.certificate.signed, role(seen.kept.network, seen.kept.owner) or "guest")
            for seen in devices
            if seen.certificate is not None
        ]

    def _members(self, network: NetworkId) -> list[Link]:
        """The links of a network's devices, without those that wait for approval."""
        snapshot, links = self._parts.snapshot, []
        for link in self._live.in_network(network):
            seen = snapshot.device(link.device)
            if seen is not None and seen.kept.standing == "active":
                links.append(link)
        return links

    def _own_facts(self, seen: Seen) -> OwnDevice:
        state = self._parts.snapshot.state(seen, self._parts.now_ms())
        return OwnDevice(seen.kept.id, seen.capability, seen.condition, online=state not in ("offline", "pending"))

    def _tell_certificate(self, seen: Seen, issued: Issued) -> None:
        """Tell a device's certificate to all others that may learn of it."""
        snapshot = self._parts.snapshot
        role = snapshot.role(seen.kept.network, seen.kept.owner) or "guest"
        news = Peers(certificates=(PeerCertificate(issued.signed, role),))
        for link in self._members(seen.kept.network):
            reader = snapshot.device(link.device)
            if reader is None or reader is seen:
                continue
            if link.shown is not None:
                if not Sight(snapshot, reader).holds(seen):
                    continue
                link.shown.add(seen.kept.id)
            link.say(news)

    async def _new_state(self, network: Network) -> None:
        await self._sign(network)
        epoch, token = self._states[network.id]
        if epoch == network.epoch:
            for link in self._members(network.id):
                link.say(StateUpdate(token))

    async def _sign(self, network: Network) -> None:
        """Sign the State, unless a newer one was signed meanwhile."""
        parts, now_ms = self._parts, self._parts.now_ms()
        revoked = await parts.database.read(issuing.revoked_keys, network, now_ms=now_ms)
        known = self._states.get(network.id)
        if known is not None and known[0] > network.epoch:
            return
        token = issuing.state(
            network,
            parts.keys.network(network.id),
            roots=parts.roots(network.id),
            revoked=revoked,
            relays=self.relays,
            now_ms=now_ms,
        )
        self._states[network.id] = (network.epoch, token)
