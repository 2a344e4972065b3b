"""The models that a device's owner has added: the file ``catalogue.json`` of the home, beside the built-in catalogue.

Entries are written like the built-in ones, hashes and sizes included. One that is not well-formed is left out, and it
is said where it stands and what is wrong with it; the others count. A model of one's own cannot take the name of a
built-in one.

Touches: files (reads).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mesh.units import MIB
from mesh.workloads.catalogue import BUILTIN, BadEntry, Catalogue, ModelEntry, check_entry
from mesh.workloads.known import WORKLOADS

FILE_BYTES_MAX = MIB
_WHERE = re.compile(r"(?P<what>.*?) - at `\$(?P<field>[^`]*)`", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


class WrongEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong in the file: from which line on, in which model and field, as far as that can be told."""

    line: int
    reason: str
    model: str = ""
    field: str = ""

    def __str__(self) -> str:
        about = f", model {self.model}" if self.model else ""
        return f"line {self.line}{about}{f', {self.field}' if self.field else ''}: {self.reason}"


class OwnCatalogue(NamedTuple):
    """The built-in models and the good ones of the file, and what is wrong with the others."""

    catalogue: Catalogue
    wrong: tuple[WrongEntry, ...] = ()

    def refuse(self, model: str) -> None:
        """Say why there is no such model, where its entry is wrong or nothing could be read. Raises BadEntry."""
        for one in self.wrong:
            if one.model in ("", model):
                raise BadEntry(f"catalogue.json, {one}", line=one.line, field=one.field)


def read_catalogue(path: Path) -> OwnCatalogue:
    """The built-in models and those of the file, where there is one."""
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        text = content.decode()
    except FileNotFoundError:
        return OwnCatalogue(BUILTIN)
    except OSError as error:
        return OwnCatalogue(BUILTIN, (WrongEntry(1, f"it cannot be read: {error.strerror}"),))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return OwnCatalogue(BUILTIN, (WrongEntry(line, "it is not UTF-8"),))
    if len(content) > FILE_BYTES_MAX:
        return OwnCatalogue(BUILTIN, (WrongEntry(1, f"it is larger than {FILE_BYTES_MAX // MIB} MiB"),))
    good: dict[str, ModelEntry] = {entry.id: entry for entry in BUILTIN}
    wrong: list[WrongEntry] = []
    for line, found in _listed(text):
        entry = found if isinstance(found, WrongEntry) else _read(line, found, good)
        if isinstance(entry, WrongEntry):
            wrong.append(entry)
        else:
            good[entry.id] = entry
    return OwnCatalogue(Catalogue(tuple(good.values())), tuple(wrong))


class CatalogueFile:
    """The catalogue as it stands in the file now: read once, and again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._read = OwnCatalogue(BUILTIN)

    def catalogue(self) -> Catalogue:
        """The good entries."""
        try:
            status = self._path.stat()
        except OSError:
            return BUILTIN
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp, self._read = stamp, read_catalogue(self._path)
        return self._read.catalogue


def _listed(text: str) -> Iterator[tuple[int, Any]]:
    """The entries, each with the line where it begins; the last one is what is wrong where it is not a whole list."""
    decoder, at = json.JSONDecoder(), _past_space(text, 0)
    try:
        if text[at : at + 1] != "[":
            raise json.JSONDecodeError("a list of entries is expected", text, at)
        at = _past_space(text, at + 1)
        while text[at : at + 1] != "]":
            value, end = decoder.raw_decode(text, at)
            yield text.count("\n", 0, at) + 1, value
            at = _past_space(text, end)
            if text[at : at + 1] == ",":
                at = _past_space(text, at + 1)
            elif text[at : at + 1] != "]":
                raise json.JSONDecodeError("a comma or the end of the list is expected", text, at)
        if _past_space(text, at + 1) != len(text):
            raise json.JSONDecodeError("nothing may follow the list", text, _past_space(text, at + 1))
    except json.JSONDecodeError as error:
        yield error.lineno, WrongEntry(error.lineno, f"{error.msg} (column {error.colno})")
    except RecursionError:
        yield 1, WrongEntry(1, "it is nested too deep")


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _read(line: int, value: Any, taken: dict[str, ModelEntry]) -> ModelEntry | WrongEntry:
    """One entry, checked."""
    name = value.get("id") if isinstance(value, dict) else None
    model = name[:96] if isinstance(name, str) else ""
    try:
        entry = msgspec.convert(value, ModelEntry)
        check_entry(entry)
    except msgspec.ValidationError as error:
        match = _WHERE.fullmatch(str(error))
        if match is None:
            return WrongEntry(line, str(error), model)
        return WrongEntry(line, match["what"], model, match["field"].removeprefix("."))
    except BadEntry as error:
        return WrongEntry(line, error.message, model)
    if entry.workload not in WORKLOADS:
        return WrongEntry(line, f"{entry.workload!r} is none of {', '.join(WORKLOADS)}", model, "workload")
    if entry.id in taken:
        return WrongEntry(line, "another model has this name already", model, "id")
    return entry
