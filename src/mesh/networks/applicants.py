"""Applicants: people who took an invite of a network in which an admin lets people in.

They wait (``pending``) and are in nothing yet: whatever asks for a member finds none. An admin approves or refuses,
they may withdraw, and after a month their request expires. The invite's use was spent when they asked, whatever comes
of it: who wants to ask again needs a fresh invite, as whoever was removed does.

Touches: nothing.
"""

from typing import Literal

from mesh.errors import MeshError
from mesh.networks.names import hides

MembershipState = Literal["pending", "active", "removed"]
Ended = Literal["refused", "withdrawn", "expired"]
"""How a request ended that led to nothing."""

APPROVE_PEOPLE = "approve_people"
"""The setting of a network that lets nobody in without an admin, by whichever way they come; off by default."""
WAITS_S = 30 * 86400.0
"""An admin on a long holiday still finds who asked; nobody waits for good."""
WAITING_MAX = 500
"""Who waits in one network at once: more than an admin reads, and what one leaked link can pile up."""
WHY_MAX = 200


class Waits(MeshError):
    """You asked to come into this network and wait for one of its admins to let you in; until then you can do nothing
    in it. `mesh net list` shows how it stands. If it takes long, ask an admin.
    """

    code = "members.waits"
    kind = "forbidden"


class AlreadyWaits(MeshError):
    """You wait already for an admin of this network to let you in, and no use of the link was counted."""

    code = "members.already_waits"
    kind = "conflict"


class NotWaiting(MeshError):
    """This request is no longer open: ``outcome`` says what became of it, ``by`` whom. Look at the list again; whoever
    is in is let go with `mesh members remove`, whoever is not needs a fresh invite.
    """

    code = "members.not_waiting"
    kind = "conflict"


class NobodyAsked(MeshError):
    """There is no such request. `mesh members list` shows an admin who waits, `mesh net list` where you do."""

    code = "members.nobody_asked"
    kind = "not_found"


class QueueFull(MeshError):
    """500 people wait to be let into this network, and no use of the link was counted. Try again once its admins have
    looked at them.
    """

    code = "members.queue_full"
    kind = "too_many"


class BadWhy(MeshError):
    """A reason is one line of at most 200 characters, none of them invisible. Write another one, or none."""

    code = "members.bad_why"
    kind = "invalid"


def must_wait(*, link_asks: bool, network_asks: bool) -> bool:
    """Whether somebody who comes in now waits for an admin: because their link says so, or because everybody does."""
    return link_asks or network_asks


def reason(text: str) -> str:
    """Why somebody was refused, for them to read. Raises BadWhy."""
    why = text.strip()
    if len(why) > WHY_MAX or hides(why):
        raise BadWhy
    return why


def expires_ms(asked_ms: int) -> int:
    """When a request expires."""
    return asked_ms + int(WAITS_S * 1000)
