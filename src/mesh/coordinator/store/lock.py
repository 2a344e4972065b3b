"""One coordinator per data folder: an operating-system lock on a file beside the database, gone with its process.

Touches: files (the lock file).
"""

import os
import sys
from pathlib import Path

from mesh.coordinator.store.errors import StoreInUse


class FolderLock:
    """Held from ``take`` until ``release``; the operating system releases it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Lock at once or raise StoreInUse. The file holds the process number, for people who look."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(handle)
        except OSError as error:
            other = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise StoreInUse(process=other) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._file = handle

    def release(self) -> None:
        """Unlock; the file stays, as removing it would race with the next owner."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
