"""The journal of claims: each is appended here before its result leaves, and stays until the store has it on the disk.

One short write into the page cache, which the end of this program cannot undo, takes a twentieth of what a commit in
another thread takes, and nobody waits for that. Only a loss of power in that moment can lose a claim: then whoever took
the result still holds it, and its ``Used`` brings it.

Touches: files (claims.log).
"""

import os
import zlib
from pathlib import Path

_HEAD_BYTES = 8
"""Length and CRC-32 of what follows, 4 bytes each."""


class Journal:
    """Appends to one file. ``open`` first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._waiting = 0

    def open(self) -> list[bytes]:
        """Open or make the file; returns what a program that ended too soon left in it. Raises OSError."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        left = list(_entries(self._path.read_bytes()))
        self._waiting = len(left)
        return left

    def append(self, content: bytes) -> None:
        """Write an entry. Raises OSError; part of an entry is never read again."""
        whole = len(content).to_bytes(4) + zlib.crc32(content).to_bytes(4) + content
        if os.write(self._file, whole) != len(whole):
            raise OSError("The journal took only a part.")
        self._waiting += 1

    def taken_over(self, count: int = 1) -> None:
        """The store has so many of the entries; with the last one the file begins anew."""
        self._waiting -= count
        if self._waiting == 0 and self._file >= 0:
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _entries(content: bytes) -> list[bytes]:
    """All entries up to the first that is not whole."""
    found = []
    start = 0
    while start + _HEAD_BYTES <= len(content):
        size, check = int.from_bytes(content[start : start + 4]), int.from_bytes(content[start + 4 : start + 8])
        entry = content[start + _HEAD_BYTES : start + _HEAD_BYTES + size]
        if len(entry) < size or zlib.crc32(entry) != check:
            break
        found.append(entry)
        start += _HEAD_BYTES + size
    return found
