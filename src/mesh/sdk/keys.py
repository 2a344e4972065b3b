"""What a command line and its agent say to each other about the keys of the local gateway.

A key opens the gateway and nothing else. It is shown once, when it is made; the agent keeps its hash.

Touches: nothing.
"""

import msgspec

from mesh.sdk.lines import Answer, Request


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one key may use; None: no limit. ``credits_per_day`` in micro-credits, by days in UTC."""

    requests_per_minute: int | None = None
    concurrent: int | None = None
    credits_per_day: int | None = None


class CreateKey(Request, frozen=True):
    """Make a key for a program. Answered by ``KeyMade``."""

    name: str
    limits: Limits = Limits()


class GetKeys(Request, frozen=True):
    """All keys. Answered by ``Keys``."""


class RevokeKey(Request, frozen=True):
    """A key opens nothing any more, from the next request on. Answered by ``Ok``."""

    name: str


class KeyMade(Answer, frozen=True):
    """A new key: the only time that it is shown."""

    name: str
    key: str


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as it is listed. ``prefix``: how it begins; ``spent_today`` in micro-credits."""

    name: str
    prefix: str
    limits: Limits = Limits()
    created_ms: int = 0
    used_ms: int = 0
    """When it last opened the gateway, to the minute; 0: never."""
    running: int = 0
    spent_today: int = 0


class Keys(Answer, frozen=True):
    """All keys, the one in gateway.json first."""

    keys: tuple[Key, ...]


AnyKeyRequest = CreateKey | GetKeys | RevokeKey
AnyKeyAnswer = KeyMade | Keys
