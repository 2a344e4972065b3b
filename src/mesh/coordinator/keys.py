"""The coordinator's keys on disk: its own, and one per network; files of mode 0600 in the data folder.

They are not in the database, so that a copy of the database alone can sign nothing. Which key counts the database says:
a next key lies beside the current one (``….next``) before it counts, and takes its place once that is committed.

Touches: files, randomness.
"""

import hashlib
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
        self.seed = _load_or_make(self._path(None))
        self.public: DeviceKey = public_key(self.seed)
        self.sealing = self._sealing()
        """What answers kept for repeats are sealed with: it stays when the coordinator's key is replaced."""

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

    def prepare(self, network: NetworkId | None, seed: bytes) -> None:
        """Write a next key (of a network; None: the coordinator's own) beside the current one: it may soon count."""
        write_private(_next(self._path(network)), seed.hex().encode() + b"\n")

    def settle(self, network: NetworkId | None, key: DeviceKey) -> None:
        """Make the key that the database names the current one; whichever else lies there is gone. Raises KeyFileBad.

        Where neither file holds it, nothing changes: the two are not of one installation, or of one backup.
        """
        path, following = self._path(network), _next(self._path(network))
        if public_key(_read(path)) != key:
            if not following.exists() or public_key(_read(following)) != key:
                raise KeyFileBad(file=path.name)
            following.replace(path)
        following.unlink(missing_ok=True)
        seed = _read(path)
        if network is None:
            self.seed, self.public = seed, key
        else:
            self._networks[network] = seed

    def settle_own(self, key: DeviceKey) -> None:
        """At the start: the coordinator's own key as the database names it; one that is not here is refused later."""
        if key != self.public and _next(self._path(None)).exists():
            self.settle(None, key)

    def _path(self, network: NetworkId | None) -> Path:
        return self._folder / ("coordinator.key" if network is None else f"network-{network}.key")

    def _sealing(self) -> bytes:
        path = self._folder / "answers.key"
        if not path.exists():  # what older versions used: answers that they kept can still be opened
            derived = hashlib.blake2b(b"idempotent answers", key=self.seed, digest_size=SEED_BYTES).digest()
            write_private(path, derived.hex().encode() + b"\n")
        return _read(path)


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")


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
    if os.name == "posix":  # the name too must be there after a power cut, before the database says that it counts
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
