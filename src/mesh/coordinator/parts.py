"""The parts of a running coordinator that HTTP handlers and links share, made once by ``main``.

Touches: clock and randomness (through its arguments).
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.coordinator import issuing
from mesh.coordinator.acts.join import Issue
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.config import Site
from mesh.coordinator.issuing import Roots
from mesh.coordinator.keys import Keys
from mesh.coordinator.snapshot import Snapshot
from mesh.coordinator.store.database import Database
from mesh.coordinator.store.devices import Device, Issued
from mesh.ids import ULID_RANDOM_BYTES, NetworkId, ulid
from mesh.protocol import links
from mesh.protocol.links import SECRET_BYTES, JoinLink


@dataclass(frozen=True)
class Parts:
    """Database, keys, snapshot and where devices find us; the clock in milliseconds, and a source of random bytes."""

    database: Database
    keys: Keys
    site: Site
    snapshot: Snapshot
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]

    def new_id(self) -> str:
        """A new ULID."""
        return ulid(self.now_ms(), self.random_bytes(ULID_RANDOM_BYTES))

    def moment(self) -> Moment:
        """Now, for an act."""
        return Moment(self.now_ms(), self.new_id)

    def new_link(self, network: NetworkId | None = None) -> JoinLink:
        """A join link with a fresh secret, which also pins the key of the network that it leads into."""
        secret = links.new_secret(self.random_bytes(SECRET_BYTES))
        key = None if network is None else self.snapshot.networks[network].key
        return JoinLink(self.site.url, secret, self.keys.public, self.site.tls_sha256, key, self.site.more)

    def roots(self, network: NetworkId) -> Roots:
        """What a network's State says about keys, and of its ledger."""
        histories, heads = self.snapshot.histories, self.snapshot.heads
        return Roots(self.keys.public, histories[network], histories[""], heads.get(network))

    def issuer(self, network: NetworkId) -> Issue:
        """What issues certificates of a network in an act."""
        seed, now_ms = self.keys.network(network), self.now_ms()

        def issue(device: Device, serial: int, epoch: int) -> Issued:
            return issuing.certify(device, seed, serial=serial, epoch=epoch, now_ms=now_ms)

        return issue
