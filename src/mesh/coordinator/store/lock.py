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
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._file = handle

    def release(self) -> None:
        """Unlock; the file stays, as removing it would race with the next owner."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # Windows locks bytes, and nobody else could read the process number under a lock

    def _lock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
