"""What an agent says about the devices that it knows, and about the way to them.

Touches: nothing.
"""

import msgspec

from mesh.ids import DeviceId, MemberId
from mesh.protocol.values import AddressKind, DeviceState, PathKind
from mesh.sdk.lines import Answer


class Ping(Answer, frozen=True):
    """One round trip to a device. ``rtt_ms`` was measured by the agent, over the path named."""

    number: int
    device: DeviceId
    path: PathKind
    rtt_ms: float
    address: AddressKind | None = None
    """Over a direct path: the kind of the other device's address."""


class Peer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device as this agent knows it. ``own``: it belongs to this agent's owner."""

    device: DeviceId
    name: str
    owner: MemberId
    own: bool
    state: DeviceState | None = None
    path: PathKind | None = None
    address: AddressKind | None = None
    rtt_ms: float | None = None
    direct_bytes: int = 0
    relayed_bytes: int = 0
    """Both directions, since this connection began."""


class Peers(Answer, frozen=True):
    """The devices that this agent knows."""

    peers: tuple[Peer, ...]
