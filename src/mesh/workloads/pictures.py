"""Files that may hold pictures of text, judged by their first bytes: which kind they are, how large they claim to be.

Nothing is decoded: only headers are read, and every offset is checked. A header may lie, so whoever decodes the rest
does it in a process of its own.

Touches: nothing.
"""

import struct
from typing import Literal, NamedTuple

from mesh.units import MIB
from mesh.workloads.contract import BadInput

Kind = Literal["png", "jpeg", "webp", "pdf"]

FILE_BYTES_MAX = 32 * MIB
"""One file: a scan of a hundred pages takes some 20 MB."""

PIXELS_MAX = 100_000_000
"""A page of 100 million pixels takes 400 MB while it is decoded: the most that fits the reading process's memory twice.
A3 at 600 dpi has 70 million, a phone's largest photos 50 to 108 million."""

SEGMENTS_MAX = 4096
"""Parts of a JPEG before its frame header: real ones have a few dozen."""

PDF_WITHIN = 1024
"""A PDF's mark is within its first 1024 bytes, as readers allow."""

PNG_MARK = b"\x89PNG\r\n\x1a\n"
_FRAME_MARKS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKS = frozenset([0x01, *range(0xD0, 0xD9)])


class UnknownKind(BadInput):
    """This is no PNG, JPEG, WebP or PDF. Convert it to one of them, and send it again."""

    code = "input.kind_unknown"


class FileTooLarge(BadInput):
    """A file may have up to 32 MiB. Split the document, or save it with less resolution."""

    code = "input.file_too_large"
    kind = "too_large"


class PictureTooLarge(BadInput):
    """The picture says that it has more pixels than may be read (100 million). Save it with less resolution."""

    code = "input.picture_too_large"
    kind = "too_large"


class Unreadable(BadInput):
    """This file could not be read: it is damaged, or not what it says it is. Save it anew, and send it again."""

    code = "input.unreadable"


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def kind_of(content: bytes) -> Kind:
    """What a file is, by its own mark: names and media types are not asked. Raises UnknownKind, FileTooLarge."""
    if len(content) > FILE_BYTES_MAX:
        raise FileTooLarge(bytes=len(content), limit=FILE_BYTES_MAX)
    if content.startswith(PNG_MARK):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if b"%PDF-" in content[:PDF_WITHIN]:
        return "pdf"
    raise UnknownKind


def size_of(kind: Kind, content: bytes) -> Size:
    """What a picture's header claims, refused where that is too much. Raises Unreadable, PictureTooLarge."""
    try:
        size = {"png": _png, "jpeg": _jpeg, "webp": _webp}[kind](content)
    except (struct.error, IndexError):
        raise Unreadable(reason="header") from None
    if size.width < 1 or size.height < 1:
        raise Unreadable(reason="header")
    if size.width * size.height > PIXELS_MAX:
        raise PictureTooLarge(width=size.width, height=size.height, limit=PIXELS_MAX)
    return size


def _png(content: bytes) -> Size:
    length, name, width, height = struct.unpack_from(">I4sII", content, len(PNG_MARK))
    if length != 13 or name != b"IHDR":
        raise Unreadable(reason="header")
    return Size(width, height)


def _jpeg(content: bytes) -> Size:
    """The first frame header; what stands before it is skipped, segment by segment."""
    at = 2
    for _ in range(SEGMENTS_MAX):
        if content[at] != 0xFF:
            raise Unreadable(reason="header")
        mark = content[at + 1]
        if mark == 0xFF:  # padding
            at += 1
        elif mark in _FRAME_MARKS:
            _, _, height, width = struct.unpack_from(">HBHH", content, at + 2)
            return Size(width, height)
        elif mark in _STANDALONE_MARKS:
            at += 2
        else:
            length = struct.unpack_from(">H", content, at + 2)[0]
            if mark in (0xD9, 0xDA) or length < 2:  # the picture begins, or ends, without a frame
                raise Unreadable(reason="header")
            at += 2 + length
    raise Unreadable(reason="header")


def _webp(content: bytes) -> Size:
    name = content[12:16]
    if name == b"VP8X":
        flags = int.from_bytes(content[20:21])
        if len(content) < 30 or flags & 0x02:  # a moving picture holds many canvases
            raise Unreadable(reason="animated" if flags & 0x02 else "header")
        return Size(int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1)
    if name == b"VP8L":
        signature, bits = struct.unpack_from("<BI", content, 20)
        if signature != 0x2F:
            raise Unreadable(reason="header")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if name == b"VP8 ":
        start, width, height = struct.unpack_from("<3sHH", content, 23)
        if start != b"\x9d\x01\x2a":
            raise Unreadable(reason="header")
        return Size(width & 0x3FFF, height & 0x3FFF)
    raise Unreadable(reason="header")
