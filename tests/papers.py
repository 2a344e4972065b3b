"""Pages with known text, drawn for tests in the font that comes with Pillow.

Touches: nothing (memory).
"""

import io
import random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

A4_150 = (1240, 1754)
WORDS = (
    *("invoice", "harbour", "paper", "office", "engine", "river", "seven", "boxes", "total", "amount", "address"),
    *("customer", "delivery", "payment", "received", "Friday", "quarter", "balance", "machine", "window", "letter"),
    *("answer", "question", "morning", "evening", "number", "against", "before", "through"),
)


def lines_of_text(count: int, seed: int = 1) -> list[str]:
    """Lines as of a letter, with names, numbers and marks."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        words = [draw.choice(WORDS) for _ in range(7)]
        words[0] = words[0].capitalize()
        lines.append(f"{' '.join(words)}, {draw.randint(10, 9999)}.{draw.randint(10, 99)} of {number + 1}.")
    return lines


def a_page(lines: list[str], size: tuple[int, int] = A4_150, letters: int = 28) -> Image.Image:
    """Black on white, ``letters`` pixels high."""
    page = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=letters)
    for number, line in enumerate(lines):
        draw.text((80, 100 + number * int(letters * 2.2)), line, fill=0, font=font)
    return page


def a_noisy_page(lines: list[str]) -> Image.Image:
    """The same as a bad scan: crooked, blurred, grey, with specks."""
    page = a_page(lines).rotate(0.8, expand=False, fillcolor=255).filter(ImageFilter.GaussianBlur(0.8))
    page = page.point(lambda value: 60 + value * 150 // 255)
    specks = Image.effect_noise(page.size, 40)
    return Image.blend(page, specks, 0.12)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def a_pdf(pages: list[Image.Image]) -> bytes:
    """Pictures as a PDF of that many pages, 150 dots an inch."""
    out = io.BytesIO()
    pages[0].save(out, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    return out.getvalue()


def accuracy(read: str, written: list[str]) -> float:
    """The share of characters that are right: 1 - edit distance / length, runs of blanks counted as one."""
    one, other = " ".join(read.split()), " ".join(" ".join(written).split())
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, row[0] = row[0], place
        for column, wanted in enumerate(other, start=1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (letter != wanted))
    return 1 - row[-1] / len(other)


def pdf_of(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue."""
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    return out + b"trailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, start)


CATALOGUE, ONE_PAGE = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
LOCKED = pdf_of(
    CATALOGUE,
    ONE_PAGE,
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]>>",
    b"<</Filter/Standard/V 1/R 2/P -44/O<%s>/U<%s>>>" % (b"11" * 32, b"22" * 32),
    trailer=b"/Encrypt 4 0 R/ID[<00><00>]",
)
"""A PDF that needs a password."""
