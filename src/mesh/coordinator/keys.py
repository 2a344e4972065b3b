"""The coordinator's keys on disk: its own, and one per network; files of mode 0600 in the data folder.

They are not in the database, so that a copy of the database alone can sign nothing.

Touches: files, randomness.
"""

import os
import secrets
from pathlib import Path

from mesh.errors import MeshError
from mesh.ids import DeviceKey, NetworkId
from mesh.protocol.signed import SEED_BYTES, public_key


class KeyFileBad(MeshError):
    """A key file of the coordinator is damaged. Restore it from a backup; a new key would lock out every device."""

    code = "coordinator.key_file"


class Keys:
    """Seeds by what they are for; the coordinator's own is read once, the networks' when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._networks: dict[NetworkId, bytes] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.seed = _load_or_make(folder / "coordinator.key")
        self.public: DeviceKey = public_key(self.seed)

    def make_network(self, network: NetworkId) -> DeviceKey:
        """Make a network's key before the network is committed; a file left over by a failure harms nothing."""
        self._networks[network] = _load_or_make(self._path(network))
        return public_key(self._networks[network])

    def network(self, network: NetworkId) -> bytes:
        """The seed of a network's key. Raises KeyFileBad."""
        seed = self._networks.get(network)
        if seed is None:
            seed = self._networks[network] = _read(self._path(network))
        return seed

    def _path(self, network: NetworkId) -> Path:
        return self._folder / f"network-{network}.key"


def _load_or_make(path: Path) -> bytes:
    if path.exists():
        return _read(path)
    seed = secrets.token_bytes(SEED_BYTES)
    write_private(path, seed.hex().encode() + b"\n")
    return seed


def _read(path: Path) -> bytes:
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise KeyFileBad(file=path.name) from error
    if len(seed) != SEED_BYTES:
        raise KeyFileBad(file=path.name)
    return seed


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
