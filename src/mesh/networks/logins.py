"""Logins: a command line without a session shows a code; a person who is signed in elsewhere types it and decides.

It is the device flow of OAuth (RFC 8628) with one thing more: both sides compute the code from what each saw of the
other (``codes``), so that it fits only where nobody sits in between; and the session's token is made by the command
line, which sends its hash alone. The code of a login has nine letters and digits, that of a device eight: neither is
ever taken for the other.

A session that came by a code may have been confirmed for somebody else's machine: it does nothing that only an admin
may, and opens no further way in, unless the yes said so, and then for minutes.

Touches: nothing.
"""

from typing import ClassVar, Literal

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey, MemberId
from mesh.networks import codes
from mesh.networks.codes import Refusals

State = Literal["waiting", "slow_down", "confirmed"]

POLL_S = 5.0
"""How often a command line may ask what became of it (RFC 8628 names the same)."""
SLOWER_S = 5.0
"""What is added each time it asks too soon."""
FRESH_S = 600.0
"""Who signed in within ten minutes may grant an admin's rights to a login; and so long these last."""
CHECK_LENGTH = 5


class BadCode(MeshError):
    """A sign-in code has nine letters and digits, like KXP-T9R-4MQ. Type it as the other machine shows it. Codes with
    eight are of machines that want to join: `mesh device pair CODE`, or Devices on the dashboard.
    """

    code = "login.bad_code"
    kind = "invalid"


class WrongCode(MeshError):
    """No command line that waits shows this code. Type it again as it is shown. If it still does not fit, do not go on:
    somebody may sit between that machine and the coordinator.
    """

    code = "login.wrong_code"
    kind = "not_found"


class TooManyWrong(MeshError):
    """Too many wrong codes. Wait ten minutes, or use a link instead: `mesh auth link`."""

    code = "login.too_many_wrong"
    kind = "too_many"


class TooManyWait(MeshError):
    """Too many command lines wait to be signed in. Try again in ten minutes, or use a link: `mesh auth link`."""

    code = "login.too_many_wait"
    kind = "too_many"


class LoginUnknown(MeshError):
    """This request to sign in is not known here. Start anew: `mesh auth login`."""

    code = "login.unknown"
    kind = "not_found"


class LoginExpired(MeshError):
    """The code was good for ten minutes and nobody confirmed it. Start anew: `mesh auth login`."""

    code = "login.expired"
    kind = "gone"


class LoginUsed(MeshError):
    """This code was used already; a code signs in one command line, once. Start anew there: `mesh auth login`."""

    code = "login.used"
    kind = "gone"


class LoginRefused(MeshError):
    """The person who typed the code said no. If that was a mistake, start anew: `mesh auth login`."""

    code = "login.refused"
    kind = "forbidden"


class LoginClosed(MeshError):
    """The code was typed wrong too often and no longer works. Start anew: `mesh auth login`."""

    code = "login.closed"
    kind = "gone"


class Elsewhere(MeshError):
    """That machine asks from another public address than you do. Confirm only what you started yourself just now: with
    `mesh auth confirm CODE --elsewhere`, or answer the second question.
    """

    code = "login.elsewhere"
    kind = "conflict"


class OtherLogin(MeshError):
    """The yes was for another machine than the one that was shown. Type the code again."""

    code = "login.other"
    kind = "forbidden"


class NotFresh(MeshError):
    """This sign-in came by a code, so that it does nothing that only an admin may, and opens no further way in. Do it
    on the dashboard, or sign in again with `mesh auth login --admin`, which is good for ten minutes.
    """

    code = "auth.not_fresh"
    kind = "forbidden"


class SignInAgain(MeshError):
    """Granting an admin's rights needs a sign-in of the last ten minutes. Sign out here, sign in again, and type the
    code once more.
    """

    code = "auth.sign_in_again"
    kind = "forbidden"


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """What both sides must have seen alike. ``binding``: the pinned certificate's SHA-256, else the URL's origin."""

    coordinator: DeviceKey
    binding: str
    label: str
    admin: bool
    secret_sha256: str


class Login(codes.Asked, frozen=True, kw_only=True):
    """A command line that asks to be signed in. One that is withdrawn is forgotten, so none has ended like that."""

    REFUSALS: ClassVar[Refusals] = Refusals(
        unknown=LoginUnknown,
        bad_code=BadCode,
        wrong_code=WrongCode,
        too_many_wrong=TooManyWrong,
        too_many_wait=TooManyWait,
        expired=LoginExpired,
        ended={"confirmed": LoginUsed, "refused": LoginRefused, "closed": LoginClosed},
    )
    label: str
    """What its machine calls itself: shown, never believed."""
    admin: bool
    """Whether it asks for what only admins may, for minutes."""
    member: MemberId | None = None
    """Who said yes."""

    @property
    def committed(self) -> str:
        """The hash of its secret."""
        return self.secret_hash

    def expected(self, coordinator: DeviceKey, binding: str) -> str:
        """The second half of its code."""
        assert self.nonce is not None
        sides = Sides(coordinator, binding, self.label, self.admin, self.secret_hash)
        return check(sides, handle=self.handle, coordinator_nonce=self.coordinator_nonce, nonce=self.nonce)


def check(sides: Sides, *, handle: str, coordinator_nonce: str, nonce: str) -> str:
    """The second half of the code."""
    return codes.half([sides, handle, coordinator_nonce, nonce], b"mesh-login-check", CHECK_LENGTH)


def shown_code(handle: str, check: str) -> str:
    """The code as people read and type it."""
    letters = handle + check
    return "-".join(letters[start : start + 3] for start in range(0, len(letters), 3))


def parse_code(text: str) -> tuple[str, str]:
    """Handle and check of a code, however it was typed. Raises BadCode."""
    return codes.halves(text, CHECK_LENGTH, Login.REFUSALS)


class Polls(msgspec.Struct, frozen=True):
    """How one command line asks: when last, and how long it must wait between two."""

    last_ms: int | None = None
    every_s: float = POLL_S


def polled(polls: Polls, now_ms: int) -> tuple[Polls, bool]:
    """One more poll; returns whether it came in time. Each that comes too soon makes the wait longer."""
    soon = polls.last_ms is not None and now_ms - polls.last_ms < polls.every_s * 1000
    return Polls(now_ms, polls.every_s + SLOWER_S if soon else polls.every_s), not soon


def may_grant_admin(signed_in_ms: int, now_ms: int) -> None:
    """Whether a session may give a login an admin's rights: it was opened minutes ago. Raises SignInAgain."""
    if now_ms - signed_in_ms > FRESH_S * 1000:
        raise SignInAgain


def is_limited(admin_until_ms: int | None, now_ms: int) -> bool:
    """Whether a session may less than its person: it came by a code, and is past the time that the yes gave it."""
    return admin_until_ms is not None and now_ms >= admin_until_ms
