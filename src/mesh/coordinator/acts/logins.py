"""A command line asks to be signed in by a code, a person says yes or no; a yes is a session for its own secret.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.sessions import Opened, open_session
from mesh.coordinator.store import logins, people
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId
from mesh.networks import logins as rules
from mesh.networks import pairing
from mesh.networks.logins import Elsewhere, Login, LoginUnknown, LoginUsed, OtherLogin, Sides

KEPT_MS = 86_400_000
"""A request is kept for a day after its end, so that who comes late is told what became of it."""


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
    logins.prune(store, before_ms=moment.now_ms - KEPT_MS)
    rules.may_wait(logins.waiting(store, now_ms=moment.now_ms), asking.address)
    if logins.secret_known(store, asking.secret_hash) or people.session(store, asking.secret_hash) is not None:
        raise BadRequest
    handle = pairing.symbols(asking.random(), pairing.HANDLE_LENGTH)
    while logins.handle_taken(store, handle, now_ms=moment.now_ms):  # of 2^20, 256 at most are
        handle = pairing.symbols(asking.random(), pairing.HANDLE_LENGTH)
    login = Login(
        id=moment.new_id(),
        handle=handle,
        label=asking.label,
        admin=asking.admin,
        address=asking.address,
        secret_hash=asking.secret_hash,
        commitment=asking.commitment,
        coordinator_nonce=asking.coordinator_nonce,
        created_ms=moment.now_ms,
        expires_ms=moment.now_ms + int(rules.LIFE_S * 1000),
    )
    logins.add(store, login)
    return login


def known(store: Store, login: str, nonce: str) -> Login:
    """A command line's own request: it alone knows the number that it had committed to. Raises LoginUnknown."""
    found = logins.get(store, login)
    if found is None or rules.commitment(found.secret_hash, nonce) != found.commitment:
        raise LoginUnknown
    return found


class Answered(NamedTuple):
    """What became of a request, and how its person is called after a yes."""

    login: Login
    name: str = ""


def look(store: Store, login: str, nonce: str) -> Answered:
    """What became of a request, for who made it. Raises LoginUnknown."""
    found = known(store, login, nonce)
    return Answered(found, "" if found.member is None else people.member_name(store, found.member) or "")


def reveal(store: Store, login: str, nonce: str) -> None:
    """A command line shows its number: from now on its code counts. Raises LoginUnknown."""
    logins.reveal(store, known(store, login, nonce).id, nonce)


def withdraw(store: Store, login: str, nonce: str) -> None:
    """A command line stops waiting: its code is worth nothing from now on. Raises LoginUnknown."""
    logins.withdraw(store, known(store, login, nonce).id)


def find(store: Store, code: tuple[str, str], coordinator: tuple[DeviceKey, str], moment: Moment) -> Login | None:
    """The request that shows a code, whatever became of it; None where none does, which is counted for it.

    ``coordinator``: our key, and what proofs of this installation are bound to.
    """
    handle, check = code
    found = logins.by_handle(store, handle)
    if found is None or found.nonce is None:
        return None
    sides = Sides(*coordinator, found.label, found.admin, found.secret_hash)
    ours = rules.check(sides, handle=handle, coordinator_nonce=found.coordinator_nonce, nonce=found.nonce)
    if ours == check:  # not secret: whoever may ask has five tries
        return found
    if rules.ended(found, moment.now_ms) is None:
        counted = rules.wrongly_typed(found)
        logins.count_wrong(store, found.id, counted.wrong)
        if counted.outcome is not None:
            logins.end(store, found.id, counted.outcome)
    return None


def confirm(store: Store, yes: Yes, moment: Moment) -> Login:
    """A person says yes: the command line has a session, once.

    Raises LoginUnknown, why the request has ended, OtherLogin, Elsewhere, SignInAgain.
    """
    found = _still_open(store, yes.login, moment)
    if found.secret_hash != yes.secret_hash:
        raise OtherLogin
    if pairing.is_elsewhere(found.address, yes.address) and not yes.elsewhere:
        raise Elsewhere
    if found.admin:
        rules.may_grant_admin(yes.signed_in_ms, moment.now_ms)
    name = people.member_name(store, yes.member)
    if name is None or not logins.end(store, found.id, "confirmed", by=yes.member):
        raise LoginUsed
    admin_until_ms = moment.now_ms + int(rules.FRESH_S * 1000) if found.admin else moment.now_ms
    open_session(store, yes.member, name, Opened(found.secret_hash, found.label, admin_until_ms), moment)
    return msgspec.structs.replace(found, outcome="confirmed", member=yes.member)


def refuse(store: Store, login: str, moment: Moment) -> None:
    """A person says no: the command line is told. Raises LoginUnknown and why the request has ended."""
    logins.end(store, _still_open(store, login, moment).id, "refused")


def _still_open(store: Store, login: str, moment: Moment) -> Login:
    found = logins.get(store, login)
    if found is None:
        raise LoginUnknown
    ended = rules.ended(found, moment.now_ms)
    if ended is not None:
        raise ended
    return found
