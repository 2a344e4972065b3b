"""The device's key: 32 secret bytes in a file that only its owner can read.

Touches: the key file, the system's randomness.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.signed import SEED_BYTES, public_key
from mesh.sdk.home import Home, write_secret


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


def load(home: Home) -> Identity:
    """Read this home's key. Raises KeyUnreadable, KeyExposed."""
    path = home.device_key
    try:
        text = path.read_text("ascii").strip()
        seed = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        raise KeyUnreadable(f"{path} cannot be read. Restore it from a backup, or join the network anew.") from error
    if len(seed) != SEED_BYTES:
        raise KeyUnreadable(f"{path} is damaged. Restore it from a backup, or join the network anew.")
    _refuse_exposed(path)
    return Identity(seed, public_key(seed))


def load_or_make(home: Home) -> Identity:
    """Read this home's key, or make it the first time."""
    if not home.device_key.exists():
        home.ensure()
        write_secret(home.device_key, secrets.token_bytes(SEED_BYTES).hex().encode() + b"\n")
    return load(home)


def _refuse_exposed(path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyExposed(f"Other users can read {path}. Run: chmod 600 {path}")
