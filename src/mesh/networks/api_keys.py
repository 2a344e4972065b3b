"""API keys: what a program may do in one network for the member who made its key, never more than they may.

A key names its scopes when it is made, out of what its maker's role allows then. At every use it may do what is both in
its scopes and in its maker's role at that moment: a role that shrinks takes its keys along, one that grows does not.

Touches: nothing.
"""

from collections.abc import Sequence

import msgspec

from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.membership import PERMISSIONS, NotAllowed, Permission
from mesh.protocol.values import Role

LIFE_S_DEFAULT = 365 * 86400.0
LIFE_S_MAX = 5 * 365 * 86400.0
"""A key that nobody remembers ends by itself."""
KEYS_MAX = 100
"""Keys of one member in one network that still work: enough for any household of scripts, and a list that is read."""
NEVER: frozenset[Permission] = frozenset({"keys.own", "keys.revoke_any"})
"""What no key can do: make, list and revoke keys. A stolen one cannot leave another behind."""
READ: frozenset[Permission] = frozenset(
    {
        "network.read",
        "devices.read",
        "members.read",
        "jobs.read_own",
        "jobs.read_all",
        "ledger.read_own",
        "ledger.read_all",
    }
)
"""What the word ``read`` stands for, as far as the maker's role has it."""


class BadScope(MeshError):
    """There is no such scope. `mesh api-key scopes` lists them; `read` stands for all that only reads."""

    code = "api_key.bad_scope"
    kind = "invalid"


class BadTerms(MeshError):
    """A key works for a minute to five years, has a name of 1 to 63 characters and at least one scope."""

    code = "api_key.bad_terms"
    kind = "invalid"


class TooManyKeys(MeshError):
    """You have 100 keys in this network. Revoke those that nothing uses: `mesh api-key list`."""

    code = "api_key.too_many"
    kind = "too_many"


class KeyUnknown(MeshError):
    """There is no such key here. `mesh api-key list` shows yours."""

    code = "api_key.unknown"
    kind = "not_found"


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept: without its secret. ``used_ms``: when it was last used, to the hour; None: never."""

    id: str
    network: NetworkId
    member: MemberId
    name: str
    scopes: tuple[Permission, ...]
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    revoked_ms: int | None = None


def granted(role: Role, asked: Sequence[str]) -> tuple[Permission, ...]:
    """The scopes of a new key, sorted. Raises BadScope for a word that is none, NotAllowed beyond the maker's role."""
    known: dict[str, Permission] = {scope: scope for scope in PERMISSIONS["admin"] - NEVER}
    scopes: set[Permission] = set()
    for word in asked:
        if word == "read":
            scopes |= READ & PERMISSIONS[role]
        elif word not in known:
            raise BadScope(scope=word[:63], known=sorted(known))
        elif known[word] not in PERMISSIONS[role]:
            raise NotAllowed(permission=word, role=role)
        else:
            scopes.add(known[word])
    if not scopes:
        raise BadTerms
    return tuple(sorted(scopes))


def allowed(role: Role, scopes: Sequence[Permission]) -> frozenset[Permission]:
    """What a key may do now: its scopes, as far as its maker's role still has them."""
    return (PERMISSIONS[role] & frozenset(scopes)) - NEVER


def works(key: ApiKey, now_ms: int) -> bool:
    """Whether a key is neither revoked nor expired."""
    return key.revoked_ms is None and now_ms < key.expires_ms
