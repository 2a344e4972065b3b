"""Sign-ins end where their person says so; and a device signs in for its owner, to read what the owner may see.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts import deletion
from mesh.coordinator.acts.devices import DeviceUnknown
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import devices, people, sign_in_links
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.people import Session
from mesh.coordinator.store.sign_in_links import SignInLink
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId

LINK_LIFE_S = 600.0
"""A link that signs its maker in elsewhere is good for ten minutes: to open it there, and not to lie in a chat."""
LINKS_MAX = 10
"""Such links of one person that still work at once."""
KEPT_MS = 86_400_000
"""An ended link is kept for a day, so that who comes late is told why it no longer works."""
SESSION_LIFE_S = 90 * 86400.0
"""A person signs in anew every quarter on each machine."""
DEVICE_SESSION_LIFE_S = 3600.0
"""An hour: the agent asks again by itself, and a removed device cannot."""


class SessionUnknown(MeshError):
    """You are not signed in there. `mesh auth sessions` lists where you are."""

    code = "auth.session_unknown"
    kind = "not_found"


class TooManyLinks(MeshError):
    """Ten links that sign you in are open. Use one of them, or wait ten minutes."""

    code = "auth.too_many_links"
    kind = "too_many"


class Opened(NamedTuple):
    """A new session: its token as SHA-256, what its place calls itself; and of a sign-in by a code, until when it may
    what only admins may.
    """

    session_hash: str
    label: str | None
    admin_until_ms: int | None = None


def open_session(store: Store, member: MemberId, name: str, opened: Opened, moment: Moment) -> None:
    """Sign a person in in one place: always by a new token, never by one that was there before.

    Who signs in keeps an account that was to be deleted.
    """
    deletion.keep(store, member, moment)
    expires_ms = moment.now_ms + int(SESSION_LIFE_S * 1000)
    session = Session(member, None, "full", expires_ms, name, moment.now_ms, opened.admin_until_ms)
    people.add_session(store, session, session_id=moment.new_id(), token_hash=opened.session_hash, label=opened.label)


def offer_link(store: Store, member: MemberId, secret_hash: str, moment: Moment) -> SignInLink:
    """A link by which a person signs in elsewhere, once. Raises TooManyLinks."""
    sign_in_links.prune(store, before_ms=moment.now_ms - KEPT_MS)
    if sign_in_links.open_of(store, member, now_ms=moment.now_ms) >= LINKS_MAX:
        raise TooManyLinks
    link = SignInLink(moment.new_id(), member, moment.now_ms + int(LINK_LIFE_S * 1000), None)
    sign_in_links.add(store, link, secret_hash=secret_hash, now_ms=moment.now_ms)
    return link


def end(store: Store, member: MemberId, session_id: str, moment: Moment) -> None:
    """Sign a person out in one place. Raises SessionUnknown."""
    if not people.end_session(store, member, session_id, now_ms=moment.now_ms):
        raise SessionUnknown


def sign_in_device(store: Store, device: DeviceId, session_hash: str, moment: Moment) -> Session:
    """Open a read-only session; the caller has checked the device's signature. Raises DeviceUnknown."""
    kept = devices.get(store, device)
    if kept is None or kept.standing != "active":
        raise DeviceUnknown
    name = people.member_name(store, kept.owner)
    if name is None:
        raise DeviceUnknown
    expires_ms = moment.now_ms + int(DEVICE_SESSION_LIFE_S * 1000)
    session = Session(kept.owner, device, "device", expires_ms, name, moment.now_ms)
    people.add_session(store, session, session_id=moment.new_id(), token_hash=session_hash)
    return session
