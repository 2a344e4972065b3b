"""Joining a network: make this home's key, prove it to the coordinator that the link names, keep what it answers.

Touches: files of the home, sockets (through the client), the machine's sensors (through ``probe``).
"""

import msgspec

from mesh.agent import identity
from mesh.agent.probe import Probe
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, MemberId, NetworkId
from mesh.protocol import signed
from mesh.protocol.links import JoinLink, secret_hash
from mesh.protocol.papers import JoinProof
from mesh.protocol.values import DeviceState
from mesh.sdk import calls
from mesh.sdk.calls import Call
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, DeviceRecord, Home
from mesh.transport.link import PinMismatch


class AlreadyJoined(MeshError):
    """This home is a device already. Use another MESH_HOME, or remove that device first and delete this folder."""

    code = "agent.already_joined"
    kind = "conflict"


class Joined(msgspec.Struct, frozen=True):
    """What the coordinator made of it: ``pending`` until an admin approves, else ``ready`` in some form."""

    device: DeviceId
    network: NetworkId
    member: MemberId
    state: DeviceState


def join(home: Home, link: JoinLink, name: str) -> Joined:
    """Make this home a device called ``name``. Raises AlreadyJoined, PinMismatch, and what the coordinator says."""
    record = home.read()
    if record.device is not None:
        raise AlreadyJoined
    home.ensure()
    me = identity.load_or_make(home)
    where = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)
    with Coordinator(where) as client:
        about = client.do(calls.about())
        if about.key != link.coordinator:
            raise PinMismatch
        joined = client.do(_call(link, name, me, about.time_ms))
    device = DeviceRecord(joined.device, name, joined.network, joined.member)
    home.write(msgspec.structs.replace(record, coordinator=where, device=device, network=joined.network))
    return joined


def _call(link: JoinLink, name: str, me: identity.Identity, time_ms: int) -> Call[Joined]:
    proof = JoinProof(
        network="",
        key=DeviceKey(me.key),
        coordinator=link.coordinator,
        secret_sha256=secret_hash(link.secret),
        name=name,
        time_ms=time_ms,
    )
    body = {
        "secret": link.secret,
        "name": name,
        "key": me.key,
        "proof": signed.sign(proof, me.seed),
        "capability": msgspec.to_builtins(Probe().capability((), "none")),
    }
    return Call("POST", "/v1/join", Joined, body)
