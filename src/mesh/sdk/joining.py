"""Joining by a link: a device or relay proves its own key to the very coordinator that the link names.

Touches: sockets (through the client).
"""

from typing import Any

import msgspec

from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId
from mesh.networks.tokens import check_network
from mesh.protocol import signed
from mesh.protocol.links import JoinLink, secret_hash
from mesh.protocol.papers import JoinProof
from mesh.protocol.succession import ChainBroken, KeyOf, follow
from mesh.protocol.values import Capability, DeviceState
from mesh.sdk import calls
from mesh.sdk.calls import Call
from mesh.sdk.client import Coordinator
from mesh.sdk.following import the_same
from mesh.sdk.home import CoordinatorRecord


class Joined(msgspec.Struct, frozen=True):
    """What the coordinator made of it: ``pending`` until an admin approves, else ``ready``. Relays have no network."""

    device: DeviceId
    network: NetworkId
    member: MemberId
    state: DeviceState
    network_key: str = ""
    successions: tuple[str, ...] = ()
    """How the network's key followed earlier ones."""


def coordinator_of(link: JoinLink) -> CoordinatorRecord:
    """The coordinator that a link names."""
    return CoordinatorRecord(link.url, link.coordinator, link.tls_sha256, link.more)


def join(link: JoinLink, name: str, seed: bytes, capability: Capability | None = None) -> Joined:
    """Use a link with the key of ``seed``. Raises WrongCertificate, WrongNetwork, and the coordinator's refusals.

    The coordinator compares the network's key before it counts a use; a coordinator that did not is found out here.
    """
    with Coordinator(coordinator_of(link)) as client:
        about = client.do(calls.about())
        coordinator = the_same(link.coordinator, about)
        joined = client.do(_call(link._replace(coordinator=coordinator), name, seed, capability, about.time_ms))
    _check_pinned(link, joined)
    return joined


def _check_pinned(link: JoinLink, joined: Joined) -> None:
    """The network's key is the one that the link named, or follows it. Raises WrongNetwork."""
    pinned, key = link.network_key, DeviceKey(joined.network_key)
    if pinned is None:
        return
    try:
        follow(pinned, joined.successions, KeyOf("network", joined.network, joined.network), to=key)
    except ChainBroken:
        check_network(pinned=pinned, key=key)


def _call(link: JoinLink, name: str, seed: bytes, capability: Capability | None, time_ms: int) -> Call[Joined]:
    key = signed.public_key(seed)
    proof = JoinProof(
        network="",
        key=key,
        coordinator=link.coordinator,
        secret_sha256=secret_hash(link.secret),
        name=name,
        time_ms=time_ms,
    )
    body: dict[str, Any] = {"secret": link.secret, "name": name, "key": key, "proof": signed.sign(proof, seed)}
    if link.network_key is not None:
        body["network_key"] = link.network_key
    if capability is not None:
        body["capability"] = msgspec.to_builtins(capability)
    return Call("POST", "/v1/join", Joined, body)
