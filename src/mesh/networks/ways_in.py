"""Ways in: how a person who is known signs in beside links.

An *identity* is who somebody is elsewhere: an issuer, and the subject by which it never means anybody else. An address
or a name says nothing: both change hands.

Touches: nothing.
"""

import re
from collections.abc import Sequence

import msgspec

from mesh.errors import MeshError
from mesh.networks.domains import normal

WAYS_MAX = 20
"""Ways in of one person: every device has a passkey, and there are a few providers."""
MAIL_ISSUER = "mailto:"
"""Whose subjects are e-mail addresses."""
LABEL_MAX = 255
_ADDRESS = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"
)
_ADDRESS_MAX = 254
"""Longer ones no mail server takes (RFC 5321)."""


class NotLinked(MeshError):
    """Nobody here is linked with that account. Sign in another way first and link it in Settings; or ask an admin for
    an invite, open it, and choose this way there.
    """

    code = "ways.not_linked"
    kind = "forbidden"


class TakenByOther(MeshError):
    """That account is linked with somebody else here. Sign in with it, and unlink it in Settings first."""

    code = "ways.taken"
    kind = "conflict"


class OtherBrowser(MeshError):
    """This link works only in the browser where you asked for it. Open it there; or ask for a new one here."""

    code = "ways.other_browser"
    kind = "forbidden"


class WayUnknown(MeshError):
    """You have no such way in. Settings lists yours."""

    code = "ways.unknown"
    kind = "not_found"


class LastWay(MeshError):
    """This is your last way in. Add another one first, so that you can come back."""

    code = "ways.last"
    kind = "conflict"


class TooManyWays(MeshError):
    """You have twenty ways in. Remove one that you no longer use."""

    code = "ways.too_many"
    kind = "too_many"


class Identity(msgspec.Struct, frozen=True):
    """Who somebody is elsewhere, as a provider has just vouched for.

    ``label``: an address or a name, for people to read. ``address``: that the provider has verified, ``domain``: its.
    """

    issuer: str
    subject: str
    label: str
    name: str = ""
    domain: str | None = None
    address: str | None = None


def shown(text: str, otherwise: str) -> str:
    """A provider's word on a person, fit to be shown; ``otherwise`` where nothing is left of it."""
    plain = "".join(letter for letter in text if letter.isprintable()).strip()[:LABEL_MAX]
    return plain or otherwise


def mail_address(text: str) -> str | None:
    """An e-mail address in the one way in which it is kept and compared; None where it is none.

    In lower case, since no mail server in use tells the cases apart; nothing in it can end a header or begin another.
    """
    address = text.strip().lower()
    if not address.isascii():
        name, _, domain = address.rpartition("@")
        address = f"{name}@{normal(domain) or ''}"
    return address if len(address) <= _ADDRESS_MAX and _ADDRESS.fullmatch(address) else None


def may_remove(ways: Sequence[str], way: str) -> None:
    """Refuse to take away a person's last way in. ``ways``: the ids of those that work. Raises LastWay."""
    if set(ways) == {way}:
        raise LastWay
