"""Where a command stands: its MESH_HOME, who is signed in there, and which network is meant.

Touches: environment (MESH_HOME, MESH_API_KEY), files of the home, sockets (through the client).
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.errors import MeshError
from mesh.ids import NetworkId

if TYPE_CHECKING:
    from mesh.cli.output import Out
    from mesh.ids import DeviceKey
    from mesh.protocol.links import JoinLink
    from mesh.sdk.answers import About
    from mesh.sdk.client import Coordinator
    from mesh.sdk.home import Home

Network = Annotated[str | None, typer.Option("--network", help="A network's id or name; needed only with several.")]
_SPAN = re.compile(r"(\d{1,6})([smhd])")
LOOPBACK = re.compile(r"https?://(127\.|localhost[:/]|\[::1\])")
_SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class NoNetwork(MeshError):
    """Which network is meant? Name it with --network, or make one: `mesh net create NAME`."""

    code = "network.not_named"
    kind = "invalid"


class BadSpan(MeshError):
    """A time span is written as a number and s, m, h or d, for example 30m, 1h or 7d."""

    code = "usage.span"
    kind = "invalid"


class BadName(MeshError):
    """A name has 1 to 63 of the letters a to z, digits and hyphens, with no hyphen at either end."""

    code = "usage.name"
    kind = "invalid"


class OtherCoordinator(MeshError):
    """This MESH_HOME belongs to another coordinator. Set MESH_HOME to another folder for this link."""

    code = "home.other_coordinator"
    kind = "conflict"


def home() -> "Home":
    """The home of this command: ``MESH_HOME``, or the usual place for a person's data."""
    from mesh.sdk.home import Home

    named = os.environ.get("MESH_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("mesh", appauthor=False)))


def span_s(text: str) -> float:
    """Seconds of a span like ``90s``, ``30m``, ``1h``, ``7d``. Raises BadSpan."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise BadSpan
    return float(match[1]) * _SPAN_S[match[2]]


def named(text: str) -> str:
    """A device's or network's name, checked before anything is sent. Raises BadName."""
    from mesh.ids import is_name

    if not is_name(text):
        raise BadName
    return text


def link_from(text: str) -> "JoinLink":
    """Read a join link; ``-`` reads it from stdin, so that it is in no process list. Raises BadLink."""
    from mesh.protocol.links import LINK_LENGTH_MAX, parse

    return parse(sys.stdin.readline(LINK_LENGTH_MAX + 2) if text == "-" else text)


def coordinator(place: "Home") -> "Coordinator":
    """The client of the person signed in here, or of the device that this home is. Raises NotJoined, NotSignedIn.

    ``MESH_API_KEY`` goes before both: a script's key may less than the person whose home it uses.
    """
    from mesh.sdk.client import Coordinator
    from mesh.sdk.signin import device_session

    key = os.environ.get("MESH_API_KEY")
    if key:
        return Coordinator(place.coordinator(), key)
    record = place.read()
    if record.session is None and record.device is not None:
        return Coordinator(place.coordinator(), device_session(place))
    return Coordinator.of(place)


def warn_if_unreachable(place: "Home", out: "Out") -> None:
    """Say so when a link that was just made names this machine's loopback: elsewhere it leads nowhere."""
    if LOOPBACK.match(place.coordinator().url):
        out.note(
            "\nThe coordinator is reachable from this machine alone. For others: mesh up --host 0.0.0.0, a new link."
        )


def network_of(place: "Home", client: "Coordinator", wanted: str | None) -> NetworkId:
    """The network that a command means. Raises NoNetwork."""
    record = place.read()
    if wanted is None:
        if record.network is not None:
            return record.network
        if record.device is not None:
            return record.device.network
    from mesh.sdk import calls

    known = client.do(calls.networks()).networks
    matching = [one for one in known if wanted in (None, one.network, one.name)]
    if len(matching) != 1:
        raise NoNetwork
    return matching[0].network


def check_follows(known: "DeviceKey", about: "About") -> None:
    """The coordinator of the link is the one of this home, under a newer key. Raises OtherCoordinator."""
    from mesh.sdk.following import the_same
    from mesh.sdk.pinning import WrongCertificate

    try:
        the_same(known, about)
    except WrongCertificate as error:
        raise OtherCoordinator from error
