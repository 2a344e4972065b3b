"""One type per kind of id, and how ids are made and parsed.

An id is a ULID in Crockford's base 32: 26 characters, 48 bits of milliseconds then 80 random bits, so that ids sort by
age. A device key is not an id: it is 32 raw Ed25519 bytes written as 64 lower-case hex digits.

Touches: nothing (time and randomness are arguments).
"""

import re
from typing import NewType

NetworkId = NewType("NetworkId", str)
MemberId = NewType("MemberId", str)
DeviceId = NewType("DeviceId", str)
JobId = NewType("JobId", str)
PermitId = NewType("PermitId", str)
RequestId = NewType("RequestId", str)
TokenId = NewType("TokenId", str)
PostingId = NewType("PostingId", str)
BatchId = NewType("BatchId", str)
DeviceKey = NewType("DeviceKey", str)
"""A device's Ed25519 public key: 64 lower-case hex digits. Also its iroh endpoint id."""

ULID_LENGTH = 26
ULID_RANDOM_BYTES = 10
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def ulid(now_ms: int, randomness: bytes) -> str:
    """Make a ULID from milliseconds since 1970 and exactly 10 random bytes."""
    assert len(randomness) == ULID_RANDOM_BYTES
    number = ((now_ms & ((1 << 48) - 1)) << 80) | int.from_bytes(randomness)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5))


def ulid_draw(text: str) -> int:
    """A number from 0 to 999,999 out of a ULID's random part: a draw for who has just made one anyway."""
    number = 0
    for letter in text[-12:]:  # 60 of its 80 bits: even to one part in a trillion
        number = number * 32 + _ALPHABET.index(letter)
    return number % 1_000_000


def made_ms(made: str) -> int:
    """When a ULID was made, in milliseconds since 1970."""
    number = 0
    for character in made[:10]:
        number = number * 32 + _ALPHABET.index(character)
    return number


def is_ulid(text: str) -> bool:
    """Whether ``text`` is a ULID in its one canonical (upper-case) form."""
    return _ULID.fullmatch(text) is not None


def is_device_key(text: str) -> bool:
    """Whether ``text`` has the form of a device key (its point is checked in ``protocol.signed``)."""
    return _KEY.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether ``text`` may name a device or a network: 1 to 63 of ``a-z0-9-``, no hyphen at either end."""
    return _NAME.fullmatch(text) is not None
