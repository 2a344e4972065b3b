"""Pairing: a machine without a link asks to join and shows a code; a member types that code and decides.

The code is two halves. The coordinator gave the first, the *handle*: which machine is meant. The machine computed the
second, the *check*, from both public keys, the certificate that it saw and two random numbers; the coordinator computes
it from what it saw itself. Somebody who sits between them has other keys or another certificate, so that the halves
belong to different conversations and the code is refused: whoever types it compares without having to look.

Twenty bits are enough for that since nobody can try: the machine commits to its random number before it learns the
coordinator's, and shows it only afterwards. So nobody, between them or at either end, can choose what it will be.

The code lets nobody in by itself. A member's yes makes an ordinary join token, for the secret whose hash the machine
sent.

Touches: nothing.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Literal

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey, TokenId

Outcome = Literal["confirmed", "refused", "closed", "withdrawn"]

LIFE_S = 600.0
"""How long a code works: to walk to another machine and type it, and not much more."""
JOIN_S = 120.0
"""How long the machine has to use a yes: it asks every two seconds, and may have lost its network just then."""
WRONG_MAX = 5
"""Wrong codes of one member within ``LIFE_S``, and for one machine: typing errors, no guessing (of 2^40)."""
OPEN_MAX = 256
"""Machines that wait at once, of all addresses: strangers fill no disk."""
OPEN_OF_ADDRESS_MAX = 8
"""Machines that wait at once from one address: a household's rollout, so that one stranger keeps nobody else out."""
HANDLE_LENGTH = CHECK_LENGTH = 4
NONCE_BYTES = 32
MACHINE_LENGTH_MAX = 80

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans("OIL", "011", "- \t")
_NETWORK_BITS = 64
"""One home or office has one IPv6 /64, and its machines change addresses within it."""


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


class Pairing(msgspec.Struct, frozen=True):
    """A machine that asks to come in. ``nonce`` None: it has not shown its random number yet, and has no code."""

    id: str
    handle: str
    key: DeviceKey
    name: str
    machine: str
    """What it says it is, in a few words: shown, never believed."""
    address: str | None
    """Where it asks from; None behind a proxy, where that cannot be told."""
    secret_hash: str
    commitment: str
    coordinator_nonce: str
    created_ms: int
    expires_ms: int
    nonce: str | None = None
    wrong: int = 0
    outcome: Outcome | None = None
    token: TokenId | None = None


class Sides(msgspec.Struct, frozen=True, array_like=True):
    """What both sides must have seen alike: the check is computed from it.

    ``binding``: the SHA-256 of the coordinator's certificate where it is self-made, else the URL's origin.
    """

    key: DeviceKey
    coordinator: DeviceKey
    binding: str
    name: str
    secret_sha256: str


def commitment(key: DeviceKey, nonce: str) -> str:
    """What a machine shows of its random number before it has heard the coordinator's."""
    return hashlib.blake2b(f"{key} {nonce}".encode(), digest_size=32, person=b"mesh-pair-commit").hexdigest()


def check(sides: Sides, *, handle: str, coordinator_nonce: str, nonce: str) -> str:
    """The second half of the code."""
    said = msgspec.json.encode([sides, handle, coordinator_nonce, nonce])
    return symbols(hashlib.blake2b(said, digest_size=8, person=b"mesh-pair-check").digest(), CHECK_LENGTH)


def symbols(randomness: bytes, length: int) -> str:
    """So many letters and digits, five bits of the randomness each; none that is easily taken for another."""
    number = int.from_bytes(randomness)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(0, 5 * length, 5))


def shown_code(handle: str, check: str) -> str:
    """The code as people read and type it."""
    return f"{handle}-{check}"


def parse_code(text: str) -> tuple[str, str]:
    """Handle and check of a code, however it was typed. Raises BadCode."""
    letters = letters_of(text, HANDLE_LENGTH + CHECK_LENGTH)
    if letters is None:
        raise BadCode
    return letters[:HANDLE_LENGTH], letters[HANDLE_LENGTH:]


def letters_of(text: str, length: int) -> str | None:
    """The letters and digits of a code, however it was typed; None where they are not so many, or are others."""
    letters = text.strip().upper().translate(_READ_AS)
    return letters if len(letters) == length and set(letters) <= set(_ALPHABET) else None


def fingerprint(key: DeviceKey) -> str:
    """A key in a form that two people can read to each other: 80 bits, in five groups."""
    digest = hashlib.blake2b(bytes.fromhex(key), digest_size=10, person=b"mesh-fingerprint").hexdigest()
    return "-".join(digest[start : start + 4] for start in range(0, len(digest), 4))


def ended(pairing: Pairing, now_ms: int) -> MeshError | None:
    """Why a pairing can no longer be confirmed; None while it can. The end is at the very millisecond it names."""
    if pairing.outcome is None:
        return PairingExpired() if now_ms >= pairing.expires_ms else None
    ends: dict[Outcome, type[MeshError]] = {
        "confirmed": PairingUsed,
        "refused": PairingRefused,
        "closed": PairingClosed,
        "withdrawn": PairingWithdrawn,
    }
    return ends[pairing.outcome]()


def wrongly_typed(pairing: Pairing) -> Pairing:
    """Its first half came with another second half; after five times it is closed."""
    wrong = pairing.wrong + 1
    return msgspec.structs.replace(pairing, wrong=wrong, outcome="closed" if wrong >= WRONG_MAX else pairing.outcome)


def may_wait(waiting: Sequence[str | None], address: str | None) -> None:
    """Refuse a further machine where too many wait already: ``waiting`` holds their addresses. Raises TooManyWait.

    Who has a whole IPv6 network of a household counts as one address; unknown ones count for all only.
    """
    ip = _ip(address)
    same = 0 if ip is None else sum(1 for one in map(_ip, waiting) if one and _network(one) == _network(ip))
    if len(waiting) >= OPEN_MAX or same >= OPEN_OF_ADDRESS_MAX:
        raise TooManyWait


def may_try(wrong_ms: tuple[int, ...], now_ms: int) -> tuple[int, ...]:
    """When a member typed wrong codes, as far as it still counts. Raises TooManyWrong."""
    recent = tuple(at for at in wrong_ms if now_ms - at < LIFE_S * 1000)
    if len(recent) >= WRONG_MAX:
        raise TooManyWrong
    return recent


def is_elsewhere(machine: str | None, person: str | None) -> bool:
    """Whether a machine asks from another public address than its confirmer, or that cannot be told.

    Two private addresses are both in the coordinator's own network.
    """
    one, other = _ip(machine), _ip(person)
    if one is None or other is None:
        return True
    if not (one.is_global or other.is_global):
        return False
    return _network(one) != _network(other)


def household(address: str | None) -> str:
    """One word for all addresses that one household has: an IPv6 network, or an address; nothing for an unknown one."""
    ip = _ip(address)
    return "" if ip is None else str(_network(ip))


def _ip(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if text is None:
        return None
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _network(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> object:
    return ipaddress.ip_network((ip, _NETWORK_BITS), strict=False) if ip.version == 6 else ip
