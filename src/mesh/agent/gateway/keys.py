"""The keys that open the gateway: the one in gateway.json, and those that were made for programs.

A key is random and long, so its SHA-256 is all that must be kept, and looking that up tells nothing by its timing.
Made keys and what they spent live in the agent's store.

Touches: the system's randomness, the clock; database (through the agent's store).
"""

import hashlib
import secrets
import time
from collections.abc import Callable

import msgspec

from mesh.agent.gateway.limits import DAY_MS, MINUTE_MS, Meter
from mesh.agent.store import Database, Store
from mesh.errors import MeshError
from mesh.ids import is_name
from mesh.sdk import keys as said
from mesh.sdk.control import Ok
from mesh.sdk.lines import Answer

DEFAULT = "default"
"""The name of the key in gateway.json."""
KEY_BYTES = 32
PREFIX = "meshkey_"
"""Keys begin with this, so that a leaked one is recognised."""
PREFIX_SHOWN = len(PREFIX) + 4
KEYS_MAX = 1000

_limits: msgspec.json.Decoder[said.Limits] = msgspec.json.Decoder(said.Limits)


class BadKey(MeshError):
    """A key has a name of a-z, 0-9 and hyphens, and limits that are 1 or more. Correct it and try again."""

    code = "gateway_key.invalid"
    kind = "invalid"


class KeyExists(MeshError):
    """There is a key of this name. Revoke it first, or take another name."""

    code = "gateway_key.exists"
    kind = "conflict"


class UnknownKey(MeshError):
    """There is no key of this name. `mesh key list` shows all."""

    code = "gateway_key.unknown"
    kind = "not_found"


class KeyKept(MeshError):
    """The key in gateway.json is not revoked by name. Stop the agent and delete that file: a new one is made."""

    code = "gateway_key.kept"
    kind = "conflict"


class Opener:
    """A key that is good: its name, how it begins, and its use."""

    def __init__(self, name: str, prefix: str, created_ms: int, meter: Meter) -> None:
        self.name = name
        self.prefix = prefix
        self.created_ms = created_ms
        self.meter = meter
        self.kept_ms = meter.used_ms
        """When its use was last written down."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class KeyBook:
    """All keys of this home's gateway."""

    def __init__(self, store: Store | None = None, clock: Callable[[], int] = now_ms) -> None:
        """``store`` None: nothing is kept, and no keys can be made."""
        self.now_ms = clock
        self._store = store
        self._by_hash: dict[bytes, Opener] = {}
        self._hashes: dict[str, bytes] = {}

    async def open(self) -> None:
        """Take up the keys that were made before."""
        if self._store is not None:
            for name, digest, prefix, limits, created_ms, used_ms, day, spent in await self._store.write(_all):
                meter = Meter(_limits.decode(limits), day=day, spent=spent, used_ms=used_ms)
                self._put(digest, Opener(name, prefix, created_ms, meter))

    def add_default(self, key: str) -> None:
        """The key in gateway.json opens too, without limits."""
        self._put(_hash(key), Opener(DEFAULT, key[:4], 0, Meter(said.Limits())))

    def opener(self, key: str) -> Opener | None:
        """Whose key this is; None: nobody's."""
        return self._by_hash.get(_hash(key))

    def charged(self, opener: Opener, amount: int) -> None:
        """Work for this key was paid for; what it spent outlives the agent."""
        if amount:
            opener.meter.charged(amount, self.now_ms())
        self.used(opener, paid=amount > 0)

    def used(self, opener: Opener, *, paid: bool = False) -> None:
        """Write a key's use down: at once when something was paid, else each minute."""
        if self._store is None or opener.name == DEFAULT:
            return
        meter = opener.meter
        if paid or meter.used_ms - opener.kept_ms >= MINUTE_MS:
            opener.kept_ms = meter.used_ms
            now = self.now_ms()
            row = (meter.used_ms, now // DAY_MS, meter.spent(now), self._hashes.get(opener.name))
            self._store.post(
                lambda db: db.execute("UPDATE gateway_key SET used_ms = ?, day = ?, spent = ? WHERE hash = ?", row)
            )

    async def answer(self, request: said.AnyKeyRequest) -> Answer:
        """Do what the command line asks. Raises BadKey, KeyExists, UnknownKey, KeyKept."""
        if isinstance(request, said.CreateKey):
            return said.KeyMade(request.name, await self._create(request.name, request.limits))
        if isinstance(request, said.RevokeKey):
            await self._revoke(request.name)
            return Ok()
        return said.Keys(tuple(self._view(opener) for opener in self._by_hash.values()))

    async def _create(self, name: str, limits: said.Limits) -> str:
        assert self._store is not None
        numbers = [one for one in msgspec.structs.astuple(limits) if one is not None]
        if not is_name(name) or any(one < 1 for one in numbers) or len(self._by_hash) >= KEYS_MAX:
            raise BadKey
        if name in self._hashes or name == DEFAULT:
            raise KeyExists
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        digest, created_ms = _hash(key), self.now_ms()
        opener = Opener(name, key[:PREFIX_SHOWN], created_ms, Meter(limits))
        self._hashes[name] = digest  # the name is taken while it is written
        row = (name, digest, opener.prefix, msgspec.json.encode(limits), created_ms)
        try:
            await self._store.write(
                lambda db: db.execute("INSERT INTO gateway_key VALUES (?, ?, ?, ?, ?, 0, 0, 0)", row) and None
            )
        except BaseException:
            del self._hashes[name]
            raise
        self._put(digest, opener)
        return key

    async def _revoke(self, name: str) -> None:
        assert self._store is not None
        if name == DEFAULT:
            raise KeyKept
        digest = self._hashes.get(name)
        if digest is None or self._by_hash.pop(digest, None) is None:
            raise UnknownKey
        await self._store.write(lambda db: db.execute("DELETE FROM gateway_key WHERE name = ?", (name,)) and None)
        del self._hashes[name]

    def _put(self, digest: bytes, opener: Opener) -> None:
        self._by_hash[digest] = opener
        self._hashes[opener.name] = digest

    def _view(self, opener: Opener) -> said.Key:
        meter = opener.meter
        return said.Key(
            name=opener.name,
            prefix=opener.prefix,
            limits=meter.limits,
            created_ms=opener.created_ms,
            used_ms=meter.used_ms,
            running=meter.running,
            spent_today=meter.spent(self.now_ms()),
        )


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _all(db: Database) -> list[tuple[str, bytes, str, bytes, int, int, int, int]]:
    return db.execute("SELECT * FROM gateway_key ORDER BY created_ms").fetchall()
