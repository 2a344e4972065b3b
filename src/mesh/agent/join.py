"""Joining a network: make this home's key, prove it to the coordinator that the link names, keep what it answers.

Without a link, by a code: ask, show the code, wait for a member's yes, which makes a link for this machine alone.

Touches: files of the home, sockets (through the client), clock, the machine's sensors (through ``probe``).
"""

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mesh.agent import identity
from mesh.agent.probe import Probe
from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.networks.pairing import JOIN_S, PairingExpired
from mesh.protocol.links import JoinLink
from mesh.protocol.values import Capability
from mesh.sdk import joining, pairing
from mesh.sdk.answers import PairingState
from mesh.sdk.client import CoordinatorUnreachable
from mesh.sdk.home import DeviceRecord, Home
from mesh.sdk.pairing import Waiting
from mesh.units import GIB

LOOK_EVERY_S = 2.0
"""Between two looks whether somebody said yes: soon enough for who waits, nothing for the coordinator."""


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


def join_by_code(
    home: Home, url: str, name: str, show: Callable[[Waiting, float], None], *, look_every_s: float = LOOK_EVERY_S
) -> tuple[joining.Joined, PairingState]:
    """Make this home a device once a member says yes; returns also who did, for which network.

    ``show`` gets the code and how long it was waited, in seconds, over and over. Whatever ends the wait without a yes
    ends the code too. Raises AlreadyJoined, why nobody said yes, and what ``join`` raises.
    """
    if home.read().device is not None:
        raise AlreadyJoined
    home.ensure()
    me = identity.load_or_make(home)
    waiting = pairing.ask(url, name, me.seed, _described(Probe().capability((), "none")))
    try:
        confirmed = _confirmed(waiting, show, look_every_s)
    except BaseException:  # also Ctrl-C: nobody waits any more, so that nobody should be let in
        with suppress(MeshError):
            pairing.withdraw(waiting)
        raise
    return _patiently(lambda: join(home, pairing.link(waiting, confirmed), name), look_every_s), confirmed


def _confirmed(waiting: Waiting, show: Callable[[Waiting, float], None], look_every_s: float) -> PairingState:
    """Wait for a yes. A coordinator that is away for a while, or restarted meanwhile, ends nothing."""
    began = time.monotonic()
    while True:
        waited_s = time.monotonic() - began
        show(waiting, waited_s)
        try:
            state = pairing.look(waiting)
        except CoordinatorUnreachable:
            if waited_s > waiting.life_s:
                raise PairingExpired from None
        else:
            if state.state == "confirmed":
                return state
        time.sleep(look_every_s)


def _patiently(attempt: Callable[[], joining.Joined], look_every_s: float) -> joining.Joined:
    """Use a yes, again where the coordinator did not answer, for as long as the yes is good: joining twice is once."""
    until = time.monotonic() + JOIN_S
    while True:
        try:
            return attempt()
        except CoordinatorUnreachable:
            if time.monotonic() > until:
                raise
        time.sleep(look_every_s)


def _described(what: Capability) -> str:
    """This machine in a few words, for the person who lets it in."""
    return f"{what.system} {what.arch}, {what.cores} cores, {what.memory_bytes / GIB:.0f} GiB"
