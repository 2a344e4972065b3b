"""What is signed about membership: certificate, State, and the proofs a device gives of its key.

Touches: nothing.
"""

from typing import ClassVar

import msgspec

from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.protocol.signed import Paper
from mesh.protocol.values import Policy, Prices, Role

CERTIFICATE_LIFE_S = 7 * 86400.0
"""Certificates live 7 days and are renewed at half: a device may be away for half a week unnoticed."""


STATE_SUCCESSIONS_MAX = 4
"""The newest statements that a State itself carries, 900 bytes each, so that devices learn of changed keys from each
other too; who was away for more of them hears the whole chain from the coordinator."""

OBSERVE = b"mesh-observe/1\n"
"""All that a device says on a stream to an observer; the answer is a signed ``Observed``, then the end."""
OBSERVED_BYTES_MAX = 1024
"""Of a signed ``Observed``: an honest one is about 400."""


class NetworkKey(msgspec.Struct, frozen=True):
    """A key with the time it counts in (milliseconds by the coordinator's clock)."""

    key: DeviceKey
    from_ms: int
    until_ms: int


class Certificate(Paper, frozen=True, kw_only=True):
    """The network says: this key is this member's device. Signed by the network key."""

    TYP: ClassVar[str] = "mesh-certificate"

    device: DeviceId
    name: str
    key: DeviceKey
    owner: MemberId
    serial: int
    epoch: int
    issued_ms: int
    expires_ms: int
    admission: str | None = None
    """An admission signed by an admin's device, where there is one."""
    tags: tuple[str, ...] = ()
    """What the link by which it joined says it is for."""
    key_number: int = 0
    """How often the device's key was replaced: a certificate never gives way to one of a lower number."""
    former: tuple[NetworkKey, ...] = ()
    """The device's earlier keys that are still good, and until when."""


class RelayInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A relay of the network: its URL and, where it observes addresses, its own key and ``observer``, a UDP host:port.

    A device that speaks to the observer learns under which address the world sees it.
    """

    url: str
    key: DeviceKey | None = None
    observer: str | None = None


class State(Paper, frozen=True, kw_only=True):
    """What every device must agree on. Signed by the network key; a device never takes a lower epoch."""

    TYP: ClassVar[str] = "mesh-state"

    epoch: int
    name: str
    time_ms: int
    network_keys: tuple[NetworkKey, ...]
    coordinator_keys: tuple[NetworkKey, ...]
    revoked: tuple[DeviceKey, ...] = ()
    policy_version: int = 1
    policy: Policy | None = None
    """None: the default of this version of Mesh."""
    relays: tuple[RelayInfo, ...] = ()
    catalogue_digest: str = ""
    ledger_head: str | None = None
    successions: tuple[str, ...] = ()
    """The newest statements by which the network's key followed earlier ones, oldest first."""
    tariff: Prices | None = None
    """None: the first version, which every device knows. What a permit costs is in the permit."""


class LedgerHead(Paper, frozen=True, kw_only=True):
    """How far a network's ledger is sealed: the last posting's number, and the hash that covers all up to it.

    Signed by the network key. Who keeps one can tell later whether the ledger still holds what it held then.
    """

    TYP: ClassVar[str] = "mesh-ledger-head"

    number: int
    hash: str
    time_ms: int


class Observed(Paper, frozen=True, kw_only=True):
    """An observer says under which ``ip:port`` it saw a device, key proven, on a path that packets took both ways.

    Signed by the relay's key; network is empty.
    """

    TYP: ClassVar[str] = "mesh-observed"

    key: DeviceKey
    address: str
    time_ms: int


class JoinProof(Paper, frozen=True, kw_only=True):
    """A joining device proves its key to one coordinator, for one secret. Network is empty."""

    TYP: ClassVar[str] = "mesh-join"

    key: DeviceKey
    coordinator: DeviceKey
    secret_sha256: str
    name: str
    time_ms: int


class SignInProof(Paper, frozen=True, kw_only=True):
    """A device asks for a session that may read what its owner may see of the network."""

    TYP: ClassVar[str] = "mesh-signin"

    device: DeviceId
    coordinator: DeviceKey
    nonce: str
    time_ms: int


class LinkProof(Paper, frozen=True, kw_only=True):
    """One side of the link's handshake. Both sign the same facts in their own role; network is empty.

    ``binding`` is the pinned TLS hash, or the URL's origin where none is pinned: a challenge that somebody forwards is
    worth nothing, since the two ends then differ in it.
    """

    TYP: ClassVar[str] = "mesh-link"

    side: str
    """``device`` or ``coordinator``: neither proof can be shown as the other."""
    device: DeviceId
    coordinator: DeviceKey
    coordinator_nonce: str
    device_nonce: str
    binding: str


class PeerCertificate(msgspec.Struct, frozen=True):
    """A signed certificate with the role that the reader should know of its owner."""

    certificate: str
    role: Role = "member"
