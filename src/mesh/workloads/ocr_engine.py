"""The engine of OCR: Tesseract through tesserocr, one instance and one thread per lane. Imported only in its process.

A page that reads badly may lie on its side or stand on its head: then its orientation is found, it is turned and read
again, and the better reading counts. Pages that read well cost nothing more.

Touches: model files, links to them in the process's own folder.
"""

import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import tesserocr
from PIL import Image

from mesh.workloads.contract import BadInput, Model, Payload, Piece, Say, Stop
from mesh.workloads.ocr import LINE_WORDS_MAX, PAGE_LINES_MAX, Line, Page, Word
from mesh.workloads.pages import DPI, page_size

TURN_BELOW = 0.7
"""Mean confidence under which a page's orientation is looked at: clean pages have over 0.9, turned ones under 0.5."""

ORIENTATION_MIN = 1.0
"""How sure the detector must be: 12 to 19 on pages with a few lines, under 1 on noise."""

TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
PAGE_LIMIT_MS = 120_000
"""The worst real page took 8 s; the job's own limit is the parent's business."""


class PageTooHard(BadInput):
    """Reading this page took over two minutes and was stopped. Cut it into parts, or save it with less resolution."""

    code = "input.page_too_hard"
    kind = "timed_out"


class Tesseract:
    """Tesseract with its fast models. ``lanes`` pages are read at once."""

    batch_pieces_max = 1
    batch_size_max = 1

    def __init__(self, model: Model) -> None:
        """Load one instance, so that what is wrong shows now; the other lanes load theirs with their first page."""
        self.lanes = self.others_lanes = model.lanes
        self._model = model.id
        self._language = str(model.settings["language"])
        self._folder = os.path.join(os.getcwd(), "tessdata")
        os.mkdir(self._folder)
        for name, path in model.files.items():  # it looks for files by their names
            os.symlink(path, os.path.join(self._folder, name))
        self._readers: dict[int, Any] = {0: self._reader()}

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """One piece per page."""
        for page in payload.blobs:
            yield Piece(page, 1)

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop, say: Say) -> list[Page]:
        """Read one page. It cannot be stopped half-way: a page ends within a second or two, or with its process."""
        return [self._read(lane, piece.content) for piece in pieces]

    def join(self, payload: Payload, pieces: Sequence[Piece], answers: Sequence[Page]) -> Payload:
        """The pages in order."""
        return Payload({"model": self._model, "pages": list(answers)})

    def _reader(self) -> Any:
        return tesserocr.PyTessBaseAPI(
            path=self._folder, lang=self._language, psm=tesserocr.PSM.AUTO, oem=tesserocr.OEM.LSTM_ONLY
        )

    def _read(self, lane: int, content: bytes) -> Page:
        page_size(content)
        image = Image.open(io.BytesIO(content), formats=("PNG",))
        try:
            image.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise BadInput("A page's picture is damaged. Send it again.") from error
        reader = self._readers.get(lane)
        if reader is None:
            reader = self._readers[lane] = self._reader()
        page = _recognised(reader, image, 0)
        if page.confidence >= TURN_BELOW:
            return page
        turned = self._orientation(image)
        if not turned:
            return page
        again = _recognised(reader, image.transpose(TURNS[360 - turned]), turned)
        return max(page, again, key=lambda one: one.confidence)

    def _orientation(self, image: Image.Image) -> int:
        """By how many degrees, clockwise, a page must be turned to stand upright; 0 where that is not clear."""
        with tesserocr.PyTessBaseAPI(path=self._folder, lang="osd", psm=tesserocr.PSM.OSD_ONLY) as finder:
            finder.SetImage(image)
            finder.SetSourceResolution(DPI)
            found = finder.DetectOrientationScript()
        if not found or found["orient_conf"] < ORIENTATION_MIN:
            return 0
        return (360 - int(found["orient_deg"])) % 360


def _recognised(reader: Any, image: Image.Image, turned: int) -> Page:
    reader.SetImage(image)
    reader.SetSourceResolution(DPI)
    try:
        if not reader.Recognize(timeout=PAGE_LIMIT_MS):
            raise PageTooHard
        lines = list(_lines(reader.GetIterator()))
        # the iterator of a page without any text exists too, and has nothing in it
        text = reader.GetUTF8Text().rstrip("\n") if lines else ""
    finally:
        reader.Clear()
    words = [word for line in lines for word in line.words]
    letters = sum(len(word.text) for word in words)
    confidence = sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0
    return Page(image.width, image.height, turned, confidence, text, tuple(lines))


def _lines(iterator: Any) -> Iterator[Line]:
    words: list[Word] = []
    count = 0
    for found in tesserocr.iterate_level(iterator, tesserocr.RIL.WORD) if iterator is not None else ():
        if words and found.IsAtBeginningOf(tesserocr.RIL.TEXTLINE):
            yield _line(words)
            words, count = [], count + 1
        if count >= PAGE_LINES_MAX:
            return
        if found.Empty(tesserocr.RIL.WORD) or len(words) >= LINE_WORDS_MAX:
            continue
        text = found.GetUTF8Text(tesserocr.RIL.WORD).strip()
        box = found.BoundingBox(tesserocr.RIL.WORD)
        if text and box is not None:
            words.append(Word(text, min(1.0, max(0.0, found.Confidence(tesserocr.RIL.WORD) / 100)), tuple(box)))
    if words:
        yield _line(words)


def _line(words: Sequence[Word]) -> Line:
    boxes = [word.box for word in words]
    box = (
        min(one[0] for one in boxes),
        min(one[1] for one in boxes),
        max(one[2] for one in boxes),
        max(one[3] for one in boxes),
    )
    confidence = sum(word.confidence for word in words) / len(words)
    return Line(" ".join(word.text for word in words), confidence, box, tuple(words))
