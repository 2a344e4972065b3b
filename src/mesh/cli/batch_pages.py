"""Documents as input of a batch: drawn here as pages, each of which is a line, before anything is handed in.

A file that cannot be opened, or a page that cannot be drawn, is a line that fails alone.

Touches: files (input; the new file below the home's ``batches``), processes (the one that draws).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mesh.cli.output import Out
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.agent.asking.drawing import Drawer
    from mesh.sdk.batch_input import Checked

SUFFIXES = frozenset((".pdf", ".png", ".jpg", ".jpeg", ".webp"))
"""Files that are documents themselves; any other is a list of them."""
_PDF = b"%PDF-"


class Document(NamedTuple):
    """A file to read, and the id of its page; ``what``: why there is none, where its line said none."""

    id: str | int
    path: Path | None
    what: str = ""


def is_document(source: str) -> bool:
    """Whether a file or folder holds documents itself."""
    path = Path(source)
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def documents_at(source: str) -> list[Document]:
    """The document, or all files of a folder by name; hidden ones are left out. Raises OSError."""
    path = Path(source)
    if not path.is_dir():
        with path.open("rb"):  # one file that is not there is a slip, and no line that fails
            return [Document(path.name, path)]
    found = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    return [Document(one.name, one) for one in found]


def documents_of(lines: "Iterable[Checked]") -> Iterator[Document]:
    """The documents that lines name: ``{"id": ..., "file": PATH}``, or a path for a line of text."""
    from mesh.sdk.batch_input import Unreadable

    for line in lines:
        if isinstance(line, Unreadable):
            yield Document(line.id, None, line.what)
            continue
        named = line.get("file", line.get("text"))
        if isinstance(named, str) and named and not set(line) - {"id", "file", "text"}:
            yield Document(line["id"], Path(named))
        else:
            yield Document(line["id"], None, 'It names no file, as {"id": "a", "file": "scan.pdf"} does.')


def bring_pages(folder: Path, documents: Iterable[Document], out: Out) -> str:
    """Draw documents and write their pages into the home's folder of batches; returns the new file's name.

    Raises EngineNotLoaded where nothing can be drawn here, and what ``batch_input`` refuses.
    """
    return asyncio.run(_brought(folder, list(documents), out))


async def _brought(folder: Path, documents: list[Document], out: Out) -> str:
    from mesh.agent.asking.drawing import Drawer
    from mesh.sdk.batch_input import Bringing

    async with Drawer() as drawer:
        with closing(Bringing(folder)) as bringing, out.progress("drawing pages") as show:
            for number, document in enumerate(documents):
                show(f"{number + 1} of {len(documents)} files", number / len(documents))
                async for line in _pages(drawer, document):
                    await asyncio.to_thread(bringing.add, line)
            return bringing.finish()


async def _pages(drawer: "Drawer", document: Document) -> "AsyncIterator[Checked]":
    """The lines of one document: ``ID:PAGE`` of a PDF, its id alone of an image."""
    from mesh.sdk.batch_input import Unreadable
    from mesh.workloads.pages import AT_ONCE_MAX
    from mesh.workloads.process import EngineNotLoaded

    if document.path is None:
        yield Unreadable(document.id, document.what)
        return
    try:
        content = await asyncio.to_thread(_content, document.path)
        total = await drawer.total(content)
    except EngineNotLoaded:
        raise
    except (MeshError, OSError) as error:
        yield Unreadable(document.id, f"{document.path.name} cannot be read. {_words(error)}")
        return
    for first in range(0, total, AT_ONCE_MAX):
        drawn: list[Any]
        try:
            drawn = await drawer.draw(content, first, min(AT_ONCE_MAX, total - first))
        except EngineNotLoaded:
            raise
        except MeshError as error:
            drawn = [error] * min(AT_ONCE_MAX, total - first)
        for page, found in enumerate(drawn, first + 1):
            id = f"{document.id}:{page}" if content.startswith(_PDF) else document.id
            if isinstance(found, MeshError):
                yield Unreadable(id, f"Page {page} of {document.path.name} cannot be read. {found.message}")
            else:
                yield {"id": id, "page": found}


def _content(path: Path) -> bytes:
    """A file, no further than a document may be long: drawing refuses one that is longer. Raises OSError."""
    from mesh.workloads.pictures import FILE_BYTES_MAX

    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def _words(error: MeshError | OSError) -> str:
    return error.message if isinstance(error, MeshError) else f"{error.strerror or error}."
