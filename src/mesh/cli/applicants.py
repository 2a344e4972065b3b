"""People who wait for an admin, as the command line shows and finds them.

Touches: sockets (through the client).
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mesh.cli.output import day, table
from mesh.errors import MeshError, RemoteError

if TYPE_CHECKING:
    from mesh.ids import MemberId, NetworkId
    from mesh.sdk.applicants import Applicant, Asked
    from mesh.sdk.client import Coordinator

_NOT_FOR_ME = ("forbidden", "not_found", "unauthenticated")
"""What whoever is no admin is answered, a script's key, a device, or anybody by an older coordinator."""


class UnknownApplicant(MeshError):
    """Nobody of that name or id waits in this network, or several of that name do. See who: `mesh members list`."""

    code = "members.unknown_applicant"
    kind = "not_found"


class WhichRequest(MeshError):
    """You wait in several networks, or not in that one. `mesh net list` shows where; name one of them."""

    code = "network.which_request"
    kind = "not_found"


def waiting_in(client: "Coordinator", network: "NetworkId") -> "tuple[Applicant, ...]":
    """Who waits in a network, as far as the caller may see it."""
    from mesh.sdk import calls

    try:
        return client.do(calls.applicants(network)).applicants
    except RemoteError as error:
        if error.wire_kind in _NOT_FOR_ME:
            return ()
        raise


def show_waiting(waiting: "Sequence[Applicant]", names: "Mapping[MemberId, str]") -> None:
    """Print who waits, if anybody does. ``names``: of who is in."""
    if not waiting:
        return
    print("\nThey wait to be let in (mesh members approve NAME, or refuse NAME):")
    rows = [(one.name, one.role, came(one, names), _moment(one.asked_ms), one.member) for one in waiting]
    table(("name", "as", "came", "asked", "id"), rows)


def came(one: "Applicant", names: "Mapping[MemberId, str]") -> str:
    """How somebody came who waits, in words."""
    if one.address:
        how = f"as {one.address}, which is theirs"
    elif one.invite_name:
        how = f"by a link for {one.invite_name}"
    else:
        how = "by a link"
    maker = "" if one.invited_by is None else f", from {names.get(one.invited_by, 'somebody who left')}"
    return how + maker


def applicant_named(client: "Coordinator", network: "NetworkId", text: str) -> "MemberId":
    """Who waits with an id or a name; an id that nobody waits with is sent on, to learn what became of it.

    Raises UnknownApplicant.
    """
    from mesh.ids import MemberId, is_ulid
    from mesh.sdk import calls

    known = client.do(calls.applicants(network)).applicants
    matching = [one.member for one in known if text == one.member] or [one.member for one in known if text == one.name]
    if len(matching) == 1:
        return matching[0]
    if not matching and is_ulid(text):
        return MemberId(text)
    raise UnknownApplicant


def mine(client: "Coordinator") -> "tuple[Asked, ...]":
    """Where the caller asked to come in; nothing for a device or a key, or at an older coordinator."""
    from mesh.sdk import calls

    try:
        return client.do(calls.asked()).networks
    except RemoteError as error:
        if error.wire_kind in _NOT_FOR_ME:
            return ()
        raise


def waits_in(asked: "Sequence[Asked]", named: str | None) -> "Asked":
    """The request that is meant. Raises WhichRequest."""
    found = [one for one in asked if one.state == "pending" and named in (None, one.network, one.name)]
    if len(found) != 1:
        raise WhichRequest
    return found[0]


def said(one: "Asked") -> str:
    """How a request stands, in words."""
    why = f": {one.why}" if one.why else ""
    return {
        "pending": f"waiting for an admin, until {day(one.until_ms)}",
        "refused": f"not let in{why}",
        "expired": "not let in: no admin answered",
        "withdrawn": "withdrawn by you",
    }.get(one.state, one.state)


def _moment(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_ms / 1000))
