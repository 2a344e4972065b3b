"""A command line asks to be signed in by a code, a person says yes or no; a yes is a session for its own secret.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.coordinator.acts import codes
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import Opened, open_session
from mesh.coordinator.store import people
from mesh.coordinator.store.codes import LOGINS
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.networks import logins as rules
from mesh.networks.codes import LIFE_S, is_elsewhere
from mesh.networks.logins import Elsewhere, Login, LoginUsed, OtherLogin


class BadRequest(MeshError):
    """What this machine sent to be signed in does not fit together. Update Mesh on it and start anew."""

    code = "login.bad_request"
    kind = "invalid"


class Asking(NamedTuple):
    """A command line asks for a code. ``secret_hash`` is of the token that it made; ``random`` gives three bytes."""

    label: str
    admin: bool
    address: str | None
    secret_hash: str
    commitment: str
    coordinator_nonce: str
    random: Callable[[], bytes]


class Yes(NamedTuple):
    """A person's yes: to which request, made by which token (as shown), and what else they were told."""

    login: str
    secret_hash: str
    elsewhere: bool
    member: MemberId
    signed_in_ms: int
    address: str | None


def start(store: Store, asking: Asking, moment: Moment) -> Login:
    """Take down a request. Raises TooManyWait, BadRequest."""
    codes.make_room(store, LOGINS, asking.address, moment)
    if LOGINS.secret_known(store, asking.secret_hash) or people.session(store, asking.secret_hash) is not None:
        raise BadRequest
    login = Login(
        id=moment.new_id(),
        handle=codes.new_handle(store, LOGINS, asking.random, moment),
        label=asking.label,
        admin=asking.admin,
        address=asking.address,
        secret_hash=asking.secret_hash,
        commitment=asking.commitment,
        coordinator_nonce=asking.coordinator_nonce,
        created_ms=moment.now_ms,
        expires_ms=moment.now_ms + int(LIFE_S * 1000),
    )
    LOGINS.add(store, login)
    return login


class Answered(NamedTuple):
    """What became of a request, and how its person is called after a yes."""

    login: Login
    name: str = ""


def look(store: Store, login: str, nonce: str) -> Answered:
    """What became of a request, for who made it. Raises LoginUnknown."""
    found = codes.known(store, LOGINS, login, nonce)
    return Answered(found, "" if found.member is None else people.member_name(store, found.member) or "")


def withdraw(store: Store, login: str, nonce: str) -> None:
    """A command line stops waiting: its code is worth nothing from now on. Raises LoginUnknown."""
    LOGINS.forget(store, codes.known(store, LOGINS, login, nonce).id)


def confirm(store: Store, yes: Yes, moment: Moment) -> Login:
    """A person says yes: the command line has a session, once.

    Raises LoginUnknown, why the request has ended, OtherLogin, Elsewhere, SignInAgain.
    """
    found = codes.still_open(store, LOGINS, yes.login, moment)
    if found.secret_hash != yes.secret_hash:
        raise OtherLogin
    if is_elsewhere(found.address, yes.address) and not yes.elsewhere:
        raise Elsewhere
    if found.admin:
        rules.may_grant_admin(yes.signed_in_ms, moment.now_ms)
    name = people.member_name(store, yes.member)
    if name is None or not LOGINS.end(store, found.id, "confirmed", by=yes.member):
        raise LoginUsed
    admin_until_ms = moment.now_ms + int(rules.FRESH_S * 1000) if found.admin else moment.now_ms
    open_session(store, yes.member, name, Opened(found.secret_hash, found.label, admin_until_ms), moment)
    return msgspec.structs.replace(found, outcome="confirmed", member=yes.member)
