"""What a command line and its agent say to each other about documents to be read (OCR).

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId
from mesh.protocol.values import Need, PathKind, Routing, Sensitivity
from mesh.sdk.lines import Answer, Request
from mesh.units import MIB

FILES_MAX = 256
FILES_BYTES_MAX = 40 * MIB
"""All files of one request: what fits a line to the agent, written as text."""


class FilesTooLarge(MeshError):
    """All files of one request may have up to 40 MiB together, and be 256. Send them in several."""

    code = "input.files_too_large"
    kind = "too_large"


class NamedFile(msgspec.Struct, frozen=True):
    """A file; its name stays with its owner, devices never see it."""

    name: str
    content: bytes


class ReadFiles(Request, frozen=True):
    """Read the text of images and PDFs. Answered by a ``PageRead`` per page in order, and ``ReadEnd``.

    ``max_cost``: for all pages together. ``limit_s``: for each.
    """

    files: tuple[NamedFile, ...]
    model: str | None = None
    sensitivity: Sensitivity = "private"
    routing: Routing = Routing()
    max_cost: int | None = None
    limit_s: float = 600.0
    need: Need = Need()
    wait: bool = False
    """Where no device may read a page now: wait for one. ``Waiting`` lines say why, until it goes on."""


class DrawFile(Request, frozen=True):
    """Draw a document as pages, which nobody reads yet. Answered by a ``PageDrawn`` per page in order, and ``ReadEnd``.

    A file that is no document is refused.
    """

    file: NamedFile


class AttemptLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of a job: where, over which path, and with which code it ended (empty: used)."""

    device: DeviceId
    attempt: int
    path: str = ""
    code: str = ""


class PartLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the jobs that a large one was cut into: where it was done, over which path, for what (micro-credits)."""

    job: JobId
    device: DeviceId
    path: str
    charge: int


class PageRead(Answer, frozen=True):
    """One page: what was read (``workloads.ocr.Page`` as JSON), or the error that it met (a MeshError's wire form)."""

    file: str
    page: int
    job: JobId = JobId("")
    device: DeviceId = DeviceId("")
    path: PathKind | None = None
    charge: int = 0
    model: str = ""
    read: dict[str, Any] | None = None
    attempts: tuple[AttemptLine, ...] = ()
    error: dict[str, Any] | None = None


class PageDrawn(Answer, frozen=True):
    """One page as a picture (PNG), or the error that it met (a MeshError's wire form)."""

    page: int
    picture: bytes = b""
    error: dict[str, Any] | None = None


class ReadEnd(Answer, frozen=True):
    """All pages were told."""

    pages: int


AnyDocumentRequest = ReadFiles | DrawFile
AnyDocumentAnswer = PageRead | PageDrawn | ReadEnd
