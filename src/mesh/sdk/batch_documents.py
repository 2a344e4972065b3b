"""Documents as lines of a batch: the home's agent draws their pages, each of which is a line of its own.

A file that cannot be read, or a page that cannot be drawn, is a line that fails alone.

Touches: files (documents; a new file below the home's ``batches``), the agent's control socket.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mesh.errors import MeshError, from_wire
from mesh.sdk import control
from mesh.sdk.batch_input import BadLine, Bringing, Checked, Unreadable
from mesh.sdk.documents import FILES_BYTES_MAX, DrawFile, FilesTooLarge, NamedFile, PageDrawn
from mesh.sdk.home import Home

Document = Mapping[str, Any] | Path | str | NamedFile
"""A path; a name with its content; or an object that names its line as well: ``{"id": "a", "file": "scan.pdf"}``."""

SILENCE_S = 300.0
"""The pages that are drawn at once, each of which may take 15 seconds."""
_PDF = b"%PDF-"


def bring_documents(home: Home, given: Iterable[Document]) -> str:
    """Write the pages of documents into the home's folder of batches; returns the new file's name.

    Raises AgentAway, EngineNotLoaded where nothing can be drawn, and what ``batch_input`` refuses.
    """
    with closing(Bringing(home.batches)) as bringing:
        for number, document in enumerate(given, 1):
            for line in _lines(home, *_named(number, document)):
                bringing.add(line)
        return bringing.finish()


def named_file(file: Path | str | NamedFile) -> NamedFile:
    """A file as a job takes it, read where only its path is given. Raises FilesTooLarge, OSError."""
    if isinstance(file, NamedFile):
        return file
    path = Path(file)
    if path.stat().st_size > FILES_BYTES_MAX:
        raise FilesTooLarge
    return NamedFile(path.name, path.read_bytes())


def _named(number: int, document: Document) -> tuple[str | int, Path | NamedFile]:
    """The id of a document's line, and the document. Raises BadLine."""
    if isinstance(document, NamedFile):
        return document.name, document
    if not isinstance(document, Mapping):
        return Path(document).name, Path(document)
    file, id = document.get("file"), document.get("id", number)
    if not isinstance(file, str | Path | NamedFile) or not isinstance(id, str | int) or set(document) - {"id", "file"}:
        raise BadLine(f'Document {number} is no path, and no object such as {{"id": "a", "file": "scan.pdf"}}.')
    return id, Path(file) if isinstance(file, str) else file


def _lines(home: Home, id: str | int, document: Path | NamedFile) -> Iterator[Checked]:
    """The lines of one document: ``ID:PAGE`` of a PDF, its id alone of an image."""
    try:
        file = named_file(document)
        with closing(control.stream(home.control_socket, DrawFile(file), SILENCE_S)) as answers:
            for drawn in answers:
                if isinstance(drawn, PageDrawn):
                    yield _line(id, file, drawn)
    except OSError as error:
        yield Unreadable(id, f"{id} cannot be read. {error.strerror or error}.")
    except MeshError as error:
        if error.wire_kind not in ("invalid", "too_large"):
            raise  # so it would be for every document
        yield Unreadable(id, f"{id} cannot be read. {error.message}")


def _line(id: str | int, file: NamedFile, drawn: PageDrawn) -> Checked:
    name = f"{id}:{drawn.page}" if file.content.startswith(_PDF) else id
    if drawn.error is not None:
        return Unreadable(name, f"Page {drawn.page} of {id} cannot be read. {from_wire(drawn.error).message}")
    return {"id": name, "page": drawn.picture}
