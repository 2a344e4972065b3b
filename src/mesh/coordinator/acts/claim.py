"""The first person claims the installation; people who were invited sign in by the same door.

Touches: database (through the store it is given).
"""

from contextlib import suppress
from typing import NamedTuple

from mesh.coordinator.acts import linking
from mesh.coordinator.acts.coming_in import Coming, by_domain, come_in
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import Opened, open_session
from mesh.coordinator.store import deletions, invite_letters, networks, people, sign_in_links, tokens, ways_in
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.invite_letters import InviteLetter
from mesh.coordinator.store.networks import Membership
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId, NetworkId, TokenId, made_ms
from mesh.networks.applicants import MembershipState, QueueFull
from mesh.networks.membership import AlreadyIn, NotLetBack
from mesh.networks.names import person_name
from mesh.networks.tokens import CLAIM_LIFE_S, JoinToken, TokenExpired, TokenUnknown, TokenUsed, check_address, redeem
from mesh.networks.ways_in import MAIL_ISSUER, Identity, OtherBrowser


class AlreadyClaimed(MeshError):
    """This installation was claimed before. If that was not you, stop it and look at who started it; else sign in."""

    code = "installation.claimed"
    kind = "conflict"


class PersonUnknown(MeshError):
    """There is no such person here, or their account is about to be deleted. Name somebody who is in one of the
    networks here.
    """

    code = "installation.person_unknown"
    kind = "not_found"


class WrongKey(MeshError):
    """The key file and the database belong to different installations. Restore both from the same backup."""

    code = "coordinator.wrong_key"


class SignIn(NamedTuple):
    """What signing in needs beside the secret: the new session's token as SHA-256, and how the person is called.

    ``label``: what the place where they sign in calls itself. ``browser_hash``: of the cookie of a browser that had
    asked for a link by mail. ``proven``: an e-mail address that a provider has just vouched for as theirs.
    """

    secret_hash: str
    session_hash: str
    name: str
    label: str | None = None
    browser_hash: str | None = None
    proven: str | None = None


class Accepting(NamedTuple):
    """What accepting an invite needs beside who accepts it; as in ``SignIn``."""

    secret_hash: str
    browser_hash: str | None = None
    proven: str | None = None


class SignedIn(NamedTuple):
    """A person has a session; ``membership`` where they came into a network by it, ``more``: into others as well."""

    member: MemberId
    name: str
    membership: Membership | None
    more: tuple[Membership, ...] = ()

    @property
    def came(self) -> tuple[Membership, ...]:
        """All that they came into."""
        return self.more if self.membership is None else (self.membership, *self.more)

    def into(self, came: tuple[Membership, ...]) -> "SignedIn":
        """The same, into these networks."""
        return self._replace(membership=next(iter(came), None), more=came[1:])


def start(store: Store, key: DeviceKey, moment: Moment) -> bool:
    """Note a start; make the installation if there is none. Returns whether it is claimed. Raises WrongKey."""
    installation = people.installed(store)
    if installation is None:
        people.install(store, key=key, now_ms=moment.now_ms)
    elif installation.coordinator_key != key:
        raise WrongKey
    people.count_start(store)
    tokens.lose_letters(store, moment.now_ms, at_start=True)
    claimed = installation is not None and installation.claimed_ms is not None
    if not claimed:  # afterwards the used link is kept, so that who comes second is told that it was claimed
        tokens.forget_claims(store)
    return claimed


def offer_claim(store: Store, secret_hash: str, moment: Moment) -> None:
    """Make the claim link of this start."""
    expires_ms = moment.now_ms + int(CLAIM_LIFE_S * 1000)
    token = JoinToken(id=TokenId(moment.new_id()), purpose="claim", expires_ms=expires_ms)
    tokens.add(store, token, secret_hash=secret_hash, now_ms=moment.now_ms)


def sign_in(store: Store, asked: SignIn, moment: Moment) -> SignedIn:
    """Use a claim link, a person's invite, or a link that signs in who is known already.

    An invite for one e-mail address lets in whom a provider vouches for, or the letter that came to it. Raises
    AlreadyClaimed, BadName, AddressUnproven, OtherBrowser, TakenByOther and what ``redeem`` raises.
    """
    token, letter = _found(store, asked.secret_hash)
    if token is None:
        return _again(store, asked, moment)
    if letter is not None:
        _check_letter(letter, asked.browser_hash, moment)
    installation = people.installed(store)
    assert installation is not None
    if token.purpose == "claim" and installation.claimed_ms is not None:
        raise AlreadyClaimed(claimed_ms=installation.claimed_ms)
    redeem(token, purpose="claim" if token.purpose == "claim" else "member", now_ms=moment.now_ms)
    check_address(token, {token.address} if letter is not None else {asked.proven or ""})
    tokens.use(store, token.id, now_ms=moment.now_ms)
    if token.purpose == "claim":
        return claim_directly(store, asked, moment)
    signed_in = new_person(store, _opened(asked), person_name(asked.name or token.name), moment)
    if letter is not None:
        linking.link(store, signed_in.member, Identity(MAIL_ISSUER, token.address, token.address), moment)
    return signed_in._replace(membership=_admit(store, token, signed_in.member, moment))


