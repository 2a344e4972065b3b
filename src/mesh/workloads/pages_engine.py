"""Drawing documents as pages: Pillow for pictures, PDFium for PDFs. Imported only in a process of its own.

Sizes are checked before anything is decoded. Scripts and forms of a PDF are never run: PDFium comes without an engine
for them. A page that cannot be drawn is that page's failure; what kills the process is its parent's business.

Touches: nothing beyond what it is given.
"""

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pypdfium2
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from mesh.errors import MeshError
from mesh.workloads.contract import Model, Payload, Piece, Say, Stop
from mesh.workloads.pages import DOCUMENT_PAGES_MAX, DPI, SIDE_MAX, BadPage, Drawn, DrawnPage, PdfLocked, TooManyPages
from mesh.workloads.pages import page_size as checked_size
from mesh.workloads.pictures import PIXELS_MAX, Unreadable, kind_of, size_of

POINTS_PER_INCH = 72
SMALL_SIDE = 1000
"""A picture that is smaller than this is drawn at twice its size: letters of screens are too low for the reader."""

NOISE_MIN = 3
"""Median difference to the picture without specks, of 255 steps, from which it counts as noisy: clean ones have 0."""

BANDS, BAND_ROWS = 8, 32
"""Where noise is looked for: bands over the whole width, all down the page. Specks are everywhere or nowhere, and a
look at every pixel takes as long as all the rest of a page's drawing."""

CUTOFF = 1
"""Percent of the darkest and brightest pixels that do not count when contrast is spread."""

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What a camera's note of its orientation asks for."""

_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, ZeroDivisionError)
"""What Pillow raises on damaged or lying files, beside MemoryError."""


class _Task(NamedTuple):
    """One page to be drawn; ``pdf`` None: the file is a picture."""

    content: bytes
    pdf: Any
    place: int
    total: int


class Drawing:
    """Draws pages, one after the other: PDFium knows one thread."""

    lanes = 1
    others_lanes = 1
    batch_pieces_max = 1
    batch_size_max = 1

    def __init__(self, model: Model) -> None:
        """There is no model."""
        Image.MAX_IMAGE_PIXELS = PIXELS_MAX
        Image.init()

    def cut(self, payload: Payload) -> Iterator[Piece]:
        """One piece per page that was asked for, and one that tells how many there are."""
        content = payload.blobs[0]
        kind = kind_of(content)
        pdf, total = None, 1
        if kind == "pdf":
            pdf = _opened(content)
            total = len(pdf)
            if total < 1:
                raise Unreadable(reason="no pages")
            if total > DOCUMENT_PAGES_MAX:
                raise TooManyPages(pages=total, limit=DOCUMENT_PAGES_MAX)
        else:
            size_of(kind, content)
        yield Piece(total, 1)
        first = payload.manifest["first"]
        for place in range(first, min(total, first + payload.manifest["count"])):
            yield Piece(_Task(content, pdf, place, total), 1)

    def work(self, lane: int, pieces: Sequence[Piece], stop: Stop, say: Say) -> list[Any]:
        """Draw a page: its PNG, or the error that it met."""
        return [piece.content if isinstance(piece.content, int) else _drawn(piece.content) for piece in pieces]

    def join(self, payload: Payload, pieces: Sequence[Piece], answers: Sequence[Any]) -> Payload:
        """The pages in order."""
        pages, blobs = [], []
        for place, answer in enumerate(answers[1:], start=payload.manifest["first"] + 1):
            if isinstance(answer, MeshError):
                pages.append(DrawnPage(place, error=answer.wire()))
            else:
                size = checked_size(answer)
                pages.append(DrawnPage(place, size.width, size.height))
                blobs.append(answer)
        return Payload({"total": answers[0], "pages": list(Drawn(answers[0], tuple(pages)).pages)}, tuple(blobs))


def _opened(content: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise PdfLocked from None
        raise Unreadable(reason="pdf") from None


def _drawn(task: _Task) -> bytes | MeshError:
    try:
        image = _picture(task.content) if task.pdf is None else _pdf_page(task.pdf, task.place)
        content = _png(_cleaned(image))
        checked_size(content)
        return content
    except MeshError as error:
        return error
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unreadable(reason="content")
    except pypdfium2.PdfiumError:
        return Unreadable(reason="pdf page")


def _picture(content: bytes) -> Image.Image:
    kind = kind_of(content)
    claimed = size_of(kind, content)
    image: Image.Image = Image.open(io.BytesIO(content), formats=(kind.upper(),))
    if image.size != claimed:
        raise Unreadable(reason="size")
    turn = image.getexif().get(ORIENTATION, 1)
    if kind == "jpeg":
        image.draft("L", (SIDE_MAX, SIDE_MAX))  # decoded at an eighth to full size, whichever is enough, and grey
    image.load()
    image = _grey(image)
    image = _scaled(image)
    upright = UPRIGHT.get(turn)
    return image if upright is None else image.transpose(upright)


def _grey(image: Image.Image) -> Image.Image:
    """Grey, with what is see-through on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        paper = Image.new("RGBA", seen.size, "white")
        paper.alpha_composite(seen)
        image = paper
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: by their own range, not cut at 255
        steps = image.convert("F")
        low, high = (float(bound) for bound in steps.getextrema() if not isinstance(bound, tuple))
        scale = 255 / ((high - low) or 1.0)
        return steps.point(lambda value: value * scale - low * scale).convert("L")
    return image.convert("L")


def _scaled(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest > SIDE_MAX:
        factor = SIDE_MAX / longest
    elif longest < SMALL_SIDE:
        factor = 2.0
    else:
        return image
    size = [max(1, min(SIDE_MAX, round(side * factor))) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def _cleaned(image: Image.Image) -> Image.Image:
    """Contrast spread over the whole range, and specks taken out where there are such."""
    image = ImageOps.autocontrast(image, cutoff=CUTOFF)
    looked_at = _bands(image)
    difference = ImageChops.difference(looked_at, looked_at.filter(ImageFilter.MedianFilter(3)))
    noisy = ImageStat.Stat(difference).median[0] >= NOISE_MIN
    return image.filter(ImageFilter.MedianFilter(3)) if noisy else image


def _bands(image: Image.Image) -> Image.Image:
    """Bands of a picture below each other; the whole one where it is not much higher than they are."""
    width, height = image.size
    if height <= 2 * BANDS * BAND_ROWS:
        return image
    bands = Image.new("L", (width, BANDS * BAND_ROWS))
    for number in range(BANDS):
        top = number * (height - BAND_ROWS) // (BANDS - 1)
        bands.paste(image.crop((0, top, width, top + BAND_ROWS)), (0, number * BAND_ROWS))
    return bands


def _pdf_page(pdf: Any, place: int) -> Image.Image:
    page = pdf[place]
    try:
        width, height = page.get_size()
        if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
            raise Unreadable(reason="page size")
        scale = min(DPI / POINTS_PER_INCH, SIDE_MAX / (max(width, height) + 1))
        if math.ceil(width * scale) > SIDE_MAX or math.ceil(height * scale) > SIDE_MAX:
            raise Unreadable(reason="page size")
        drawn = page.render(scale=scale, grayscale=True, may_draw_forms=False)
        image: Image.Image = drawn.to_pil()
        return image.convert("L")
    finally:
        page.close()


def _png(image: Image.Image) -> bytes:
    """A PNG of nothing but pixels, packed quickly."""
    plain = Image.frombytes("L", image.size, image.tobytes())
    out = io.BytesIO()
    plain.save(out, "PNG", compress_level=1)
    content = out.getvalue()
    if not content:
        raise BadPage
    return content
