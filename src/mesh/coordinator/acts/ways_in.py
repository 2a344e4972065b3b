"""A person signs in by an identity or a passkey, or takes a way in away.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from mesh.coordinator.acts import claim, linking
from mesh.coordinator.acts.claim import Accepting, SignedIn, SignIn
from mesh.coordinator.acts.coming_in import by_domain, listings
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import Opened, open_session
from mesh.coordinator.store import people, sign_in_links, ways_in
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Membership
from mesh.coordinator.store.ways_in import Passkey
from mesh.ids import MemberId, NetworkId
from mesh.networks import ways_in as rules
from mesh.networks.applicants import AlreadyWaits, QueueFull
from mesh.networks.membership import AlreadyIn
from mesh.networks.names import PERSON_NAME_MAX, BadName, person_name
from mesh.networks.ways_in import MAIL_ISSUER, Identity, NotLinked, TakenByOther, WayUnknown


class Entering(NamedTuple):
    """Somebody comes by an identity. ``secret_hash``: of an invite's or claim's link, where they opened one; ``name``:
    as they want to be called; ``admits``: which domains the operator lets into which network.
    """

    identity: Identity
    session_hash: str
    label: str | None
    secret_hash: str | None
    name: str
    admits: Mapping[str, NetworkId]
    browser_hash: str | None = None


def enter(store: Store, entering: Entering, moment: Moment) -> SignedIn:
    """Sign in whose identity it is, and into the network of an invite, or into those that list the domain of their
    address; by either, also somebody new.

    Raises NotLinked, BadName and, with a link, what ``claim.sign_in`` raises.
    """
    identity = entering.identity
    known = ways_in.identity(store, identity.issuer, identity.subject)
    name = None if known is None else people.member_name(store, known.member)
    if known is not None and name is not None:
        ways_in.use_identity(store, known, label=identity.label, now_ms=moment.now_ms)
        open_session(store, known.member, name, Opened(entering.session_hash, entering.label), moment)
        signed_in = SignedIn(known.member, name, _accepted(store, known.member, entering, moment))
        if entering.secret_hash is None and identity.address is not None:
            with suppress(QueueFull):
                return signed_in.into(by_domain(store, known.member, identity.address, entering.admits, moment))
        return signed_in
    called = entering.name or _name(identity)
    if entering.secret_hash is not None:
        asked = SignIn(
            entering.secret_hash, entering.session_hash, called, entering.label, entering.browser_hash, identity.address
        )
        signed_in = claim.sign_in(store, asked, moment)
    else:
        if identity.address is None or not listings(store, identity.address, entering.admits):
            raise NotLinked
        signed_in = claim.new_person(store, Opened(entering.session_hash, entering.label), person_name(called), moment)
        signed_in = signed_in.into(by_domain(store, signed_in.member, identity.address, entering.admits, moment))
    linking.link(store, signed_in.member, identity, moment)
    return signed_in


def _accepted(store: Store, member: MemberId, entering: Entering, moment: Moment) -> Membership | None:
    """What an invite brings that a known person opened before they signed in.

    They may be in that network already, or wait there.
    """
    if entering.secret_hash is None:
        return None
    how = Accepting(entering.secret_hash, entering.browser_hash, entering.identity.address)
    try:
        return claim.accept(store, member, how, moment)
    except (AlreadyIn, AlreadyWaits):
        return None


def add_passkey(store: Store, passkey: Passkey) -> None:
    """A person may sign in with this passkey from now on. Raises TakenByOther, TooManyWays."""
    if ways_in.passkey(store, passkey.credential) is not None:
        raise TakenByOther
    linking.room(store, passkey.member)
    ways_in.add_passkey(store, passkey)


def enter_by_passkey(store: Store, passkey: Passkey, uses: int, opened: Opened, moment: Moment) -> SignedIn:
    """Sign in whose passkey it is; the caller has verified it. Raises NotLinked."""
    kept = ways_in.passkey(store, passkey.credential)
    name = None if kept is None else people.member_name(store, kept.member)
    if kept is None or name is None:
        raise NotLinked
    ways_in.use_passkey(store, kept, uses=uses, now_ms=moment.now_ms)
    open_session(store, kept.member, name, opened, moment)
    return SignedIn(kept.member, name, None)


def remove(store: Store, member: MemberId, way: str, working: frozenset[str]) -> None:
    """Take a way in away. ``working``: issuers that are set up here, ``passkey`` among them.

    Raises WayUnknown, LastWay.
    """
    identities, passkeys = ways_in.identities_of(store, member), ways_in.passkeys_of(store, member)
    if way not in {one.id for one in identities} | {one.id for one in passkeys}:
        raise WayUnknown
    good = [one.id for one in identities if one.issuer in working]
    if "passkey" in working:
        good += [one.id for one in passkeys]
    rules.may_remove(good, way)
    for one in identities:
        if one.id == way and one.issuer == MAIL_ISSUER:
            sign_in_links.forget(store, member, one.label)
    if not ways_in.drop_identity(store, member, way):
        ways_in.drop_passkey(store, member, way)


def _name(identity: Identity) -> str:
    """What somebody is called who did not say it: as their provider does."""
    for text in (identity.name, identity.label):
        try:
            return person_name(text[:PERSON_NAME_MAX])
        except BadName:
            continue
    return "A person"
