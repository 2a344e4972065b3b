"""What a file says of itself is read with every offset checked; what travels as a page is nothing but grey pixels."""

import base64
import random
import struct
import zlib

import pytest

from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.ocr import NoPage, Ocr, TooManyPagesInJob
from mesh.workloads.pages import BadPage, Pages, page_size
from mesh.workloads.pictures import FileTooLarge, PictureTooLarge, UnknownKind, Unreadable, kind_of, size_of


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, *, depth=8, colour=0, interlace=0, extra=b"", data=b"x"):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width, height, before=b"", mark=0xC0):
    return b"\xff\xd8" + before + struct.pack(">BBHBHHB", 0xFF, mark, 17, 8, height, width, 3) + bytes(10)


def riff(name, content):
    return b"RIFF" + struct.pack("<I", len(content) + 12) + b"WEBP" + name + struct.pack("<I", len(content)) + content


def webp_extended(width, height, flags=0):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff(b"VP8X", bytes([flags, 0, 0, 0]) + size)


APP = b"\xff\xe1\x00\x06abcd"


@pytest.mark.parametrize(
    ("kind", "content", "size"),
    [
        ("png", png(640, 480), (640, 480)),
        ("jpeg", jpeg(640, 480, APP + b"\xff\xff" + APP[1:]), (640, 480)),
        ("jpeg", jpeg(12, 7, mark=0xC2), (12, 7)),
        ("webp", webp_extended(9000, 5000), (9000, 5000)),
        ("webp", riff(b"VP8L", b"\x2f" + struct.pack("<I", (100 - 1) | (50 - 1) << 14)), (100, 50)),
        ("webp", riff(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 320, 200)), (320, 200)),
    ],
)
def test_a_pictures_kind_and_size_are_read_from_its_head(kind, content, size):
    assert kind_of(content) == kind
    assert size_of(kind, content) == size


def test_a_pdf_is_known_by_its_mark_wherever_readers_look_for_it():
    assert kind_of(b"\r\n%PDF-1.4 ...") == "pdf"
    with pytest.raises(UnknownKind):
        kind_of(bytes(2000) + b"%PDF-1.4")


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"II*\0", b"<svg/>", b"RIFF\0\0\0\0WAVE", b"\x89PN"])
def test_anything_else_is_refused(content):
    with pytest.raises(UnknownKind):
        kind_of(content)


def test_more_pixels_than_may_be_decoded_are_refused_by_the_head_alone():
    for kind, content in [
        ("png", png(50_000, 50_000)),
        ("jpeg", jpeg(65_000, 65_000)),
        ("webp", webp_extended(16_000, 16_000)),
    ]:
        with pytest.raises(PictureTooLarge):
            size_of(kind, content)
    with pytest.raises(FileTooLarge):
        kind_of(bytes(33 << 20))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("png", png(0, 10)),
        ("png", b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", bytes(13))),
        ("jpeg", b"\xff\xd8\xff\xda\0\x08" + bytes(100)),
        ("jpeg", b"\xff\xd8\xff\xe1\0\0" + bytes(100)),
        ("jpeg", b"\xff\xd8" + APP * 5000),
        ("webp", webp_extended(10, 10, flags=0x02)),
        ("webp", riff(b"ALPH", bytes(20))),
    ],
)
def test_heads_that_lie_are_refused(kind, content):
    with pytest.raises(Unreadable):
        size_of(kind, content)


def test_cut_and_changed_heads_end_in_an_answer_or_a_refusal():
    seeded = random.Random(3)
    for whole in (png(640, 480), jpeg(640, 480, APP * 3), webp_extended(10, 10), riff(b"VP8L", bytes(20))):
        for _ in range(300):
            content = bytearray(whole[: seeded.randint(12, len(whole))])
            content[seeded.randrange(len(content))] = seeded.randrange(256)
            try:
                kind = kind_of(bytes(content))
                assert kind == "pdf" or size_of(kind, bytes(content)).width > 0
            except BadInput:
                pass


