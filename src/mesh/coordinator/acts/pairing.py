"""A machine asks to join by a code, a member says yes or no; a yes is a join token for the machine's own secret.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.coordinator.acts import tokens as token_acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.tokens import Terms
from mesh.coordinator.store import devices, pairings, people, tokens
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId
from mesh.networks import pairing as rules
from mesh.networks.names import NameTaken, machine_name
from mesh.networks.pairing import (
    Elsewhere,
    OtherMachine,
    Pairing,
    PairingUnknown,
    PairingUsed,
    Sides,
)
from mesh.networks.tokens import JoinToken

KEPT_MS = 86_400_000
"""A request is kept for a day after its end, so that who comes late is told what became of it."""


class BadRequest(MeshError):
    """What this machine sent to ask for a code does not fit together. Update Mesh on it and start anew."""

    code = "pairing.bad_request"
    kind = "invalid"


class Asking(NamedTuple):
    """A machine asks for a code; it has proven its key. ``random`` gives five random bytes for a handle."""

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
    pairings.prune(store, before_ms=moment.now_ms - KEPT_MS)
    rules.may_wait(pairings.waiting(store, now_ms=moment.now_ms), asking.address)
    if tokens.by_secret(store, asking.secret_hash) is not None or pairings.secret_known(store, asking.secret_hash):
        raise BadRequest
    handle = rules.symbols(asking.random(), rules.HANDLE_LENGTH)
    while pairings.handle_taken(store, handle, now_ms=moment.now_ms):  # of 2^20, 256 at most are
        handle = rules.symbols(asking.random(), rules.HANDLE_LENGTH)
    pairing = Pairing(
        id=moment.new_id(),
        handle=handle,
        key=asking.key,
        name=asking.name,
        machine=asking.machine,
        address=asking.address,
        secret_hash=asking.secret_hash,
        commitment=asking.commitment,
        coordinator_nonce=asking.coordinator_nonce,
        created_ms=moment.now_ms,
        expires_ms=moment.now_ms + int(rules.LIFE_S * 1000),
    )
    pairings.add(store, pairing)
    return pairing


def known(store: Store, pairing: str, nonce: str) -> Pairing:
    """A machine's own request: it alone knows the number that it had committed to. Raises PairingUnknown."""
    found = pairings.get(store, pairing)
    if found is None or rules.commitment(found.key, nonce) != found.commitment:
        raise PairingUnknown
    return found


def reveal(store: Store, pairing: str, nonce: str) -> Pairing:
    """A machine shows its number: from now on its code counts. Once is enough. Raises PairingUnknown."""
    found = known(store, pairing, nonce)
    pairings.reveal(store, pairing, nonce)
    return msgspec.structs.replace(found, nonce=nonce)


def withdraw(store: Store, pairing: str, nonce: str) -> None:
    """A machine stops waiting: its code is worth nothing from now on. Raises PairingUnknown."""
    pairings.end(store, known(store, pairing, nonce).id, "withdrawn")


def find(store: Store, code: tuple[str, str], coordinator: tuple[DeviceKey, str], moment: Moment) -> Pairing | None:
    """The machine that shows a code, whatever became of it; None where none does, which is counted for the machine.

    ``coordinator``: our key, and what proofs of this installation are bound to.
    """
    handle, check = code
    found = pairings.by_handle(store, handle)
    if found is None or found.nonce is None:
        return None
    sides = Sides(found.key, *coordinator, found.name, found.secret_hash)
    ours = rules.check(sides, handle=handle, coordinator_nonce=found.coordinator_nonce, nonce=found.nonce)
    if ours == check:  # not secret: whoever may ask has five tries
        return found
    if rules.ended(found, moment.now_ms) is None:
        counted = rules.wrongly_typed(found)
        pairings.count_wrong(store, found.id, counted.wrong)
        if counted.outcome is not None:
            pairings.end(store, found.id, counted.outcome)
    return None


def confirm(store: Store, yes: Yes, where: Where, moment: Moment) -> JoinToken:
    """A member says yes: a join token for that machine, once.

    The network's admins approve by it; from others the device waits for an admin. Raises PairingUnknown, why the
    request has ended, Elsewhere, OtherMachine, NameTaken, TermsRefused, BadTag.
    """
    found = _still_open(store, yes.pairing, moment)
    if found.key != yes.key:
        raise OtherMachine
    if rules.is_elsewhere(found.address, where.address) and not yes.elsewhere:
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
    if not pairings.end(store, found.id, "confirmed", token=token.id):
        raise PairingUsed
    return token


def refuse(store: Store, pairing: str, moment: Moment) -> None:
    """A member says no: the machine is told. Raises PairingUnknown and why the request has ended."""
    pairings.end(store, _still_open(store, pairing, moment).id, "refused")


def _still_open(store: Store, pairing: str, moment: Moment) -> Pairing:
    found = pairings.get(store, pairing)
    if found is None:
        raise PairingUnknown
    ended = rules.ended(found, moment.now_ms)
    if ended is not None:
        raise ended
    return found


class Answered(NamedTuple):
    """What became of a machine's request; with a yes: the network, and who said it."""

    pairing: Pairing
    network: NetworkId | None = None
    by: str = ""


def look(store: Store, pairing: str, nonce: str) -> Answered:
    """What became of a machine's request, for that machine. Raises PairingUnknown."""
    found = known(store, pairing, nonce)
    if found.token is None:
        return Answered(found)
    token = tokens.get(store, found.token)
    assert token is not None and token.maker is not None
    return Answered(found, token.network, people.member_name(store, token.maker) or "")
