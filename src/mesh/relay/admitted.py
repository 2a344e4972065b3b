"""The list of admitted keys: where it comes from, and the copy on disk that serves while the coordinator is away.

Touches: files, clock.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from mesh.ids import DeviceKey, is_device_key
from mesh.protocol.link import Admission, Admissions
from mesh.protocol.papers import RelayInfo

SERVES_ALONE_S: Final = 24 * 3600.0
"""How long the last list serves after the last word from the coordinator: over a night, never over a holiday."""
SAVED_EVERY_S: Final = 600.0
"""How old "last word" may be on disk while nothing changes."""


Take = Callable[[Admissions], Awaitable[None]]


class AdmissionSource(Protocol):
    """Where a relay learns whom it admits: its parent process, or its link to the coordinator."""

    @property
    def connected(self) -> bool:
        """Whether the coordinator can be heard now: silence then means that nothing changed."""
        ...

    def now_ms(self) -> int:
        """The time by the coordinator's clock, as well as it is known."""
        ...

    async def run(self, me: RelayInfo, take: Take) -> None:
        """Pass on a full list at first and after each reconnect, then changes. Returns when the relay should end.

        ``me`` is how devices reach this relay and its observer.
        """
        ...


class Kept(msgspec.Struct, frozen=True):
    """The file: the list, and when the coordinator was last heard (milliseconds since 1970)."""

    heard_at_ms: int
    admissions: tuple[Admission, ...]


class AdmittedKeys:
    """The list as known, kept in a file (0600, replaced whole)."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._networks: dict[DeviceKey, tuple[int, ...]] = {}
        self._heard_at = 0.0
        self._saved_at = 0.0

    def load(self) -> list[Admission]:
        """The list of the last run while it still serves; else an empty one. Makes the folder."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return []
        except (msgspec.DecodeError, UnicodeDecodeError):
            kept = None
        if kept is None or not all(is_device_key(admission.key) for admission in kept.admissions):
            structlog.get_logger().warning("relay.admissions_unreadable", path=str(self._path))
            return []
        self._heard_at = kept.heard_at_ms / 1000
        if self.expired:
            return []
        self._networks = {admission.key: admission.networks for admission in kept.admissions}
        return list(kept.admissions)

    @property
    def expired(self) -> bool:
        """Whether the last word is too old to serve by. A clock set back does not make it older."""
        return self._wall() - self._heard_at > SERVES_ALONE_S

    def take(self, news: Admissions) -> None:
        """The coordinator spoke: remember it. Blocks for one fsync."""
        if news.full:
            self._networks = {}
        for admission in news.admissions:
            if admission.networks:
                self._networks[admission.key] = admission.networks
            else:
                self._networks.pop(admission.key, None)
        self._heard_at = self._wall()
        self._save()

    def still_heard(self) -> None:
        """The coordinator is there and had nothing to say."""
        self._heard_at = self._wall()
        if self._heard_at - self._saved_at >= SAVED_EVERY_S:
            self._save()

    def _save(self) -> None:
        kept = Kept(int(self._heard_at * 1000), tuple(Admission(*entry) for entry in self._networks.items()))
        replace(self._path, msgspec.json.encode(kept))
        self._saved_at = self._heard_at


def pairs(admissions: Iterable[Admission]) -> list[tuple[DeviceKey, tuple[int, ...]]]:
    """Admissions in the form that the relay takes."""
    return [(admission.key, admission.networks) for admission in admissions]


def replace(path: Path, content: bytes) -> None:
    """Write a file whole (0600), or leave it as it was."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
