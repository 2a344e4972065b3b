"""The built pages' files: read once each, compressed once, served under a policy that lets a page load only its own.

Touches: files in the package (reads).
"""

import gzip
import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mesh.errors import MeshError

BUILT = Path(__file__).parent / "built"
ASSETS = "/assets/"
"""Files below it carry a hash of their content in their names: they never change."""
LOOSE = ("theme.js", "mark.svg")
"""Files beside them with plain names."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_PACKED = (".woff", ".woff2")  # fonts are compressed already
Headers = list[tuple[bytes, bytes]]


class PagesMissing(MeshError):
    """The pages of this installation were not built. In a checkout: python3 dev.py web, then start again."""

    code = "pages.missing"
    kind = "unavailable"


class File(NamedTuple):
    """A file as it is sent: its type, its content, and that compressed (None where it would not help)."""

    kind: str
    body: bytes
    packed: bytes | None
    tag: str


class Files:
    """The files of one page: ``entry`` (``dashboard.html`` or ``agent.html``), and what it loads."""

    def __init__(self, entry: str, folder: Path = BUILT) -> None:
        self._entry = entry
        self._folder = folder
        self._read: dict[str, File] = {}

    @property
    def there(self) -> bool:
        """Whether the page was built."""
        return (self._folder / self._entry).exists()

    @cached_property
    def _names(self) -> frozenset[str]:
        """The addresses that there are: nothing that a client writes ever becomes a path. Raises PagesMissing."""
        if not self.there:
            raise PagesMissing
        assets = (file.name for file in (self._folder / ASSETS.strip("/")).iterdir() if file.suffix in TYPES)
        return frozenset((*(f"{ASSETS}{name}" for name in assets), *(f"/{name}" for name in LOOSE)))

    def entry(self) -> File:
        """The page itself. Raises PagesMissing."""
        assert self._names is not None
        return self._file(self._entry)

    def find(self, path: str) -> File | None:
        """The file at an address, None where there is none. Raises PagesMissing."""
        return self._file(path[1:]) if path in self._names else None

    def _file(self, name: str) -> File:
        found = self._read.get(name)
        if found is None:
            path = self._folder / name
            body = path.read_bytes()
            packed = None if path.suffix in _PACKED else gzip.compress(body, 9, mtime=0)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found = self._read[name] = File(TYPES[path.suffix], body, packed, tag)
        return found


def respond(file: File, path: str, asked: Iterable[tuple[bytes, bytes]]) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an answer; ``asked`` are the request's headers (names in lower case)."""
    wants = {name: value for name, value in asked if name in (b"accept-encoding", b"if-none-match")}
    lasting = path.startswith(ASSETS)
    headers: Headers = [
        (b"content-type", file.kind.encode()),
        (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"no-cache"),
        (b"content-security-policy", POLICY.encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"etag", file.tag.encode()),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        (b"referrer-policy", b"no-referrer"),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if wants.get(b"if-none-match") == file.tag.encode():
        return 304, headers, b""
    body = file.body
    if file.packed is not None and b"gzip" in wants.get(b"accept-encoding", b""):
        headers.append((b"content-encoding", b"gzip"))
        body = file.packed
    headers.append((b"content-length", str(len(body)).encode()))
    return 200, headers, body
