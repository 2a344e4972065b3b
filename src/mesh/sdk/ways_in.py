"""The coordinator's answers about ways to sign in: logins by a code, and ways in.

Touches: nothing.
"""

from mesh.ids import MemberId, NetworkId
from mesh.sdk.answers import Answer


class LoginAsked(Answer, frozen=True):
    """A command line may wait: the first half of its code, the coordinator's random number, until when (its clock, ms),
    and how long between two questions what became of it.

    ``url``, ``tls_sha256`` and ``more`` are the coordinator's own word on itself: never believed, only compared.
    """

    login: str
    handle: str
    nonce: str
    time_ms: int
    expires_ms: int
    poll_s: float
    url: str
    tls_sha256: str | None = None
    more: tuple[str, ...] = ()


class LoginState(Answer, frozen=True):
    """What became of a login: ``waiting``, ``slow_down`` (asked too soon: wait ``poll_s``), ``confirmed`` by whom."""

    state: str
    poll_s: float
    member: MemberId = MemberId("")
    name: str = ""


class LoginShown(Answer, frozen=True):
    """The command line that shows a code. ``admin``: it asks for what only admins may, for ten minutes. ``elsewhere``:
    not from the same public address as you, or that cannot be told. ``name``: as whom it would be signed in.
    """

    login: str
    label: str
    admin: bool
    secret_sha256: str
    address: str | None
    your_address: str | None
    elsewhere: bool
    asked_ms: int
    expires_ms: int
    time_ms: int
    name: str


class ProviderShown(Answer, frozen=True):
    """A provider to sign in with. ``way``: its name in addresses; ``title``: as people know it."""

    way: str
    title: str


class Ways(Answer, frozen=True):
    """The ways of signing in that an installation has beside links. ``url``: the address at which its pages are to be
    opened; passkeys work at no other.
    """

    providers: tuple[ProviderShown, ...]
    passkeys: bool
    url: str
    mail: bool


class WayIn(Answer, frozen=True):
    """One of a person's ways in. ``issuer``: a provider's address, or ``passkey``; ``works``: it is set up here now."""

    way: str
    issuer: str
    label: str
    created_ms: int
    used_ms: int | None
    works: bool


class WaysIn(Answer, frozen=True):
    """A person's own ways in, beside links."""

    ways: tuple[WayIn, ...]


class Entered(Answer, frozen=True):
    """A browser is signed in: as whom, the network that they came into by it, and where the page goes on.

    ``state``: ``pending`` where they wait there for an admin, ``active`` where they are in.
    """

    member: MemberId
    name: str
    network: NetworkId | None
    back: str
    state: str | None = None
