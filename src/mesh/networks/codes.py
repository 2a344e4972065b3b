"""Codes that a machine shows and a person types: what pairing a device and signing a command line in have in common.

A code is two halves. The coordinator gave the first, the *handle*: which request is meant. The machine computed the
second, the *check*, from what it saw of the coordinator, what it sent itself, and two random numbers; the coordinator
computes it from what it saw itself. Somebody who sits between them has other keys or another certificate, so that the
halves belong to different conversations and the code is refused: whoever types it compares without having to look.

Some twenty bits are enough for that since nobody can try: the machine commits to its random number before it learns the
coordinator's, and shows it only afterwards. So nobody, between them or at either end, can choose what it will be.

Touches: nothing.
"""

import hashlib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, TypeVar

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey

Outcome = Literal["confirmed", "refused", "closed", "withdrawn"]

LIFE_S = 600.0
"""How long a code works: to walk to another machine or a browser, sign in there and type it, and not much more."""
WRONG_MAX = 5
"""Wrong codes of one person within ``LIFE_S``, and for one request: typing errors, no guessing (of 2^40)."""
OPEN_MAX = 256
"""Requests of one kind that wait at once, of all addresses: strangers fill no disk."""
OPEN_OF_ADDRESS_MAX = 8
"""Requests that wait at once from one address: a household's rollout, so that one stranger keeps nobody else out."""
HANDLE_LENGTH = 4
NONCE_BYTES = 32

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans("OIL", "011", "- \t")
_NETWORK_BITS = 64
"""One home or office has one IPv6 /64, and its machines change addresses within it."""


class Refusals(NamedTuple):
    """How one kind of request says why it does not go on: an error type each. ``ended``: by what became of it."""

    unknown: type[MeshError]
    bad_code: type[MeshError]
    wrong_code: type[MeshError]
    too_many_wrong: type[MeshError]
    too_many_wait: type[MeshError]
    expired: type[MeshError]
    ended: Mapping[Outcome, type[MeshError]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that asks, of either kind. ``nonce`` None: it has not shown its number yet, and has no code."""

    REFUSALS: ClassVar[Refusals]
    id: str
    handle: str
    address: str | None
    """Where it asks from; None behind a proxy, where that cannot be told."""
    secret_hash: str
    """Of the secret that the machine made: a yes makes it count."""
    commitment: str
    coordinator_nonce: str
    created_ms: int
    expires_ms: int
    nonce: str | None = None
    wrong: int = 0
    outcome: Outcome | None = None

    @property
    def committed(self) -> str:
        """What its machine mixed into its commitment, beside the number."""
        raise NotImplementedError

    def expected(self, coordinator: DeviceKey, binding: str) -> str:
        """The second half of its code, as the coordinator saw it. Only once its number was shown."""
        raise NotImplementedError


A = TypeVar("A", bound=Asked)


def commitment(committed: str, nonce: str) -> str:
    """What a machine shows of its random number before it has heard the coordinator's."""
    return hashlib.blake2b(f"{committed} {nonce}".encode(), digest_size=32, person=b"mesh-pair-commit").hexdigest()


def half(said: Sequence[object], person: bytes, length: int) -> str:
    """So many symbols of what both sides must have seen alike. ``person``: which kind of code (16 bytes at most)."""
    return symbols(hashlib.blake2b(msgspec.json.encode(said), digest_size=8, person=person).digest(), length)


def symbols(randomness: bytes, length: int) -> str:
    """So many letters and digits, five bits of the randomness each; none that is easily taken for another."""
    number = int.from_bytes(randomness)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(0, 5 * length, 5))


def new_handle(random: Callable[[], bytes], taken: Callable[[str], bool]) -> str:
    """A first half that no request which waits has. ``random`` gives three bytes; of 2^20, 256 at most are taken."""
    while taken(handle := symbols(random(), HANDLE_LENGTH)):
        pass
    return handle


def halves(text: str, check_length: int, refusals: Refusals) -> tuple[str, str]:
    """Handle and check of a code, however it was typed; refused where it is none of this kind, by its length."""
    letters = text.strip().upper().translate(_READ_AS)
    if len(letters) != HANDLE_LENGTH + check_length or not set(letters) <= set(_ALPHABET):
        raise refusals.bad_code
    return letters[:HANDLE_LENGTH], letters[HANDLE_LENGTH:]


def ended(asked: Asked, now_ms: int) -> MeshError | None:
    """Why a request can no longer be confirmed; None while it can. The end is at the very millisecond it names."""
    if asked.outcome is None:
        return asked.REFUSALS.expired() if now_ms >= asked.expires_ms else None
    return asked.REFUSALS.ended[asked.outcome]()


def wrongly_typed(asked: A) -> A:
    """Its first half came with another second half; after five times it is closed."""
    wrong = asked.wrong + 1
    return msgspec.structs.replace(asked, wrong=wrong, outcome="closed" if wrong >= WRONG_MAX else asked.outcome)


def may_wait(waiting: Sequence[str | None], address: str | None, refusals: Refusals) -> None:
    """Refuse a further request where too many wait already: ``waiting`` holds their addresses.

    Who has a whole IPv6 network of a household counts as one address; unknown ones count for all only.
    """
    ip = _ip(address)
    same = 0 if ip is None else sum(1 for one in map(_ip, waiting) if one and _network(one) == _network(ip))
    if len(waiting) >= OPEN_MAX or same >= OPEN_OF_ADDRESS_MAX:
        raise refusals.too_many_wait


def may_try(wrong_ms: tuple[int, ...], now_ms: int, refusals: Refusals) -> tuple[int, ...]:
    """When a person typed wrong codes, as far as it still counts; refused where that is too often."""
    recent = tuple(at for at in wrong_ms if now_ms - at < LIFE_S * 1000)
    if len(recent) >= WRONG_MAX:
        raise refusals.too_many_wrong
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
