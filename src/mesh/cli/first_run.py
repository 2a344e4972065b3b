"""What must be there before an agent runs: coordinator, person, network, device. Made as far as it is missing.

Every step looks first whether it was done, so that a first run that was interrupted goes on where it stopped.

Touches: files of the home, sockets (through the client), the user's and the machine's name.
"""

import getpass
import platform
import re
from typing import Any

import msgspec

from mesh.cli.output import Out
from mesh.ids import NetworkId
from mesh.protocol import links
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.home import CoordinatorRecord, Home, SessionRecord

NETWORK = "home"
"""What the network of a first run is called."""
NAME_LENGTH_MAX = 63


def settle_in(home: Home, ready: dict[str, Any], out: Out) -> None:
    """After the coordinator of this home said ``ready``: be its person, have a network, be a device in it."""
    record = home.read()
    if record.session is None and ready["claim"]:
        claim(home, links.parse(ready["claim"]))
        out.note(f"You are {person()}, and this installation is yours.")
    record = home.read()
    if record.coordinator is not None and record.coordinator.url != ready["url"]:
        moved = CoordinatorRecord(ready["url"], record.coordinator.key, ready.get("tls_sha256"))
        home.write(msgspec.structs.replace(record, coordinator=moved))
    be_a_device(home, out)


def claim(home: Home, link: links.JoinLink) -> None:
    """Sign in with a claim link as the user of this machine."""
    known = CoordinatorRecord(link.url, link.coordinator, link.tls_sha256)
    with Coordinator(known) as client:
        claimed = client.do(calls.claim(link.secret, person(), machine()))
    session = SessionRecord(claimed.token, claimed.member, claimed.name)
    home.write(msgspec.structs.replace(home.read(), coordinator=known, session=session))


def be_a_device(home: Home, out: Out, name: str | None = None) -> None:
    """Join the person's network with this machine, unless it is a device already."""
    from mesh.agent.join import join

    if home.read().device is not None:
        return
    with Coordinator.of(home) as client:
        network = _network(home, client, out)
        minted = client.do(calls.mint(network, calls.TokenTerms("device", expires_s=600)))
    called = name or machine()
    join(home, links.parse(minted.link), called)
    out.note(f"This machine is the device {called}.")


def _network(home: Home, client: Coordinator, out: Out) -> NetworkId:
    """The network that this home means; the first one is made."""
    record = home.read()
    if record.network is not None:
        return record.network
    known = client.do(calls.networks()).networks
    if known:
        network = known[0].network
    else:
        network = client.do(calls.create_network(NETWORK)).network
        out.note(f"The private network {NETWORK} is made.")
    home.write(msgspec.structs.replace(home.read(), network=network))
    return network


def person() -> str:
    """The user of this machine, as a person's name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "me"
    kept = "".join(letter for letter in user if letter.isprintable()).strip()
    return kept[:NAME_LENGTH_MAX] or "me"


def machine() -> str:
    """This machine's host name, as a device's name."""
    name = re.sub(r"[^a-z0-9]+", "-", platform.node().partition(".")[0].lower()).strip("-")
    return name[:NAME_LENGTH_MAX].strip("-") or "this-machine"
