"""A batch's contents on disk: its input, and its results in the order they came. Readable by the owner alone.

``batches/ID/input`` has a JSON object per line; ``batches/ID/results`` has a MessagePack ``Outcome`` per line that has
one, found by the places that the store keeps. What comes in waits as ``batches/new-*`` until a batch is made of it.

Touches: files below the home's ``batches``; everything here may wait for the disk: call it in a thread.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.ids import BatchId
from mesh.jobs.batches import LINES_MAX
from mesh.sdk.batch_input import INCOMING, KEPT_BYTES_MAX
from mesh.units import GIB, MIB
from mesh.workloads.contract import Payload

QUOTA_BYTES = 4 * GIB
"""Inputs and results of all batches of a home: a million vectors of 384 numbers take 1.7 GB with their texts."""
FREE_BYTES_MIN = 256 * MIB
"""A batch leaves so much of the disk to others: the agent's own records must be written whatever a batch does."""
SLICE_LINES, SLICE_BYTES = 64, 8 * MIB
"""Lines read from the input at once; a slice ends with the line that makes it so long."""
ABANDONED_S = 3600.0
"""Input that was brought and never submitted, by a command that was killed, is erased after an hour."""


class QuotaReached(MeshError):
    """Batches may keep 4 GiB on this device, and that is used up. Erase old ones: `mesh batch delete ID`."""

    code = "batch.quota"
    kind = "unavailable"


class DiskFull(MeshError):
    """This device's disk has less than 256 MiB left. Make room; batches go on by themselves."""

    code = "batch.disk_full"
    kind = "unavailable"


class InputGone(MeshError):
    """The input that was to be submitted is not there, is damaged or is no file. Submit it again."""

    code = "batch.input_gone"
    kind = "conflict"


class ResultsDamaged(MeshError):
    """Results of this batch were changed or lost on disk. Erase the batch and submit its input again."""

    code = "batch.damaged"


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """What a line came to: its id, and either a result or an error in its wire form."""

    id: str | int
    result: Payload | None = None
    error: dict[str, Any] | None = None


class Line(NamedTuple):
    """A line to be done: its place from 0, its id and fields; ``broken``: why it cannot be read, in words."""

    number: int
    id: str | int
    fields: dict[str, Any]
    broken: str = ""


_outcomes: msgspec.msgpack.Decoder[Outcome] = msgspec.msgpack.Decoder(Outcome)
_lines_of: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any] | tuple[str | int, str])
encode_outcome = msgspec.msgpack.Encoder().encode


class BatchFiles:
    """The folder of all batches."""

    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._free_bytes_min = free_bytes_min

    def open(self, known: set[BatchId], now_s: float) -> None:
        """Make the folder; erase what no batch owns: a crash may have come between a file and its row."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for found in self._folder.iterdir():
            if found.name.startswith(INCOMING):
                if found.lstat().st_mtime < now_s - ABANDONED_S:
                    found.unlink()
            elif found.name not in known:
                shutil.rmtree(found)

    def used(self) -> int:
        """Bytes that all batches keep."""
        return sum(path.lstat().st_size for path in self._folder.glob("*/*"))

    def check_room(self, more: int) -> None:
        """Refuse to keep ``more`` bytes. Raises QuotaReached, DiskFull."""
        if self.used() + more > self._quota_bytes:
            raise QuotaReached(f"Batches may keep {self._quota_bytes} bytes on this device, and that is used up. "
                               "Erase old ones: `mesh batch delete ID`.", limit=self._quota_bytes)  # fmt: skip
        if shutil.disk_usage(self._folder).free - more < self._free_bytes_min:
            raise DiskFull(free_min=self._free_bytes_min)

    def take(self, name: str) -> "Incoming":
        """Look at input that was brought. Raises InputGone, QuotaReached, DiskFull."""
        path = self._folder / name
        if not _is_incoming(name):
            raise InputGone
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise InputGone from error
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid():
                raise InputGone
            self.check_room(about.st_size)
            digest, lines = hashlib.sha256(), 0
            for line in _lines(file):
                digest.update(line)
                lines += 1
                if lines > LINES_MAX or not line.endswith(b"\n"):
                    raise InputGone
        if not lines:
            raise InputGone
        return Incoming(path, lines, digest.digest())

    def discard(self, name: str) -> None:
        """Erase input that was brought, unless a batch was made of it."""
        if _is_incoming(name):
            (self._folder / name).unlink(missing_ok=True)

    def keep(self, incoming: "Incoming", batch: BatchId) -> None:
        """Make the input that of a batch, durably."""
        folder = self._folder / batch
        folder.mkdir(mode=0o700)
        incoming.path.chmod(0o600)
        with incoming.path.open("rb") as file:
            os.fsync(file.fileno())
        incoming.path.rename(folder / "input")
        for path in (folder, self._folder):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def lines(self, batch: BatchId, done: bytearray) -> Iterator[list[Line]]:
        """The lines that are not ``done`` (by number), a slice at a time; looks at ``done`` as it reads."""
        held: list[Line] = []
        size = 0
        with (self._folder / batch / "input").open("rb") as file:
            for number, text in enumerate(_lines(file)):
                if number >= len(done):
                    return
                if not done[number]:
                    held.append(_line(number, text))
                    size += len(text)
                if len(held) == SLICE_LINES or size >= SLICE_BYTES:
                    yield held
                    held, size = [], 0
        yield held

    def results(self, batch: BatchId, end: int) -> "Results":
        """Open a batch's results to add to them; what stands after ``end`` was never committed."""
        return Results(self._folder / batch / "results", end)

    def read(self, batch: BatchId, places: list[tuple[int, int]]) -> list[Outcome]:
        """The outcomes at these places (start, size). Raises ResultsDamaged."""
        if not places:
            return []
        try:
            handle = os.open(self._folder / batch / "results", os.O_RDONLY)
        except OSError as error:
            raise ResultsDamaged from error
        try:
            return [_outcomes.decode(os.pread(handle, size, start)) for start, size in places]
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise ResultsDamaged from error
        finally:
            os.close(handle)

    def size(self, batch: BatchId) -> int:
        """Bytes that a batch keeps."""
        return sum(path.lstat().st_size for path in (self._folder / batch).glob("*"))

    def erase(self, batch: BatchId) -> None:
        """Erase a batch's input and results."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder / batch)


class Incoming(NamedTuple):
    """Input that was brought, counted and read once."""

    path: Path
    lines: int
    digest: bytes


class Results:
    """The open file of a batch's results. ``write`` and ``sync`` belong into the store's acts."""

    def __init__(self, path: Path, end: int) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._handle, end)

    def write(self, start: int, content: bytes) -> None:
        """Write at a place; again is the same. Raises OSError, also where only a part fits."""
        if os.pwrite(self._handle, content, start) != len(content):
            raise OSError(errno.ENOSPC, "the disk is full")

    def sync(self) -> None:
        """Make all that was written durable. Raises OSError."""
        (os.fsync if not hasattr(os, "fdatasync") else os.fdatasync)(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def _is_incoming(name: str) -> bool:
    return name.startswith(INCOMING) and Path(name).name == name


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(KEPT_BYTES_MAX + 1):
        yield line


def _line(number: int, text: bytes) -> Line:
    try:
        fields = _lines_of.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Line(number, number + 1, {}, "This line was damaged on disk. Submit it again.")
    if isinstance(fields, tuple):
        return Line(number, fields[0], {}, fields[1])
    given = fields.pop("id", number + 1)
    return Line(number, given if isinstance(given, str | int) else number + 1, fields)
