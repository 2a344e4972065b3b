"""A machine asks to join by a code, a member says yes or no; a yes is a join token for the machine's own secret.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

from mesh.coordinator.acts import codes
from mesh.coordinator.acts import tokens as token_acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.tokens import Terms
from mesh.coordinator.store import devices, people, tokens
from mesh.coordinator.store.codes import PAIRINGS
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.networks import pairing as rules
from mesh.networks.codes import LIFE_S, is_elsewhere
from mesh.networks.names import NameTaken, machine_name
from mesh.networks.pairing import Elsewhere, OtherMachine, Pairing, PairingUsed
from mesh.networks.tokens import JoinToken


class BadRequest(MeshError):
    """What this machine sent to ask for a code does not fit together. Update Mesh on it and start anew."""

    code = "pairing.bad_request"
    kind = "invalid"


class Asking(NamedTuple):
    """A machine asks for a code; it has proven its key. ``random`` gives three random bytes for a handle."""

    key: DeviceKey
    name: str
    machine: str
    address: str | None
    secret_hash: str
    commitment: str
    coordinator_nonce: str
    random: Callable[[], bytes]


class Yes(NamedTuple):
    """What a member says yes to, and on which terms."""

    pairing: str
    key: DeviceKey
    elsewhere: bool
    approve: bool
    tags: tuple[str, ...]
    ephemeral: bool


class Where(NamedTuple):
    """The network, and the member with the address they confirm from."""

    network: NetworkId
    member: MemberId
    address: str | None


def start(store: Store, asking: Asking, moment: Moment) -> Pairing:
    """Take down a machine's request. Raises BadName, TooManyWait, BadRequest."""
    machine_name(asking.name)
    codes.make_room(store, PAIRINGS, asking.address, moment)
    if tokens.by_secret(store, asking.secret_hash) is not None or PAIRINGS.secret_known(store, asking.secret_hash):
        raise BadRequest
    pairing = Pairing(
        id=moment.new_id(),
        handle=codes.new_handle(store, PAIRINGS, asking.random, moment),
        key=asking.key,
        name=asking.name,
        machine=asking.machine,
        address=asking.address,
        secret_hash=asking.secret_hash,
        commitment=asking.commitment,
        coordinator_nonce=asking.coordinator_nonce,
        created_ms=moment.now_ms,
        expires_ms=moment.now_ms + int(LIFE_S * 1000),
    )
    PAIRINGS.add(store, pairing)
    return pairing


def withdraw(store: Store, pairing: str, nonce: str) -> None:
    """A machine stops waiting: its code is worth nothing from now on. Raises PairingUnknown."""
    PAIRINGS.end(store, codes.known(store, PAIRINGS, pairing, nonce).id, "withdrawn")


def confirm(store: Store, yes: Yes, where: Where, moment: Moment) -> JoinToken:
    """A member says yes: a join token for that machine, once.

    The network's admins approve by it; from others the device waits for an admin. Raises PairingUnknown, why the
    request has ended, Elsewhere, OtherMachine, NameTaken, TermsRefused, BadTag.
    """
    found = codes.still_open(store, PAIRINGS, yes.pairing, moment)
    if found.key != yes.key:
        raise OtherMachine
    if is_elsewhere(found.address, where.address) and not yes.elsewhere:
        raise Elsewhere
    if devices.name_taken(store, where.network, found.name):
        raise NameTaken(
            f"The network has a device called {found.name} already. Start anew on that machine with another --name.",
            name=found.name,
        )
    terms = Terms("device", "member", found.name, 1, rules.JOIN_S, yes.approve, yes.tags, yes.ephemeral)
    token = token_acts.make(
        store, terms, network=where.network, maker=where.member, secret_hash=found.secret_hash, moment=moment
    )
    if not PAIRINGS.end(store, found.id, "confirmed", by=token.id):
        raise PairingUsed
    return token


class Answered(NamedTuple):
    """What became of a machine's request; with a yes: the network, and who said it."""

    pairing: Pairing
    network: NetworkId | None = None
    by: str = ""


def look(store: Store, pairing: str, nonce: str) -> Answered:
    """What became of a machine's request, for that machine. Raises PairingUnknown."""
    found = codes.known(store, PAIRINGS, pairing, nonce)
    if found.token is None:
        return Answered(found)
    token = tokens.get(store, found.token)
    assert token is not None and token.maker is not None
    return Answered(found, token.network, people.member_name(store, token.maker) or "")