def accept(store: Store, member: MemberId, how: Accepting, moment: Moment) -> Membership:
    """A person who is known comes into a network by an invite: they stay who they are.

    Raises AlreadyIn, NotLetBack, AlreadyWaits, QueueFull, AddressUnproven, OtherBrowser and what ``redeem`` raises.
    """
    found, letter = _found(store, how.secret_hash)
    if letter is not None:
        _check_letter(letter, how.browser_hash, moment)
    token = redeem(found, purpose="member", now_ms=moment.now_ms)
    assert token.network is not None
    if token.address and letter is None:
        linked = ways_in.identity(store, MAIL_ISSUER, token.address)
        theirs = {token.address} if linked is not None and linked.member == member else set[str]()
        check_address(token, theirs | {how.proven or ""})
    if networks.role(store, token.network, member) is not None:
        raise AlreadyIn
    ended_ms = networks.ended_ms(store, token.network, member)
    if ended_ms is not None and made_ms(token.id) <= ended_ms:
        raise NotLetBack
    tokens.use(store, token.id, now_ms=moment.now_ms)
    return _admit(store, token, member, moment)


def _found(store: Store, secret_hash: str) -> tuple[JoinToken | None, InviteLetter | None]:
    """The token that a secret belongs to: by itself, or through a letter to the address that the token is for."""
    token = tokens.by_secret(store, secret_hash)
    letter = None if token is not None else invite_letters.by_secret(store, secret_hash)
    return (token, None) if letter is None else (tokens.get(store, letter.token), letter)


def _check_letter(letter: InviteLetter, browser_hash: str | None, moment: Moment) -> None:
    """Refuse a letter that is over, or that was opened elsewhere than where it was asked for."""
    if moment.now_ms >= letter.expires_ms:
        raise TokenExpired(expired_ms=letter.expires_ms)
    if letter.browser_hash != browser_hash:
        raise OtherBrowser


def _admit(store: Store, token: JoinToken, member: MemberId, moment: Moment) -> Membership:
    """Whoever has used an invite is in its network, or waits for its admins."""
    assert token.network is not None
    who = Membership(token.network, member, token.role, token.maker)
    return come_in(store, Coming(who, not token.approved, token.name, token.address), moment)


def claim_directly(store: Store, asked: SignIn, moment: Moment) -> SignedIn:
    """Give the installation to its first person without a link: they run it. Raises AlreadyClaimed, BadName."""
    signed_in = new_person(store, _opened(asked), person_name(asked.name), moment)
    if not people.claim(store, operator=signed_in.member, now_ms=moment.now_ms):
        installation = people.installed(store)
        raise AlreadyClaimed(claimed_ms=installation.claimed_ms if installation else None)
    return signed_in


def hand_over(store: Store, to: MemberId) -> None:
    """Somebody else operates the installation from now on. Raises PersonUnknown."""
    if people.member_name(store, to) is None or to in deletions.waiting(store):
        raise PersonUnknown
    people.hand_over(store, to)


def _again(store: Store, asked: SignIn, moment: Moment) -> SignedIn:
    """Sign in a person who is known, by a link that they made elsewhere.

    A link that came by mail also links the address that it was sent to, if it was not linked before. Raises
    TokenUnknown, TokenUsed, TokenExpired, OtherBrowser, TakenByOther, TooManyWays.
    """
    link = sign_in_links.by_secret(store, asked.secret_hash)
    name = None if link is None else people.member_name(store, link.member)
    if link is None or name is None:
        raise TokenUnknown
    if moment.now_ms >= link.expires_ms:
        raise TokenExpired(expired_ms=link.expires_ms)
    if link.browser_hash is not None and link.browser_hash != asked.browser_hash:
        raise OtherBrowser
    if not sign_in_links.use(store, link.id, now_ms=moment.now_ms):
        raise TokenUsed(uses=1)
    if link.address is not None:
        linking.link(store, link.member, Identity(MAIL_ISSUER, link.address, link.address), moment)
    open_session(store, link.member, name, _opened(asked), moment)
    signed_in = SignedIn(link.member, name, None)
    if link.address is not None:
        with suppress(QueueFull):
            return signed_in.into(by_domain(store, link.member, link.address, {}, moment))
    return signed_in


def new_person(store: Store, opened: Opened, name: str, moment: Moment) -> SignedIn:
    """Take in somebody new, and sign them in."""
    member = MemberId(moment.new_id())
    people.add_member(store, member=member, name=name, now_ms=moment.now_ms)
    open_session(store, member, name, opened, moment)
    return SignedIn(member, name, None)


def _opened(asked: SignIn) -> Opened:
    return Opened(asked.session_hash, asked.label)


def network_of(signed_in: SignedIn) -> NetworkId | None:
    """The network that a person came into by signing in."""
    return None if signed_in.membership is None else signed_in.membership.network


def state_of(signed_in: SignedIn) -> MembershipState | None:
    """Whether they are in that network, or wait for its admins; None where there is none."""
    return None if signed_in.membership is None else signed_in.membership.state
