"""The device's keys: 32 secret bytes each, in files that only their owner can read.

``device.key`` is the key that counts. While it is being replaced the next one lies in ``device.key.next``, with the
statement by which it follows; the ones before it, as long as they are good, in ``device.keys``. Each step replaces one
file, in an order in which a crash after any of them leaves a device that works.

Touches: the key files, the system's randomness.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.signed import SEED_BYTES, public_key
from mesh.sdk.home import Home, write_secret

T = TypeVar("T")


class KeyUnreadable(MeshError):
    """This device's key file is missing or damaged. Restore it from a backup, or join the network anew."""

    code = "agent.key_unreadable"


class KeyExposed(MeshError):
    """Other users of this machine can read this device's key. Run `chmod 600` on it, or join the network anew."""

    code = "agent.key_exposed"
    kind = "forbidden"


class Identity(NamedTuple):
    """A device's secret seed and its public key. Never printed, never sent."""

    seed: bytes
    key: DeviceKey

    def __repr__(self) -> str:
        return f"Identity({self.key})"


class Next(NamedTuple):
    """A key that is to follow, and the statement that says so, signed by both."""

    identity: Identity
    succession: str

    @property
    def key(self) -> DeviceKey:
        """Its public key."""
        return self.identity.key


class _NextFile(msgspec.Struct, frozen=True):
    seed: str
    succession: str


class _FormerFile(msgspec.Struct, frozen=True):
    seed: str
    until_ms: int


class Keychain:
    """All keys of this device. Whoever signs asks it each time: the newest may be another a moment later."""

    def __init__(self, home: Home) -> None:
        """Read the files of a home. Raises KeyUnreadable, KeyExposed."""
        self._home = home
        self.newest = load(home)
        self.following: Next | None = None
        self._former: list[tuple[Identity, int]] = []
        self._read()

    @property
    def former(self) -> tuple[Identity, ...]:
        """The keys before the newest that may still be good, newest first."""
        return tuple(identity for identity, _ in reversed(self._former))

    @property
    def ends_ms(self) -> int | None:
        """When the next former key ends."""
        return min((until_ms for _, until_ms in self._former), default=None)

    def seed(self, key: DeviceKey | None = None) -> bytes:
        """The seed of one of this device's keys; of the newest where none is named, or it has gone."""
        return next((identity.seed for identity, _ in self._former if identity.key == key), self.newest.seed)

    def prepare(self, following: Next) -> None:
        """Write a next key down before anybody hears of it."""
        kept = _NextFile(following.identity.seed.hex(), following.succession)
        write_secret(self._home.next_key, msgspec.json.encode(kept))
        self.following = following

    def drop(self) -> None:
        """The next key was refused: it never counted."""
        self._home.next_key.unlink(missing_ok=True)
        self.following = None

    def turn(self, until_ms: int) -> None:
        """The next key counts now; the one before it is good until then."""
        assert self.following is not None
        self._former = [(one, end) for one, end in self._former if one.key != self.newest.key]
        self._former.append((self.newest, until_ms))
        self._keep_former()
        write_secret(self._home.device_key, self.following.identity.seed.hex().encode() + b"\n")
        self.newest = self.following.identity
        self.drop()

    def end(self, now_ms: int) -> list[DeviceKey]:
        """Forget the former keys whose time is over; returns them."""
        over = [identity.key for identity, until_ms in self._former if until_ms <= now_ms]
        if over:
            self._former = [(identity, until_ms) for identity, until_ms in self._former if until_ms > now_ms]
            self._keep_former()
        return over

    def _keep_former(self) -> None:
        kept = [_FormerFile(identity.seed.hex(), until_ms) for identity, until_ms in self._former]
        write_secret(self._home.former_keys, msgspec.json.encode(kept))

    def _read(self) -> None:
        former = _decoded(self._home.former_keys, list[_FormerFile])
        for one in former or []:
            identity = _identity(one.seed, self._home.former_keys)
            if identity.key != self.newest.key:  # else a crash came between the files: it is the newest still
                self._former.append((identity, one.until_ms))
        kept = _decoded(self._home.next_key, _NextFile)
        if kept is not None:
            self.following = Next(_identity(kept.seed, self._home.next_key), kept.succession)
            if self.following.identity.key == self.newest.key:
                self.drop()


def load(home: Home) -> Identity:
    """Read this home's key. Raises KeyUnreadable, KeyExposed."""
    path = home.device_key
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise KeyUnreadable(f"{path} cannot be read. Restore it from a backup, or join the network anew.") from error
    identity = _identity(text, path)
    _refuse_exposed(path)
    return identity


def load_or_make(home: Home) -> Identity:
    """Read this home's key, or make it the first time."""
    if not home.device_key.exists():
        home.ensure()
        write_secret(home.device_key, secrets.token_bytes(SEED_BYTES).hex().encode() + b"\n")
    return load(home)


def fresh() -> Identity:
    """A new key that nobody knows yet."""
    seed = secrets.token_bytes(SEED_BYTES)
    return Identity(seed, public_key(seed))


def _identity(text: str, path: Path) -> Identity:
    try:
        seed = bytes.fromhex(text)
    except ValueError as error:
        raise KeyUnreadable(f"{path} is damaged. Restore it from a backup, or join the network anew.") from error
    if len(seed) != SEED_BYTES:
        raise KeyUnreadable(f"{path} is damaged. Restore it from a backup, or join the network anew.")
    return Identity(seed, public_key(seed))


def _decoded(path: Path, kind: type[T]) -> T | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    _refuse_exposed(path)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyUnreadable(f"{path} is damaged. Restore it from a backup, or join the network anew.") from error


def _refuse_exposed(path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyExposed(f"Other users can read {path}. Run: chmod 600 {path}")