def test_a_page_is_a_grey_png_and_nothing_beside():
    assert page_size(png(2048, 1)) == (2048, 1)
    good = png(10, 10)
    bad = [
        png(2049, 1), png(1, 0), png(10, 10, depth=16), png(10, 10, colour=2), png(10, 10, interlace=1),
        png(10, 10, extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1000)))), good[:-1], good + b"x", good[:50],
        jpeg(10, 10), b"", good[:33] + chunk(b"IEND", b""), png(10, 10, data=bytes(6 << 20)),
        good[:33] + chunk(b"IDAT", b"x") * 5000 + chunk(b"IEND", b""),
    ]  # fmt: skip
    for content in bad:
        with pytest.raises(BadPage):
            page_size(content)


def test_a_job_has_some_pages_and_not_too_many():
    ocr, page = Ocr(), png(10, 10)
    ocr.check(Payload({}, (page,) * 64))
    assert ocr.count(Payload({}, (page,) * 3), None) == 3
    for payload, error in [
        (Payload({}), NoPage),
        (Payload({"texts": []}, (page,)), BadInput),
        (Payload({}, (page,) * 65), TooManyPagesInJob),
        (Payload({}, (page, b"no page")), BadPage),
    ]:
        with pytest.raises(error):
            ocr.check(payload)


def test_a_line_of_a_batch_is_a_page_and_nothing_else():
    ocr, page = Ocr(), png(10, 10)
    text = base64.b64encode(page).decode()
    assert ocr.from_line({"page": text}) == Payload({}, (page,))
    for fields in (
        {"image": text},
        {"page": text, "x": 1},
        {"page": 7},
        {"page": text[:-3]},
        {"page": "ÿ"},
        {"page": ""},
        {},
    ):
        with pytest.raises(BadInput):
            ocr.from_line(fields)
    assert ocr.to_line(Payload({"model": "m", "pages": [{"text": "hello"}]})) == {"text": "hello"}


def test_a_job_is_divided_page_by_page_and_united_in_order():
    ocr, pages = Ocr(), [png(10 + number, 10) for number in range(5)]
    parts = ocr.divide(Payload({}, tuple(pages)), 2)
    assert [part.blobs for part in parts] == [(page,) for page in pages]
    results = [Payload({"model": "m", "pages": [{"n": number}]}) for number in range(5)]
    assert ocr.unite(results).manifest["pages"] == [{"n": number} for number in range(5)]


def test_pages_are_drawn_from_one_document_and_few_at_once():
    drawing, page = Pages(), png(10, 10)
    drawing.check(Payload({"first": 0, "count": 8}, (page,)))
    for manifest, blobs in [
        ({"first": 0, "count": 9}, (page,)),
        ({"first": -1, "count": 1}, (page,)),
        ({"first": True, "count": 1}, (page,)),
        ({"count": 1}, (page,)),
        ({"first": 0, "count": 1}, (page, page)),
        ({"first": 0, "count": 1}, (b"text",)),
    ]:
        with pytest.raises(BadInput):
            drawing.check(Payload(manifest, blobs))


def test_what_the_drawing_process_says_must_fit_what_was_asked():
    drawing, page = Pages(), png(10, 10)
    asked = Payload({"first": 1, "count": 2}, (page,))
    one, two = {"page": 2, "width": 10, "height": 10}, {"page": 3, "error": {"code": "input.unreadable"}}
    drawing.check_result(asked, Payload({"total": 5, "pages": [one, two]}, (page,)))
    for manifest, blobs in [
        ({"total": 5, "pages": [one, two]}, ()),
        ({"total": 5, "pages": [one]}, (page,)),
        ({"total": 5, "pages": [two, one]}, (page,)),
        ({"total": 0, "pages": []}, ()),
        ({"total": 501, "pages": [one, two]}, (page,)),
        ({"total": 5, "pages": [{**one, "width": 11}, two]}, (page,)),
        ({"total": 5, "pages": [one, two]}, (b"junk",)),
        ({"pages": "none"}, ()),
    ]:
        with pytest.raises(BadPage):
            drawing.check_result(asked, Payload(manifest, blobs))
