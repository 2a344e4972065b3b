"""Links that are sent by e-mail: to sign in whoever has linked that address, or to link it.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.coming_in import listings
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import KEPT_MS, LINK_LIFE_S
from mesh.coordinator.store import invite_letters, people, sign_in_links, tokens, ways_in
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.invite_letters import InviteLetter
from mesh.coordinator.store.sign_in_links import SignInLink
from mesh.errors import MeshError
from mesh.ids import MemberId, TokenId
from mesh.networks.tokens import JoinToken, redeem
from mesh.networks.ways_in import MAIL_ISSUER


class AskedByMail(NamedTuple):
    """A browser asks for a link by mail. ``browser_hash``: of its cookie; ``member``: who links an address, None where
    somebody signs in.
    """

    address: str
    browser_hash: str
    member: MemberId | None = None


class InviteAsked(NamedTuple):
    """A browser asks for a letter to the address of an invite: whoever gets it there is who was invited."""

    invite_hash: str
    browser_hash: str


def offer_letter(store: Store, asked: InviteAsked, secret_hash: str, moment: Moment) -> JoinToken | None:
    """Make a letter to the address of an invite, and return the invite; None where it is over, or for no address."""
    invite_letters.prune(store, before_ms=moment.now_ms - KEPT_MS)
    token = tokens.by_secret(store, asked.invite_hash)
    try:
        redeem(token, purpose="member", now_ms=moment.now_ms)
    except MeshError:
        return None
    if token is None or not token.address:
        return None
    expires_ms = moment.now_ms + int(LINK_LIFE_S * 1000)
    letter = InviteLetter(moment.new_id(), token.id, asked.browser_hash, expires_ms)
    invite_letters.add(store, letter, secret_hash=secret_hash, now_ms=moment.now_ms)
    return token


def still_open(store: Store, token: TokenId, moment: Moment) -> bool:
    """Whether the invite of a letter that waits can still be used: it may have been withdrawn meanwhile."""
    try:
        redeem(tokens.get(store, token), purpose="member", now_ms=moment.now_ms)
    except MeshError:
        return False
    return True


class Offered(NamedTuple):
    """A link that may be sent: to whom, by name, and whether it links the address; ``invites``: it is for somebody new,
    from a domain that a network lists.
    """

    name: str
    links: bool
    invites: bool = False


def offer(store: Store, asked: AskedByMail, secret_hash: str, moment: Moment) -> Offered | None:
    """Make a link for an address; None where nobody has linked it and no network lists its domain, or where somebody
    else has linked it.
    """
    sign_in_links.prune(store, before_ms=moment.now_ms - KEPT_MS)
    known = ways_in.identity(store, MAIL_ISSUER, asked.address)
    owner = None if known is None else known.member
    member = asked.member or owner
    name = None if member is None else people.member_name(store, member)
    if member is None:
        return _offer_newcomer(store, asked, secret_hash, moment)
    if name is None or (owner is not None and owner != member):
        return None
    expires_ms = moment.now_ms + int(LINK_LIFE_S * 1000)
    link = SignInLink(moment.new_id(), member, expires_ms, None, asked.browser_hash, asked.address)
    sign_in_links.add(store, link, secret_hash=secret_hash, now_ms=moment.now_ms)
    return Offered(name, owner is None)


def _offer_newcomer(store: Store, asked: AskedByMail, secret_hash: str, moment: Moment) -> Offered | None:
    """An invite for an address whose domain a network lists, good only by the letter that brings it there."""
    listing = next(iter(listings(store, asked.address, {})), None)
    if listing is None:
        return None
    invite_letters.prune(store, before_ms=moment.now_ms - KEPT_MS)
    expires_ms = moment.now_ms + int(LINK_LIFE_S * 1000)
    token = JoinToken(
        id=TokenId(moment.new_id()),
        purpose="member",
        expires_ms=expires_ms,
        network=listing.network,
        maker=listing.by,
        role=listing.role,
        address=asked.address,
    )
    tokens.add(store, token, secret_hash=f"letter:{token.id}", now_ms=moment.now_ms)  # the hash of nothing
    letter = InviteLetter(moment.new_id(), token.id, asked.browser_hash, expires_ms)
    invite_letters.add(store, letter, secret_hash=secret_hash, now_ms=moment.now_ms)
    return Offered("", links=False, invites=True)
