"""Input of a batch, from what people have: JSON Lines, lines of text, or a folder of text files.

It is checked line by line and written into the home (0600), one JSON object per line with its id, for the agent of the
same home to take up. A line that cannot be read is kept as a note of what is wrong with it and fails alone, as a line
does that only the workload can judge; input of which no line can be read is refused as a whole.

Touches: files (the input; a new file below the home's ``batches``).
"""

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.jobs.batches import LINES_MAX
from mesh.units import GIB, MIB

INCOMING = "new-"
"""How names of files begin that were brought and not yet submitted."""
LINE_BYTES_MAX = MIB
"""16 KiB of text are 96 KiB with every character escaped; ten times that leaves room for other workloads."""
KEPT_BYTES_MAX = 8 * MIB
"""A line as it is written into the home: the largest page of a document is 5 MiB, in base64 a third more."""
INPUT_BYTES_MAX = GIB
"""A million lines of 1 kB."""
ID_LENGTH_MAX = 200
_TEXT_SUFFIXES = (".txt", ".text", ".md")


class EmptyBatch(MeshError):
    """There is nothing to do: the input has no lines. Give one JSON object or text per line."""

    code = "batch.empty"
    kind = "invalid"


class BadLine(MeshError):
    """A line of the input cannot be read. Correct what the message names, and submit that line again."""

    code = "batch.bad_line"
    kind = "invalid"


class LineTooLong(MeshError):
    """A line of the input is longer than 1 MiB. Split it, and submit it all again."""

    code = "batch.line_too_long"
    kind = "too_large"


class TooManyLines(MeshError):
    """A batch may have up to 1,000,000 lines. Split the input into several batches."""

    code = "batch.too_many_lines"
    kind = "too_large"


class InputTooLarge(MeshError):
    """A batch's input may have up to 1 GiB. Split it into several batches."""

    code = "batch.input_too_large"
    kind = "too_large"


class SameId(MeshError):
    """Two lines have the same id: their results could not be told apart. Give each line an id of its own, or none."""

    code = "batch.same_id"
    kind = "invalid"


class NoRoom(MeshError):
    """The input could not be written into MESH_HOME. Make room on its disk, or erase old batches, and try again."""

    code = "batch.no_room"
    kind = "unavailable"


class Raw(NamedTuple):
    """A line as it was found: its number in its file, its id where the file's name is part of it, its bytes."""

    number: int
    content: bytes
    id: str | None = None


class Unreadable(NamedTuple):
    """A line that cannot be read: its id, and what is wrong with it. It is written as an array among objects."""

    id: str | int
    what: str


Checked = dict[str, Any] | Unreadable

_object: msgspec.json.Decoder[Any] = msgspec.json.Decoder(dict[str, Any] | str)
_encode = msgspec.json.Encoder().encode


def is_text(path: Path) -> bool:
    """Whether a file is taken as lines of text where nobody says: by the end of its name."""
    return path.suffix.lower() in _TEXT_SUFFIXES


def lines_of(file: BinaryIO) -> Iterator[Raw]:
    """The lines of an open file, blank ones left out. Raises LineTooLong."""
    number = 0
    while content := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(content) > LINE_BYTES_MAX:
            raise LineTooLong(f"Line {number} is longer than 1 MiB. Split it, and submit it all again.", line=number)
        if number == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")
        if content.strip():
            yield Raw(number, content)


def lines_below(folder: Path) -> Iterator[Raw]:
    """The lines of all files of a folder, by name; ids are ``NAME:NUMBER``. Hidden files are left out."""
    for path in sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")):
        with path.open("rb") as file:
            for raw in lines_of(file):
                yield raw._replace(id=f"{path.name}:{raw.number}")


def from_text(raws: Iterable[Raw]) -> Iterator[Checked]:
    """Each line is a text."""
    for raw in raws:
        try:
            text = raw.content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            yield _unreadable(raw, "is not UTF-8: convert the file (iconv).")
            continue
        yield {"id": raw.id or raw.number, "text": text}


def from_json(raws: Iterable[Raw]) -> Iterator[Checked]:
    """Each line is a JSON object, or a text in quotes."""
    for raw in raws:
        try:
            found = _object.decode(raw.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _unreadable(raw, 'is no JSON object such as {"id": "a", "text": "..."}, nor a text in quotes.')
            continue
        fields = {"text": found} if isinstance(found, str) else found
        given = fields.get("id", raw.number)
        if not isinstance(given, str | int) or isinstance(given, bool) or not 0 < len(str(given)) <= ID_LENGTH_MAX:
            yield _unreadable(raw, f"has an id that is no text of 1 to {ID_LENGTH_MAX} characters and no whole number.")
            continue
        yield {**fields, "id": given}


class Bringing:
    """A new file in the home's folder of batches, written line by line. Close it: what is not finished is erased."""

    def __init__(self, folder: Path) -> None:
        """Raises NoRoom."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=INCOMING)  # mkstemp makes it 0600
        except OSError as error:
            raise NoRoom from error
        self._path, self._file = Path(name), os.fdopen(handle, "wb")
        self._seen, self._size = array("Q"), 0
        self._readable, self._first = False, ""
        self._finished = False

    def add(self, fields: Checked) -> None:
        """Write one line. Raises TooManyLines, LineTooLong, InputTooLarge, NoRoom."""
        if len(self._seen) == LINES_MAX:
            raise TooManyLines(limit=LINES_MAX)
        content = _encode(fields) + b"\n"
        self._size += len(content)
        if isinstance(fields, Unreadable):
            given, self._first = fields.id, self._first or fields.what
        else:
            given, self._readable = fields["id"], True
        if len(content) > KEPT_BYTES_MAX:
            raise LineTooLong(line=given)
        if self._size > INPUT_BYTES_MAX:
            raise InputTooLarge(limit=INPUT_BYTES_MAX)
        self._seen.append(_mark(given))
        try:
            self._file.write(content)
        except OSError as error:
            raise NoRoom from error

    def finish(self) -> str:
        """The file's name, once it is whole. Raises EmptyBatch, BadLine, SameId, NoRoom."""
        if not self._seen:
            raise EmptyBatch
        if not self._readable:
            raise BadLine(f"No line of the input can be read. {self._first}")
        if len(set(self._seen)) != len(self._seen):
            raise SameId
        try:
            self._file.close()
        except OSError as error:
            raise NoRoom from error
        self._finished = True
        return self._path.name

    def close(self) -> None:
        """Erase it, unless it is finished."""
        if self._finished:
            return
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink()


def bring(folder: Path, lines: Iterable[Checked]) -> str:
    """Write checked lines into the home's folder of batches; returns the new file's name. Raises as above."""
    with closing(Bringing(folder)) as bringing:
        for line in lines:
            bringing.add(line)
        return bringing.finish()


def _mark(given: str | int) -> int:
    """64 bits of an id: a million of them meet by chance once in 37 million batches."""
    return int.from_bytes(hashlib.blake2b(str(given).encode(errors="surrogatepass"), digest_size=8).digest())


def _unreadable(raw: Raw, what: str) -> Unreadable:
    where = raw.id.rpartition(":")[0] + ", line" if raw.id else "Line"
    return Unreadable(raw.id or raw.number, f"{where} {raw.number} {what}")
