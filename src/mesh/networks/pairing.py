"""Pairing: a machine without a link asks to join and shows a code; a member types that code and decides.

How the code works stands in ``codes``. Here both sides compute it from the machine's key, the coordinator's, the
certificate that was seen, the machine's name and the hash of its secret. It lets nobody in by itself: a member's yes
makes an ordinary join token, for the secret whose hash the machine sent.

Touches: nothing.
"""

import hashlib
from typing import ClassVar

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey, TokenId
from mesh.networks import codes
from mesh.networks.codes import Refusals

JOIN_S = 120.0
"""How long the machine has to use a yes: it asks every two seconds, and may have lost its network just then."""
CHECK_LENGTH = 4
MACHINE_LENGTH_MAX = 80


class BadCode(MeshError):
    """A code has eight letters and digits, like KXPT-9R4M. Type it as the other machine shows it."""

    code = "pairing.bad_code"
    kind = "invalid"


class WrongCode(MeshError):
    """No machine that waits shows this code. Type it again as that machine shows it. If it still does not fit, do not
    go on: somebody may sit between that machine and the coordinator. Use a link instead: `mesh device invite`.
    """

    code = "pairing.wrong_code"
    kind = "not_found"


class TooManyWrong(MeshError):
    """Too many wrong codes. Wait ten minutes, or use a link instead: `mesh device invite`."""

    code = "pairing.too_many_wrong"
    kind = "too_many"


class TooManyWait(MeshError):
    """Too many machines wait to be let in. Try again in ten minutes, or join by a link: `mesh device invite`."""

    code = "pairing.too_many_wait"
    kind = "too_many"


class PairingUnknown(MeshError):
    """This machine's request is not known here. Start anew: `mesh device join URL`."""

    code = "pairing.unknown"
    kind = "not_found"


class PairingExpired(MeshError):
    """The code was good for ten minutes and nobody confirmed it. Start anew: `mesh device join URL`."""

    code = "pairing.expired"
    kind = "gone"


class PairingUsed(MeshError):
    """This code was used already; a code lets in one machine, once. Start anew there: `mesh device join URL`."""

    code = "pairing.used"
    kind = "gone"


class PairingRefused(MeshError):
    """The person who typed the code said no. If that was a mistake, start anew: `mesh device join URL`."""

    code = "pairing.refused"
    kind = "forbidden"


class PairingClosed(MeshError):
    """The code was typed wrong too often and no longer works. Start anew: `mesh device join URL`."""

    code = "pairing.closed"
    kind = "gone"


class PairingWithdrawn(MeshError):
    """The machine that showed this code has stopped waiting. Start anew there: `mesh device join URL`."""

    code = "pairing.withdrawn"
    kind = "gone"


class Elsewhere(MeshError):
    """That machine asks from another public address than you do. Confirm only what you started yourself just now: with
    `mesh device pair CODE --elsewhere`, or answer the second question.
    """

    code = "pairing.elsewhere"
    kind = "conflict"


class OtherMachine(MeshError):
    """The yes was for another machine or another name. Start anew: `mesh device join URL`."""

    code = "pairing.other_machine"
    kind = "forbidden"


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """What both sides must have seen alike: the check is computed from it.

    ``binding``: the SHA-256 of the coordinator's certificate where it is self-made, else the URL's origin.
    """

    key: DeviceKey
    coordinator: DeviceKey
    binding: str
    name: str
    secret_sha256: str


class Pairing(codes.Asked, frozen=True, kw_only=True):
    """A machine that asks to come in."""

    REFUSALS: ClassVar[Refusals] = Refusals(
        unknown=PairingUnknown,
        bad_code=BadCode,
        wrong_code=WrongCode,
        too_many_wrong=TooManyWrong,
        too_many_wait=TooManyWait,
        expired=PairingExpired,
        ended={
            "confirmed": PairingUsed,
            "refused": PairingRefused,
            "closed": PairingClosed,
            "withdrawn": PairingWithdrawn,
        },
    )
    key: DeviceKey
    name: str
    machine: str
    """What it says it is, in a few words: shown, never believed."""
    token: TokenId | None = None

    @property
    def committed(self) -> str:
        """Its key."""
        return self.key

    def expected(self, coordinator: DeviceKey, binding: str) -> str:
        """The second half of its code."""
        assert self.nonce is not None
        sides = Sides(self.key, coordinator, binding, self.name, self.secret_hash)
        return check(sides, handle=self.handle, coordinator_nonce=self.coordinator_nonce, nonce=self.nonce)


def check(sides: Sides, *, handle: str, coordinator_nonce: str, nonce: str) -> str:
    """The second half of the code."""
    return codes.half([sides, handle, coordinator_nonce, nonce], b"mesh-pair-check", CHECK_LENGTH)


def shown_code(handle: str, check: str) -> str:
    """The code as people read and type it."""
    return f"{handle}-{check}"


def parse_code(text: str) -> tuple[str, str]:
    """Handle and check of a code, however it was typed. Raises BadCode."""
    return codes.halves(text, CHECK_LENGTH, Pairing.REFUSALS)


def fingerprint(key: DeviceKey) -> str:
    """A key in a form that two people can read to each other: 80 bits, in five groups."""
    digest = hashlib.blake2b(bytes.fromhex(key), digest_size=10, person=b"mesh-fingerprint").hexdigest()
    return "-".join(digest[start : start + 4] for start in range(0, len(digest), 4))
