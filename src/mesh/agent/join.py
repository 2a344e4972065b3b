"""Joining a network: make this home's key, prove it to the coordinator that the link names, keep what it answers.

Touches: files of the home, sockets (through the client), the machine's sensors (through ``probe``).
"""

import msgspec

from mesh.agent import identity
from mesh.agent.probe import Probe
from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.links import JoinLink
from mesh.sdk import joining
from mesh.sdk.home import DeviceRecord, Home


class AlreadyJoined(MeshError):
    """This home is a device already. Use another MESH_HOME, or remove that device first and delete this folder."""

    code = "agent.already_joined"
    kind = "conflict"


def join(home: Home, link: JoinLink, name: str) -> joining.Joined:
    """Make this home a device called ``name``. Raises AlreadyJoined, WrongCertificate, what the coordinator says."""
    record = home.read()
    if record.device is not None:
        raise AlreadyJoined
    home.ensure()
    me = identity.load_or_make(home)
    joined = joining.join(link, name, me.seed, Probe().capability((), "none"))
    device = DeviceRecord(joined.device, name, joined.network, joined.member, DeviceKey(joined.network_key))
    where = joining.coordinator_of(link)
    home.write(msgspec.structs.replace(record, coordinator=where, device=device, network=joined.network))
    return joined
