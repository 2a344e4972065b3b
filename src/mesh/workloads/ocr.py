"""OCR: pages in, their text with boxes and confidences out.

Input: manifest ``{}`` and one blob per page, each as ``pages`` makes them. Result: manifest ``{"model", "pages"}``
(``Read``), one entry per page in order, and no blobs. Boxes are [left, top, right, bottom] in pixels of the page as it
was read, that is after it was turned by ``turned`` degrees clockwise. Counted in pages.

Touches: nothing.
"""

import base64
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from mesh.protocol.values import Unit
from mesh.units import KIB, MIB
from mesh.workloads.catalogue import OCR_DEFAULT
from mesh.workloads.contract import BadInput, Payload, Unstreamed
from mesh.workloads.pages import page_size
from mesh.workloads.pictures import Size

JOB_PAGES_MAX = 64
"""Pages of one job: half a minute of two cores. Documents are sent page by page."""

JOB_BYTES_MAX = 48 * MIB
"""All pages of a job: fits one frame to the engine's process."""

PAGE_TEXT_BYTES_MAX = 256 * KIB
"""UTF-8 bytes of a page's text: the densest pages of small print have some 15 KB."""

PAGE_LINES_MAX, LINE_WORDS_MAX = 2000, 2000
PAGE_S = 0.75
"""Seconds of one core that a full A4 page takes, until a device has its own figure: 0.55 to 0.81 s were measured."""


class NoPage(BadInput):
    """There is nothing to read: a job needs at least one page."""

    code = "input.no_page"


class BadReading(BadInput):
    """The worker's result does not fit the pages. It was not accepted; the job may be tried on another device."""

    code = "result.not_a_reading"
    kind = "failed"


class TooManyPagesInJob(BadInput):
    """A job may have up to 64 pages and 48 MiB. Send the document page by page, as `mesh run ocr` does."""

    code = "input.job_too_long"
    kind = "too_large"


class BadLine(BadInput):
    """A line of OCR is a page as `mesh batch submit` draws it. Give that command the documents themselves."""

    code = "input.page_line"


Box = tuple[int, int, int, int]


class Word(msgspec.Struct, frozen=True):
    """A word; ``confidence`` 0..1 as the model has it."""

    text: str
    confidence: float
    box: Box


class Line(msgspec.Struct, frozen=True):
    """A line of words."""

    text: str
    confidence: float
    box: Box
    words: tuple[Word, ...]


class Page(msgspec.Struct, frozen=True):
    """A page that was read. ``text``: its lines in reading order, an empty line between paragraphs."""

    width: int
    height: int
    turned: int
    confidence: float
    text: str
    lines: tuple[Line, ...]


class Read(msgspec.Struct, frozen=True):
    """A job's result."""

    model: str
    pages: tuple[Page, ...]


class Ocr(Unstreamed):
    """The pure part of the workload."""

    name = "ocr"
    unit: Unit = "page"
    deterministic = False  # versions of the reader differ by a letter in a hundred
    default_model = OCR_DEFAULT
    apart = True
    assumed_s = PAGE_S

    def check(self, payload: Payload) -> None:
        """Refuse what is not a list of pages, or breaks a limit above. Raises BadInput."""
        if payload.manifest:
            raise BadInput("OCR takes pages and nothing else.")
        if not payload.blobs:
            raise NoPage
        total = sum(len(blob) for blob in payload.blobs)
        if len(payload.blobs) > JOB_PAGES_MAX or total > JOB_BYTES_MAX:
            raise TooManyPagesInJob(pages=len(payload.blobs), bytes=total)
        for blob in payload.blobs:
            page_size(blob)

    def count(self, payload: Payload, result: Payload | None) -> int:
        """Pages; what is on them does not matter."""
        return len(payload.blobs)

    def check_result(self, payload: Payload, result: Payload) -> None:
        """Refuse a result of another shape, with boxes outside of their page, or without end. Raises BadReading."""
        read = read_of(result)
        if result.blobs or len(read.pages) != len(payload.blobs):
            raise BadReading(expected=len(payload.blobs))
        for blob, page in zip(payload.blobs, read.pages, strict=True):
            _check_page(page_size(blob), page)

    def rehearsal(self, pieces: int) -> None:
        """None: ``PAGE_S`` holds until the first real page was read."""

    def from_line(self, fields: dict[str, Any]) -> Payload:
        """``{"page": "..."}``: one page, in base64. Raises BadLine, BadPage."""
        page = fields.get("page")
        if set(fields) != {"page"} or not isinstance(page, str):
            raise BadLine
        try:
            payload = Payload({}, (base64.b64decode(page, validate=True),))
        except ValueError:
            raise BadLine from None
        self.check(payload)
        return payload

    def to_line(self, result: Payload) -> dict[str, Any]:
        """The page that was read: its text, confidence, turn, size and lines."""
        page: dict[str, Any] = result.manifest["pages"][0]
        return page

    def divide(self, payload: Payload, parts: int) -> list[Payload]:
        """One job per page, whatever ``parts`` says: a page is the least that may be done again elsewhere."""
        return [Payload({}, (blob,)) for blob in payload.blobs]

    def unite(self, results: Sequence[Payload]) -> Payload:
        """The pages of all results, in order."""
        pages = [page for result in results for page in result.manifest["pages"]]
        return Payload({"model": results[0].manifest["model"], "pages": pages})


def read_of(result: Payload) -> Read:
    """A result as typed values. Raises BadReading."""
    try:
        return msgspec.convert(result.manifest, Read)
    except msgspec.ValidationError:
        raise BadReading(reason="form") from None


def _check_page(size: Size, page: Page) -> None:
    upright = page.turned in (0, 180)
    if page.turned not in (0, 90, 180, 270):
        raise BadReading(reason="turned")
    if (page.width, page.height) != (size if upright else (size.height, size.width)):
        raise BadReading(reason="size")
    if len(page.lines) > PAGE_LINES_MAX or any(len(line.words) > LINE_WORDS_MAX for line in page.lines):
        raise BadReading(reason="length")
    pieces: list[Line | Word] = [*page.lines, *(word for line in page.lines for word in line.words)]
    texts = sum(len(piece.text) for piece in pieces)
    if len(page.text) > PAGE_TEXT_BYTES_MAX or texts > 2 * PAGE_TEXT_BYTES_MAX:
        raise BadReading(reason="length")
    confidences = [page.confidence, *(piece.confidence for piece in pieces)]
    if not all(math.isfinite(one) and 0 <= one <= 1 for one in confidences):
        raise BadReading(reason="confidence")
    for left, top, right, bottom in (piece.box for piece in pieces):
        if not (0 <= left <= right <= page.width and 0 <= top <= bottom <= page.height):
            raise BadReading(reason="box")
