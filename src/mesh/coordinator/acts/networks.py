"""Making a network and changing what it is set to.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts import ledger
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import networks
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership, Network
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.networks.membership import NotMember
from mesh.networks.names import NameTaken, machine_name

CREDIT_LINES = ("friends", "strict")


class BadSetting(MeshError):
    """A setting has no such value. The credit line is `friends` or `strict`."""

    code = "network.bad_setting"
    kind = "invalid"


def make(store: Store, *, network: NetworkId, key: DeviceKey, name: str, maker: MemberId, moment: Moment) -> Network:
    """A new network with safe defaults; its maker is its first admin. Raises BadName, NameTaken."""
    machine_name(name)
    if networks.by_name(store, name) is not None:
        raise NameTaken(name=name)
    made = Network(network, name, key, 1, "friends", maker, moment.now_ms)
    networks.add(store, made)
    networks.add_membership(store, network, maker, role="admin", invited_by=None, now_ms=moment.now_ms)
    return made


def first_membership(network: Network) -> Membership:
    """The membership that comes with a new network."""
    return Membership(network.id, network.created_by, "admin")


def set_credit_line(store: Store, network: NetworkId, line: str, *, by: MemberId, moment: Moment) -> Network:
    """Change the credit line; open shares stay as they are. Under *strict* everybody but guests has the allowance,
    once. Raises BadSetting, NotMember.
    """
    if line not in CREDIT_LINES:
        raise BadSetting
    networks.set_credit_line(store, network, line)
    changed = networks.get(store, network)
    if changed is None:
        raise NotMember
    for person in networks.people(store, network):
        if person.role != "guest":
            ledger.welcome(store, network, person.member, by, moment)
    return changed
