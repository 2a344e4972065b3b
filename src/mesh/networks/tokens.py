"""Join tokens: one object lets in the first person, other people, devices and relays.

The secret itself is never kept: whoever keeps tokens finds them by its hash. A use is counted in the transaction that
does what the token is for, so that a failed join costs no use and two joins at once cannot share one.

Touches: nothing.
"""

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId, TokenId, is_name
from mesh.networks.membership import allows
from mesh.protocol.values import Role

Purpose = Literal["claim", "member", "device", "relay"]
Letter = Literal["", "waiting", "sent", "failed"]
"""``sent``: a mail server took it. ``failed``: none did, or nobody knows, as the coordinator was stopped meanwhile."""

CLAIM_LIFE_S = 15 * 60
"""How long a claim link lives: long enough to walk to the machine that opens it, short in a journal."""
LIFE_S_DEFAULT = 60 * 60
"""An invite lives for an hour unless its maker says otherwise."""
LIFE_S_MAX = 90 * 24 * 3600
"""No token outlives a quarter: a forgotten one must not stay a way in."""
USES_MAX = 10_000
"""More than any rollout of auth keys needs; bounds what one leaked key can admit."""


class TokenUnknown(MeshError):
    """This link is not known here. Check that it was copied whole, or ask for a new one."""

    code = "token.unknown"
    kind = "not_found"


class TokenExpired(MeshError):
    """This link has expired. Ask the person who sent it for a new one."""

    code = "token.expired"
    kind = "gone"


class TokenUsed(MeshError):
    """This link was used as often as it allows. Ask the person who sent it for a new one."""

    code = "token.used"
    kind = "gone"


class TokenRevoked(MeshError):
    """This link was withdrawn. Ask the person who sent it for a new one."""

    code = "token.revoked"
    kind = "gone"


class TokenWrongPurpose(MeshError):
    """This link is for something else. Use `mesh auth claim` for people, `mesh device join` for devices."""

    code = "token.wrong_purpose"
    kind = "invalid"


class AddressUnproven(MeshError):
    """This invite is for one e-mail address, and you have not shown that it is yours. Open the invite in a browser:
    sign in there with an account that has the address, or have a link sent to it. Else ask for an invite of your own.
    """

    code = "token.address_unproven"
    kind = "forbidden"


class OnePerson(MeshError):
    """An invite for an e-mail address is for one person. Leave the number of uses out, or the address."""

    code = "token.one_person"
    kind = "invalid"


class WrongNetwork(MeshError):
    """The network that answered is not the one that the link named: its key differs. Ask its admin for a new link."""

    code = "network.wrong_key"
    kind = "forbidden"


class TermsRefused(MeshError):
    """An invite needs 1 to 10000 uses and a life of 1 second to 90 days. Change what is outside of that."""

    code = "token.terms"
    kind = "invalid"


APPROVE_DEVICES = "approve_devices"
"""The setting of a network that lets no device in without an admin; off unless an admin switches it on."""
EPHEMERAL_S = 30 * 60
"""An ephemeral device is removed after this long offline: longer than a restart or a tunnel, short in a list."""
TAGS_MAX = 8
"""Tags ride in every certificate; eight say what a machine is for."""


class BadTag(MeshError):
    """A device has at most 8 tags, each 1 to 63 of a-z, 0-9 and hyphens inside. Choose other tags."""

    code = "token.bad_tag"
    kind = "invalid"


class JoinToken(msgspec.Struct, frozen=True):
    """A way in. ``maker`` owns the devices that join by it; ``approved`` False leaves them pending."""

    id: TokenId
    purpose: Purpose
    expires_ms: int
    uses_max: int = 1
    uses: int = 0
    network: NetworkId | None = None
    maker: MemberId | None = None
    role: Role = "member"
    name: str = ""
    approved: bool = True
    revoked: bool = False
    tags: tuple[str, ...] = ()
    leaves_after_s: int | None = None
    """Its devices are removed by themselves after so long offline (*ephemeral*); None: they stay."""
    address: str = ""
    """The e-mail address whose owner alone may use it; "": whoever has the secret."""
    letter: Letter = ""
    """What became of the letter that brings it there; "": there is none."""


def check_terms(*, uses: int, life_s: float) -> None:
    """Refuse terms of a new token outside of the limits. Raises TermsRefused."""
    if not (1 <= uses <= USES_MAX and 1 <= life_s <= LIFE_S_MAX):
        raise TermsRefused(uses=uses, expires_s=life_s)


def tags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Tags, sorted and each once. Raises BadTag."""
    tags = tuple(sorted(set(texts)))
    if len(tags) > TAGS_MAX or not all(is_name(tag) for tag in tags):
        raise BadTag
    return tags


def check_network(*, pinned: DeviceKey | None, key: DeviceKey) -> None:
    """Compare the network that a link named with the one it leads into, before a use is counted. Raises WrongNetwork.

    ``pinned`` None: the link names none.
    """
    if pinned is not None and pinned != key:
        raise WrongNetwork


def redeem(token: JoinToken | None, *, purpose: Purpose, now_ms: int) -> JoinToken:
    """Count one use of a token at ``now_ms`` and return it as it is afterwards.

    Raises TokenUnknown, TokenWrongPurpose, TokenRevoked, TokenExpired, TokenUsed, in this order: what a person can do
    least about comes first.
    """
    if token is None:
        raise TokenUnknown
    if token.purpose != purpose:
        raise TokenWrongPurpose(purpose=token.purpose)
    if token.revoked:
        raise TokenRevoked
    if now_ms >= token.expires_ms:
        raise TokenExpired(expired_ms=token.expires_ms)
    if token.uses >= token.uses_max:
        raise TokenUsed(uses=token.uses)
    return msgspec.structs.replace(token, uses=token.uses + 1)


def check_address(token: JoinToken, proven: Collection[str]) -> None:
    """Refuse whoever did not prove the address that an invite is for. Raises AddressUnproven.

    ``proven``: addresses that a provider vouches for, or that a letter came to, as ``ways_in.mail_address`` has them.
    """
    if token.address and token.address not in proven:
        raise AddressUnproven


def comes_in_approved(token: JoinToken, *, maker: Role | None, network_asks: bool) -> bool:
    """Whether a device that comes by this token is in at once, or waits for an admin.

    ``maker``: the role that its maker has now. ``network_asks``: whether the network wants an admin's approval of every
    device; a link that an admin made is that approval, unless it was made to wait.
    """
    return token.approved and (not network_asks or (maker is not None and allows(maker, "devices.approve")))
