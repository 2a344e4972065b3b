"""Heads of ledgers that this home keeps: with one at hand a coordinator cannot rewrite what it once showed.

The agent keeps the newest that it was sent; `mesh ledger verify` compares, and keeps what it found.

Touches: files under the home.
"""

from pathlib import Path

import msgspec

from mesh.errors import MeshError
from mesh.ids import NetworkId
from mesh.sdk.home import write_secret


class HistoryChanged(MeshError):
    """The ledger was rewritten: under the same number it now shows another past than this device had kept."""

    code = "ledger.history_changed"


class KeptHead(msgspec.Struct, frozen=True):
    """A posting's number, the hash up to it, when it was sealed, and the network's signature on that."""

    number: int
    hash: str
    time_ms: int = 0
    signed: str = ""


class Heads:
    """The newest head of each network of a home, in one small file; a damaged one counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = self._read()
        self.dirty = False
        """Whether something was taken that is not written down."""

    def of(self, network: NetworkId) -> KeptHead | None:
        """The head that is kept of a network."""
        return self._kept.get(network)

    def take(self, network: NetworkId, head: KeptHead) -> bool:
        """Keep a head if it is newer; returns whether it was. Raises HistoryChanged, and keeps the older one."""
        kept = self._kept.get(network)
        if kept is not None and kept.number == head.number and kept.hash != head.hash:
            raise HistoryChanged(number=head.number)
        if kept is not None and head.number <= kept.number:
            return False
        self._kept[network] = head
        self.dirty = True
        return True

    def write(self) -> None:
        """Write down what was taken, durably."""
        self.dirty = False
        write_secret(self._path, msgspec.json.encode(self._kept))

    def _read(self) -> dict[str, KeptHead]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, KeptHead])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}
