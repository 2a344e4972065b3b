"""Pages: what travels to a reader of text. One page is a grey PNG of up to 2048 pixels a side, and nothing but that.

The requester's files become such pages in a process of the requester's own (``pages_engine``), so that no worker ever
decodes what people were sent: it gets plain pixels in a form that is checked to the last chunk.

Drawing a document's pages: manifest ``{"first", "count"}`` and one blob, the file. Result: manifest ``{"total",
"pages"}`` (``Drawn``), and one blob per page without an error, in order.

Touches: nothing (the engine is imported by ``load``).
"""

import struct
from typing import Any

import msgspec

from mesh.protocol.values import Unit
from mesh.units import MIB
from mesh.workloads.contract import BadInput, Payload, Unstreamed
from mesh.workloads.pictures import PNG_MARK, Size, kind_of

SIDE_MAX = 2048
"""Pixels of a page's longer side: A4 at 175 dpi, more than the reader gains from."""

DPI = 150
"""PDF pages are drawn so: text of 6 points is 12 pixels high, and A4 has 1240 x 1754."""

PAGE_BYTES_MAX = 5 * MIB
"""2048 x 2048 grey pixels that no compression helps take 4.2 MB."""

CHUNKS_MAX = 4096
DOCUMENT_PAGES_MAX = 500
"""Pages of one document: six minutes of one core."""

AT_ONCE_MAX = 8
"""Pages drawn by one request: 40 MB at most."""


class BadPage(BadInput):
    """A page is not a plain grey PNG of up to 2048 pixels a side. Let `mesh run ocr` or the gateway prepare it."""

    code = "input.page_invalid"


class TooManyPages(BadInput):
    """A document may have up to 500 pages. Split it into several."""

    code = "input.too_many_pages"
    kind = "too_large"


class PdfLocked(BadInput):
    """This PDF needs a password. Save it without one, and send it again."""

    code = "input.pdf_locked"


class TooCostly(BadInput):
    """Reading this page took more time or memory than a page may, and was stopped. Save it more plainly, try again."""

    code = "input.too_costly"
    kind = "too_large"


def page_size(page: bytes) -> Size:
    """The size of a page, checked chunk by chunk: 8-bit grey, nothing beside the picture. Raises BadPage."""
    if len(page) > PAGE_BYTES_MAX or not page.startswith(PNG_MARK):
        raise BadPage(bytes=len(page))
    at, names = len(PNG_MARK), list[bytes]()
    while at < len(page) and len(names) < CHUNKS_MAX:
        if at + 12 > len(page):
            raise BadPage(reason="chunk")
        length, name = struct.unpack_from(">I4s", page, at)
        names.append(name)
        at += 12 + length
    if at != len(page) or len(names) < 3 or names[0] != b"IHDR" or names[-1] != b"IEND":
        raise BadPage(reason="chunk")
    if set(names[1:-1]) != {b"IDAT"}:
        raise BadPage(reason="chunk")
    width, height, depth, colour, packing, filters, interlace = struct.unpack_from(">IIBBBBB", page, 16)
    if (depth, colour, packing, filters, interlace) != (8, 0, 0, 0, 0):
        raise BadPage(reason="form")
    if not (1 <= width <= SIDE_MAX and 1 <= height <= SIDE_MAX):
        raise BadPage(reason="size")
    return Size(width, height)


class DrawnPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page that was drawn, or why it was not (what ``MeshError.wire`` says). Pages are numbered from 1."""

    page: int
    width: int = 0
    height: int = 0
    error: dict[str, Any] | None = None


class Drawn(msgspec.Struct, frozen=True):
    """What drawing gave; ``total``: pages of the document."""

    total: int
    pages: tuple[DrawnPage, ...] = ()


class Pages(Unstreamed):
    """Drawing pages: the requester's own preparation, never offered to others."""

    name = "pages"
    unit: Unit = "page"
    deterministic = True
    default_model = "pages"
    apart = True
    assumed_s = 0.0

    def check(self, payload: Payload) -> None:
        """Refuse what is no document, or too many pages at once. Raises BadInput."""
        first, count = payload.manifest.get("first"), payload.manifest.get("count")
        if type(first) is not int or type(count) is not int or first < 0 or not 0 <= count <= AT_ONCE_MAX:
            raise BadInput("Pages are drawn by `first` and `count`.")
        if len(payload.blobs) != 1:
            raise BadInput("Pages are drawn from one document at a time.")
        kind_of(payload.blobs[0])

    def count(self, payload: Payload, result: Payload | None) -> int:
        """Pages that were asked for."""
        return int(payload.manifest["count"])

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse what does not fit: the drawing process has read strangers' bytes. Raises BadPage."""
        try:
            drawn = msgspec.convert(result.manifest, Drawn)
        except msgspec.ValidationError:
            raise BadPage(reason="result") from None
        whole = [page for page in drawn.pages if page.error is None]
        if not 1 <= drawn.total <= DOCUMENT_PAGES_MAX or len(whole) != len(result.blobs):
            raise BadPage(reason="result")
        asked = range(
            payload.manifest["first"], min(drawn.total, payload.manifest["first"] + self.count(payload, None))
        )
        if [page.page for page in drawn.pages] != [place + 1 for place in asked]:
            raise BadPage(reason="result")
        for page, content in zip(whole, result.blobs, strict=True):
            if page_size(content) != (page.width, page.height):
                raise BadPage(reason="result")

    def rehearsal(self, pieces: int) -> None:
        """Not measured: it is nobody's work but the requester's own."""

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """Not in batches."""
        raise BadInput

    def to_line(self, result: Payload) -> dict[str, Any]:
        """Not in batches."""
        raise BadInput
