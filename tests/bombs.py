"""Files made to harm whoever opens them: small ones that claim or become huge, that lie, loop, or end too early.

Touches: nothing (memory).
"""

import struct
import zlib
from collections.abc import Callable
from functools import cache

from papers import CATALOGUE, ONE_PAGE, a_page, a_pdf, encoded, pdf_of

PNG = b"\x89PNG\r\n\x1a\n"
MIB = 1 << 20


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@cache
def zeros(size: int) -> bytes:
    """So many zero bytes, packed to a thousandth."""
    packer = zlib.compressobj(9)
    block = bytes(MIB)
    return (
        b"".join([packer.compress(block) for _ in range(size // MIB)])
        + packer.compress(bytes(size % MIB))
        + packer.flush()
    )


def png(width, height, data, *extra, depth=8, colour=0, interlace=0):
    """A PNG that says of itself what one likes."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return PNG + chunk(b"IHDR", head) + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb(size):
    return chunk(b"zTXt", b"k\0\0" + zeros(size))


def jpeg_frame(width, height, mark=0xC0):
    return struct.pack(">BBHBHHB", 0xFF, mark, 11, 8, height, width, 1) + b"\x01\x11\x00"


def riff(*parts):
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width, height, flags=0):
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def stream(content, entries=b""):
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)


def one_page_pdf(content, resources=b"", box=b"0 0 300 300", *more):
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<%s>>>>" % (box, resources)
    return pdf_of(CATALOGUE, ONE_PAGE, page, stream(content), *more)


def a_form(content, resources=b""):
    return stream(content, b"/Type/XObject/Subtype/Form/BBox[0 0 300 300]/Resources<<%s>>" % resources)


def deep_tree(levels):
    kids = [b"<</Type/Pages/Kids[%d 0 R]/Count 1>>" % (number + 3) for number in range(levels)]
    return pdf_of(CATALOGUE, *kids, b"<</Type/Page/MediaBox[0 0 9 9]>>")


def laughs(levels):
    """Forms that each draw the next ten times."""
    forms = [a_form(b"/X Do " * 10, b"/XObject<</X %d 0 R>>" % (number + 6)) for number in range(levels)]
    return one_page_pdf(b"/X Do", b"/XObject<</X 5 0 R>>", b"0 0 300 300", *forms, a_form(b"0 0 1 1 re f"))


def nested_packing(size, times):
    content = bytes(1)
    packed = zeros(size)
    for _ in range(times - 1):
        packed = zlib.compress(packed, 9)
    assert content
    filters = b"/Filter[%s]" % (b"/FlateDecode" * times)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R>>"
    return pdf_of(CATALOGUE, ONE_PAGE, page, stream(packed, filters))


def an_image(width, height, data, entries=b""):
    head = b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/ColorSpace/DeviceRGB" % (width, height)
    image = stream(data, head + entries)
    return one_page_pdf(b"300 0 0 300 0 0 cm /I Do", b"/XObject<</I 5 0 R>>", b"0 0 300 300", image)


def with_action(action):
    catalogue = b"<</Type/Catalog/Pages 2 0 R/OpenAction<<%s>>>>" % action
    return pdf_of(catalogue, ONE_PAGE, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]>>")


def boxed(box):
    return one_page_pdf(b"0 0 9 9 re f", b"", box)


def bombs() -> dict[str, Callable[[], bytes]]:
    """All of them, by name; making one takes up to a second."""
    whole_png, whole_jpeg = encoded(a_page(["x"], (400, 300)), "PNG"), encoded(a_page(["x"], (400, 300)), "JPEG")
    whole_webp, whole_pdf = encoded(a_page(["x"], (400, 300)), "WEBP"), a_pdf([a_page(["x"], (400, 300))])
    app = b"\xff\xe1" + struct.pack(">H", 60_000) + bytes(59_998)
    notes = b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\x08" * 200
    notes = b"\xff\xe1" + struct.pack(">H", len(notes) + 2) + notes
    looping_table = b"\ntrailer\n<</Root 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF"
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    tiles = b"/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 0.0001/YStep 0.0001/Resources<<>>"
    looping = b"{ 1 1 1000000 { pop 2 sqrt pop } for }"
    shade = b"/FunctionType 4/Domain[0 1 0 1]/Range[0 1]"
    return {
        "png 50k x 50k": lambda: png(50_000, 50_000, zlib.compress(b"x")),
        "png at the limit": lambda: png(10_000, 10_000, zeros(10_001 * 10_000)),
        "png in colour and 16 bits": lambda: png(9_000, 9_000, zeros(10 * MIB), depth=16, colour=6),
        "png with more data than pixels": lambda: png(10, 10, zeros(256 * MIB)),
        "png with a text bomb": lambda: png(10, 10, zeros(110), text_bomb(256 * MIB)),
        "png with many text bombs": lambda: png(10, 10, zeros(110), *[text_bomb(MIB) for _ in range(200)]),
        "png with a bomb in its colours": lambda: png(10, 10, zeros(110), chunk(b"iCCP", b"p\0\0" + zeros(256 * MIB))),
        "png with a bomb in unicode": lambda: png(
            10, 10, zeros(110), chunk(b"iTXt", b"k\0\x01\0\0\0" + zeros(256 * MIB))
        ),
        "png within a png's packing": lambda: png(10, 10, zlib.compress(zeros(256 * MIB))),
        "png with too few pixels": lambda: png(5_000, 5_000, zlib.compress(bytes(100))),
        "png interlaced": lambda: png(9_000, 9_000, zeros(20 * MIB), interlace=1),
        "png of no width": lambda: png(0, 10, zeros(10)),
        "png with an endless chunk": lambda: png(9, 9, b"")[:33] + b"\xff\xff\xff\xffIDAT",
        "png with endless frames": lambda: png(10, 10, zeros(110), chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        "png without its palette": lambda: png(100, 100, zeros(10_100), colour=3),
        "png cut": lambda: whole_png[: len(whole_png) // 2],
        "jpeg 65k x 65k": lambda: b"\xff\xd8" + jpeg_frame(65_500, 65_500) + bytes(100),
        "jpeg without an end": lambda: b"\xff\xd8" + jpeg_frame(9_900, 9_900, 0xC2) + scan + bytes(99),
        "jpeg with two frames": lambda: b"\xff\xd8" + jpeg_frame(10, 10) + jpeg_frame(60_000, 60_000) + bytes(100),
        "jpeg of notes alone": lambda: b"\xff\xd8" + app * 200,
        "jpeg with looping notes": lambda: whole_jpeg[:2] + notes + whole_jpeg[2:],
        "jpeg cut": lambda: whole_jpeg[: len(whole_jpeg) // 2],
        "webp with a huge canvas": lambda: riff((b"VP8X", canvas(16_384, 16_384))),
        "webp with a lying canvas": lambda: riff((b"VP8X", canvas(9_000, 9_000)), (b"VP8 ", whole_webp[20:])),
        "webp that moves": lambda: riff((b"VP8X", canvas(9_000, 9_000, 2)), (b"ANIM", bytes(6))),
        "webp without its pixels": lambda: riff((b"VP8L", b"\x2f" + struct.pack("<I", 9_000 | 9_000 << 14) + bytes(9))),
        "webp with a lying length": lambda: whole_webp[:4] + b"\xff\xff\xff\x7f" + whole_webp[8:],
        "webp cut": lambda: whole_webp[: len(whole_webp) // 2],
        "pdf with a script": lambda: with_action(b"/S/JavaScript/JS(while(true){})"),
        "pdf that starts a program": lambda: with_action(b"/S/Launch/F(/bin/sh)"),
        "pdf that opens an address": lambda: with_action(b"/S/URI/URI(http://127.0.0.1:1/)"),
        "pdf with a deep tree of pages": lambda: deep_tree(20_000),
        "pdf with a tree in itself": lambda: pdf_of(CATALOGUE, b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
        "pdf with a lying count": lambda: pdf_of(CATALOGUE, b"<</Type/Pages/Kids[]/Count 2147483647>>"),
        "pdf of 501 pages": lambda: pdf_of(
            CATALOGUE, b"<</Type/Pages/Kids[%s]/Count 501>>" % (b"3 0 R " * 501), b"<</Type/Page/MediaBox[0 0 9 9]>>"
        ),
        "pdf as wide as a country": lambda: boxed(b"0 0 1e9 1e9"),
        "pdf as a thread": lambda: boxed(b"0 0 1e9 0.001"),
        "pdf without a size": lambda: boxed(b"0 0 0 0"),
        "pdf of less than nothing": lambda: boxed(b"9 9 -1e38 -1e38"),
        "pdf with a form in itself": lambda: one_page_pdf(
            b"/X Do", b"/XObject<</X 5 0 R>>", b"0 0 300 300", a_form(b"/X Do", b"/XObject<</X 5 0 R>>")
        ),
        "pdf with a billion laughs": lambda: laughs(9),
        "pdf packed thrice": lambda: nested_packing(256 * MIB, 3),
        "pdf with a huge picture": lambda: an_image(50_000, 50_000, b"x"),
        "pdf with a picture bomb": lambda: an_image(20_000, 20_000, zeros(256 * MIB), b"/Filter/FlateDecode"),
        "pdf with a million lines": lambda: one_page_pdf(b"0 0 m 300 300 l S " * 300_000),
        "pdf with endless tiles": lambda: one_page_pdf(
            b"/Pattern cs /P scn 0 0 300 300 re f",
            b"/Pattern<</P 5 0 R>>",
            b"0 0 300 300",
            stream(b"0 0 1 1 re f", tiles),
        ),
        "pdf with a long shade": lambda: one_page_pdf(
            b"/S sh",
            b"/Shading<</S<</ShadingType 1/ColorSpace/DeviceGray/Function 5 0 R/Matrix[300 0 0 300 0 0]>>>>",
            b"0 0 300 300",
            stream(looping, shade),
        ),
        "pdf whose table points to itself": lambda: whole_pdf[:-6] + looping_table,
        "pdf of its mark alone": lambda: b"%PDF-1.7\n" + bytes(100_000),
        "pdf cut": lambda: whole_pdf[: len(whole_pdf) // 2],
    }  # fmt: skip
