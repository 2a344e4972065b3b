"""Who belongs to this network, as this device knows it: the newest State, certificates of peers, its own certificate.

A State never gives way to one of a lower epoch, from whomever it comes; so a removal travels between peers too, and
an old list cannot bring a removed device back. The network key is pinned by the first State that the authenticated link
brought. Everything is kept, so that a device starts and works with its owner's others while the coordinator is away.

Touches: the agent's store (through its argument).
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.agent.store import Store
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, NetworkKey, PeerCertificate, State
from mesh.protocol.permit import CLOCK_LEEWAY_S
from mesh.protocol.signed import BadToken
from mesh.protocol.values import Role
from mesh.sdk.home import DeviceRecord
from mesh.transport.clock import CoordinatorClock

LEEWAY_MS = int(CLOCK_LEEWAY_S * 1000)


class PeerRefused(MeshError):
    """The other device is not a member of this network, or not any more. Ask an admin to let it in again."""

    code = "peer.refused"
    kind = "forbidden"


class StateMissing(MeshError):
    """This device has not yet heard from its coordinator. Start the coordinator once; afterwards it is remembered."""

    code = "agent.no_state"
    kind = "unavailable"


class Peer(NamedTuple):
    """A member's device: its certificate, as a struct and as signed, and its owner's role."""

    certificate: Certificate
    token: str
    role: Role


class _Kept(msgspec.Struct, frozen=True):
    """What is remembered between starts."""

    state: str
    certificate: str | None
    peers: tuple[PeerCertificate, ...]
    own: tuple[link.OwnDevice, ...]


class Membership:
    """What this device believes about its network. All changes happen on the event loop."""

    def __init__(self, record: DeviceRecord, key: DeviceKey, clock: CoordinatorClock) -> None:
        """``record``: which device of whom this is, as the join wrote it down."""
        self.network = record.network
        self.me = record.id
        self.name = record.name
        self.member = record.member
        self._network_key = record.network_key
        self.key = key
        self.clock = clock
        self.state: State | None = None
        self.state_token: str | None = None
        self.own: dict[DeviceId, link.OwnDevice] = {}
        self.on_revoked: Callable[[frozenset[DeviceKey]], None] = lambda keys: None
        self.on_newer: Callable[[], None] = lambda: None
        """Called when a newer State was taken, whoever brought it: it is written down, so that no restart undoes it."""
        self.changed = asyncio.Event()
        """Set at every change; whoever waits clears it first."""
        self._by_key: dict[DeviceKey, Peer] = {}
        self._by_device: dict[DeviceId, Peer] = {}
        self._certificate: str | None = None

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the State held; 0 before the first."""
        return 0 if self.state is None else self.state.epoch

    @property
    def certified(self) -> bool:
        """Whether this device holds a certificate of its own."""
        return self._certificate is not None

    @property
    def certificate(self) -> str:
        """This device's own certificate, signed. Raises StateMissing before the first."""
        if self._certificate is None:
            raise StateMissing
        return self._certificate

    @property
    def peers(self) -> list[Peer]:
        """All devices known, this one included."""
        return list(self._by_device.values())

    def known(self, key: DeviceKey) -> bool:
        """Whether a key belongs to a member's device: asked before a byte of a stranger is read."""
        return key in self._by_key and not self._revoked(key)

    def by_key(self, key: DeviceKey) -> Peer | None:
        """The device with this key."""
        return self._by_key.get(key)

    def device(self, device: DeviceId) -> Peer | None:
        """The device with this id."""
        return self._by_device.get(device)

    def find(self, text: str) -> Peer | None:
        """The device with this id or name."""
        named = [peer for peer in self.peers if peer.certificate.name == text]
        return self._by_device.get(DeviceId(text)) or (named[0] if len(named) == 1 else None)

    def is_own(self, device: DeviceId) -> bool:
        """Whether a device belongs to the owner of this one, by its certificate."""
        peer = self._by_device.get(device)
        return peer is not None and peer.certificate.owner == self.member

    def coordinator_key_at(self, now_ms: int) -> list[DeviceKey]:
        """Keys that may sign permits now."""
        return [] if self.state is None else _valid(self.state.coordinator_keys, now_ms)

    # --- checking -----------------------------------------------------------------------------------------------------

    def check_certificate(self, token: str, key: DeviceKey) -> Certificate:
        """Check a certificate that a peer with this proven key showed. Raises PeerRefused, BadToken."""
        now_ms = self.clock.now_ms()
        known = self._by_key.get(key)
        checked = known is not None and known.token == token  # its signature was checked when it was taken
        certificate = known.certificate if known is not None and checked else self._verify(token, now_ms)
        if certificate.key != key:
            raise PeerRefused("The certificate belongs to another key.", reason="key")
        if certificate.expires_ms + LEEWAY_MS < now_ms:
            raise PeerRefused("The certificate has ended. It is renewed once the device reaches the coordinator.")
        if self._revoked(key):
            raise PeerRefused(reason="revoked")
        return certificate

    def _verify(self, token: str, now_ms: int) -> Certificate:
        if self.state is None:
            raise StateMissing
        for key in _valid(self.state.network_keys, now_ms):
            try:
                return signed.verify(token, Certificate, key, self.network)
            except BadToken as error:
                if error.facts.get("reason") != "signature":
                    raise
        raise BadToken("The network did not sign this certificate.", reason="signature")

    def _revoked(self, key: DeviceKey) -> bool:
        return self.state is not None and key in self.state.revoked

    # --- changing -----------------------------------------------------------------------------------------------------

    def adopt_state(self, token: str, *, trusted: bool) -> bool:
        """Take a State if it is newer; returns whether it was. ``trusted``: the authenticated link brought it.

        Raises BadToken when it is not signed by a network key that this device holds.
        """
        if token == self.state_token:
            return False
        claimed = signed.peek(token, State)
        if self.state is None and not trusted:
            raise BadToken("The network key is not known yet.", reason="signature")
        held = self._first_keys(claimed) if self.state is None else self.state.network_keys
        state = self._verified_state(token, held)
        if state.epoch <= self.epoch and self.state is not None:
            return False
        self.state, self.state_token = state, token
        self.changed.set()
        self.on_newer()
        revoked = frozenset(state.revoked)
        for key in revoked & self._by_key.keys():
            self._forget(self._by_key[key].certificate.device)
        if revoked:
            self.on_revoked(revoked)
        return True

    def _first_keys(self, claimed: State) -> tuple[NetworkKey, ...]:
        """Who may sign the first State: the key that the join answered, which the link had pinned."""
        if self._network_key is None:
            return claimed.network_keys
        return tuple(key for key in claimed.network_keys if key.key == self._network_key)

    def _verified_state(self, token: str, held: tuple[NetworkKey, ...]) -> State:
        for key in _valid(held, self.clock.now_ms()):
            try:
                return signed.verify(token, State, key, self.network)
            except BadToken as error:
                if error.facts.get("reason") != "signature":
                    raise
        raise BadToken("The network did not sign this State.", reason="signature")

    def take_certificate(self, token: str) -> None:
        """Take this device's own certificate. Raises BadToken, PeerRefused."""
        certificate = self._verify(token, self.clock.now_ms())
        if (certificate.key, certificate.device, certificate.owner) != (self.key, self.me, self.member):
            raise PeerRefused("The coordinator sent another device's certificate.", reason="key")
        self._certificate = token
        old = self._by_device.get(self.me)
        self._put(Peer(certificate, token, old.role if old else "member"))
        self.changed.set()

    def take_peers(self, news: link.Peers) -> None:
        """Take what the coordinator says about peers; a certificate that does not verify is refused with an error."""
        now_ms = self.clock.now_ms()
        taken = [Peer(self._verify(one.certificate, now_ms), one.certificate, one.role) for one in news.certificates]
        if news.full:
            mine = self._by_device.get(self.me)
            gone = [peer.certificate.key for peer in self._by_device.values() if peer is not mine]
            self._by_key.clear()
            self._by_device.clear()
            self.own.clear()
            if mine is not None:
                self._put(mine)
        else:
            gone = [self._by_device[device].certificate.key for device in news.gone if device in self._by_device]
            for device in news.gone:
                self._forget(device)
        for peer in taken:
            self._put(peer)
        for facts in news.own:
            self.own[facts.device] = facts
        left = frozenset(key for key in gone if key not in self._by_key)
        if left:
            self.on_revoked(left)
        self.changed.set()

    def _put(self, peer: Peer) -> None:
        old = self._by_device.get(peer.certificate.device)
        if old is not None:
            self._by_key.pop(old.certificate.key, None)
        if not self._revoked(peer.certificate.key):
            self._by_device[peer.certificate.device] = peer
            self._by_key[peer.certificate.key] = peer

    def _forget(self, device: DeviceId) -> None:
        self.own.pop(device, None)
        peer = self._by_device.pop(device, None)
        if peer is not None:
            self._by_key.pop(peer.certificate.key, None)

    # --- between starts -----------------------------------------------------------------------------------------------

    async def remember(self, store: Store) -> None:
        """Keep everything for the next start."""
        if self.state_token is not None:
            peers = tuple(PeerCertificate(peer.token, peer.role) for peer in self.peers)
            kept = _Kept(self.state_token, self._certificate, peers, tuple(self.own.values()))
            await store.keep("membership", msgspec.json.encode(kept))

    async def recall(self, store: Store) -> None:
        """Take up what was kept; a first start keeps nothing."""
        content = await store.kept("membership")
        if content is None:
            return
        kept = msgspec.json.decode(content, type=_Kept)
        self.adopt_state(kept.state, trusted=True)
        if kept.certificate is not None:
            self.take_certificate(kept.certificate)
        own = tuple(msgspec.structs.replace(facts, online=False) for facts in kept.own)
        self.take_peers(link.Peers(kept.peers, own))


def _valid(keys: tuple[NetworkKey, ...], now_ms: int) -> list[DeviceKey]:
    return [key.key for key in keys if key.from_ms - LEEWAY_MS <= now_ms <= key.until_ms + LEEWAY_MS]
