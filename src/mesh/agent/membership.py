"""Who belongs to this network, as this device knows it: the newest State, certificates of peers, its own certificate.

A State never gives way to one of a lower epoch, from whomever it comes; so a removal travels between peers too, and
an old list cannot bring a removed device back. The network key is pinned by the first State that the authenticated link
brought. Everything is kept, so that a device starts and works with its owner's others while the coordinator is away.

Touches: the agent's store (through its argument).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from mesh.agent.store import Store
from mesh.credits import tariff
from mesh.credits.tariff import Rate
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, LedgerHead, NetworkKey, PeerCertificate, State
from mesh.protocol.permit import CLOCK_LEEWAY_S
from mesh.protocol.signed import BadToken, PaperT
from mesh.protocol.succession import ChainBroken, KeyOf, Succession, follow
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
    former: tuple[str, ...] = ()
    """This device's certificates for its earlier keys."""


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
        self._former: dict[DeviceKey, tuple[DeviceId, int]] = {}
        """Earlier keys of devices that are still good, and until when."""
        self._certificates: dict[DeviceKey, str] = {}
        """This device's own, by the key that each is for."""

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch of the State held; 0 before the first."""
        return 0 if self.state is None else self.state.epoch

    def price(self, workload: str) -> Rate | None:
        """What the network has a workload cost, by the State held; None: it has no price, and only own devices do it.

        A permit says what is paid; it may be of a version that this device has not heard of.
        """
        return tariff.heard(None if self.state is None else self.state.tariff).rate(workload)

    @property
    def certified(self) -> bool:
        """Whether this device holds a certificate of its own."""
        return self.key in self._certificates

    @property
    def certificate(self) -> str:
        """This device's own certificate, signed. Raises StateMissing before the first."""
        return self.certificate_for(self.key)

    def certificate_for(self, key: DeviceKey) -> str:
        """This device's certificate for one of its keys; for the newest where there is none. Raises StateMissing."""
        found = self._certificates.get(key) or self._certificates.get(self.key)
        if found is None:
            raise StateMissing
        return found

    @property
    def key_number(self) -> int:
        """How often this device's key was replaced, as its certificate says."""
        me = self._by_device.get(self.me)
        return 0 if me is None else me.certificate.key_number

    @property
    def peers(self) -> list[Peer]:
        """All devices known, this one included."""
        return list(self._by_device.values())

    def known(self, key: DeviceKey) -> bool:
        """Whether a key belongs to a member's device: asked before a byte of a stranger is read."""
        return (key in self._by_key or self._is_former(key)) and not self._revoked(key)

    def speaks_for(self, key: DeviceKey, device: DeviceId) -> bool:
        """Whether a key is a device's, or was and is still good."""
        peer = self._by_device.get(device)
        is_now = peer is not None and peer.certificate.key == key
        return (is_now or (self._is_former(key) and self._former[key][0] == device)) and not self._revoked(key)

    def keys_of(self, device: DeviceId) -> list[DeviceKey]:
        """The keys that speak for a device now, the newest first."""
        peer = self._by_device.get(device)
        newest = [] if peer is None else [peer.certificate.key]
        return newest + [key for key, (whose, _) in self._former.items() if whose == device and self._is_former(key)]

    def device(self, device: DeviceId) -> Peer | None:
        """The device with this id."""
        return self._by_device.get(device)

    def find(self, text: str) -> Peer | None:
        """The device with this id or name."""
        named = [peer for peer in self.peers if peer.certificate.name == text]
        return self._by_device.get(DeviceId(text)) or (named[0] if len(named) == 1 else None)

    def count_able(self) -> int:
        """Devices that may take work: this one, and all of which nobody said that they are away."""
        away = {device for device, known in self.own.items() if not known.online}
        return 1 + sum(1 for peer in self.peers if peer.certificate.device not in {self.me, *away})

    def is_own(self, device: DeviceId) -> bool:
        """Whether a device belongs to the owner of this one, by its certificate."""
        peer = self._by_device.get(device)
        return peer is not None and peer.certificate.owner == self.member

    @property
    def coordinator_key(self) -> DeviceKey | None:
        """The coordinator's newest key, as the State names it; from then on no earlier one is taken for its."""
        return None if self.state is None else self.state.coordinator_keys[-1].key

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
        newest = self._by_device.get(certificate.device)
        older = newest is not None and newest.certificate.key_number > certificate.key_number
        if older and not self.speaks_for(key, certificate.device):
            raise PeerRefused("The device has a newer key, and the one it showed is good no more.", reason="former")
        return certificate

    def check_head(self, token: str) -> LedgerHead:
        """Check a ledger head that this network must have signed. Raises StateMissing, BadToken."""
        return self._signed(token, LedgerHead, self.clock.now_ms())

    def _is_former(self, key: DeviceKey) -> bool:
        return key in self._former and self._former[key][1] + LEEWAY_MS >= self.clock.now_ms()

    def _verify(self, token: str, now_ms: int) -> Certificate:
        return self._signed(token, Certificate, now_ms)

    def _signed(self, token: str, kind: type[PaperT], now_ms: int) -> PaperT:
        if self.state is None:
            raise StateMissing
        for key in _valid(self.state.network_keys, now_ms):
            try:
                return signed.verify(token, kind, key, self.network)
            except BadToken as error:
                if error.facts.get("reason") != "signature":
                    raise
        raise BadToken("The network did not sign this.", reason="signature")

    def _revoked(self, key: DeviceKey) -> bool:
        return self.state is not None and key in self.state.revoked

    # --- changing -----------------------------------------------------------------------------------------------------

    def adopt_state(self, token: str, *, trusted: bool, chain: Sequence[str] = ()) -> bool:
        """Take a State if it is newer; returns whether it was. ``trusted``: the authenticated link brought it.

        Its network key is the one held here, or follows it: by the statements in the State, or in ``chain``. Raises
        BadToken, ChainBroken.
        """
        if token == self.state_token:
            return False
        claimed = signed.peek(token, State)
        if self.state is None and not trusted:
            raise BadToken("The network key is not known yet.", reason="signature")
        state = self._verified_state(token, claimed, chain)
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

    def _verified_state(self, token: str, claimed: State, chain: Sequence[str]) -> State:
        """The newest network key signs, and no other: one that was replaced could only sign what is to mislead."""
        if not claimed.network_keys or not claimed.coordinator_keys:
            raise BadToken("The State names no keys.", reason="content")
        newest = claimed.network_keys[-1].key
        if self.state is not None:
            pinned = self.state.network_keys[-1].key
        else:  # the first: from the key that the join answered, which the link had pinned
            pinned = newest if self._network_key is None else self._network_key
        state = signed.verify(token, State, newest, self.network)
        if state.epoch <= self.epoch and newest in self._earlier_keys():
            return state  # from before: it will not be taken
        if pinned != newest:
            whose = KeyOf("network", self.network, self.network)
            try:
                follow(pinned, state.successions, whose, to=newest)
            except ChainBroken:
                follow(pinned, chain, whose, to=newest)
        return state

    def _earlier_keys(self) -> frozenset[DeviceKey]:
        """The network's keys before the current one, as far as its State tells."""
        assert self.state is not None
        said = (signed.peek(text.rpartition(".")[0], Succession) for text in self.state.successions)
        return frozenset(one.old for one in said)

    def take_certificate(self, token: str) -> None:
        """Take this device's own certificate. Raises BadToken, PeerRefused."""
        certificate = self._verify(token, self.clock.now_ms())
        if (certificate.key, certificate.device, certificate.owner) != (self.key, self.me, self.member):
            raise PeerRefused("The coordinator sent another device's certificate.", reason="key")
        self._certificates[self.key] = token
        self.name = certificate.name
        old = self._by_device.get(self.me)
        self._put(Peer(certificate, token, old.role if old else "member"))
        self.changed.set()

    def turn(self, key: DeviceKey, certificate: str | None) -> None:
        """This device's key is another from now on; its certificate for the one before is kept while that is good."""
        self.key = key
        if certificate is not None:
            self.take_certificate(certificate)
        self.changed.set()

    def forget_key(self, key: DeviceKey) -> None:
        """An earlier key of this device is good no more."""
        self._certificates.pop(key, None)

    def take_peers(self, news: link.Peers) -> None:
        """Take what the coordinator says about peers; a certificate that does not verify is refused with an error."""
        now_ms = self.clock.now_ms()
        taken = [Peer(self._verify(one.certificate, now_ms), one.certificate, one.role) for one in news.certificates]
        if news.full:
            mine = self._by_device.get(self.me)
            gone = [peer.certificate.key for peer in self._by_device.values() if peer is not mine]
            self._by_key.clear()
            self._by_device.clear()
            self._former.clear()
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
        left = frozenset(key for key in gone if key not in self._by_key and not self._is_former(key))
        if left:
            self.on_revoked(left)
        self.changed.set()

    def _put(self, peer: Peer) -> None:
        old = self._by_device.get(peer.certificate.device)
        if old is not None and old.certificate.key_number > peer.certificate.key_number:
            return  # a certificate for an earlier key: copied, or late
        if old is not None:
            self._by_key.pop(old.certificate.key, None)
        for former in peer.certificate.former:
            self._former[former.key] = (peer.certificate.device, former.until_ms)
        if not self._revoked(peer.certificate.key):
            self._by_device[peer.certificate.device] = peer
            self._by_key[peer.certificate.key] = peer

    def _forget(self, device: DeviceId) -> None:
        self.own.pop(device, None)
        peer = self._by_device.pop(device, None)
        if peer is not None:
            self._by_key.pop(peer.certificate.key, None)
            self._former = {key: of for key, of in self._former.items() if of[0] != device}

    # --- between starts -----------------------------------------------------------------------------------------------

    async def remember(self, store: Store) -> None:
        """Keep everything for the next start."""
        if self.state_token is not None:
            peers = tuple(PeerCertificate(peer.token, peer.role) for peer in self.peers)
            former = tuple(token for key, token in self._certificates.items() if key != self.key)
            newest = self._certificates.get(self.key)
            kept = _Kept(self.state_token, newest, peers, tuple(self.own.values()), former)
            await store.keep("membership", msgspec.json.encode(kept))

    async def recall(self, store: Store) -> None:
        """Take up what was kept; a first start keeps nothing."""
        content = await store.kept("membership")
        if content is None:
            return
        kept = msgspec.json.decode(content, type=_Kept)
        self.adopt_state(kept.state, trusted=True)
        for token in (*kept.former, *([kept.certificate] if kept.certificate else [])):
            certificate = signed.peek(token, Certificate)
            if certificate.key == self.key:
                self.take_certificate(token)
            elif certificate.device == self.me:  # for an earlier key; peers check it, where it is good still
                self._certificates[certificate.key] = token
        own = tuple(msgspec.structs.replace(facts, online=False) for facts in kept.own)
        self.take_peers(link.Peers(kept.peers, own))


def _valid(keys: tuple[NetworkKey, ...], now_ms: int) -> list[DeviceKey]:
    return [key.key for key in keys if key.from_ms - LEEWAY_MS <= now_ms <= key.until_ms + LEEWAY_MS]
