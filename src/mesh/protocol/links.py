"""The link that a person or a device joins by: where, a secret in the fragment, and what to pin.

``URL/join#v1.SECRET.KEY.TLS``: the fragment never reaches a server by itself, so that previews and proxies which fetch
the URL learn and consume nothing. KEY is the coordinator's public key; TLS the SHA-256 of its certificate, or ``-``
where the URL is plain http on loopback or has a publicly trusted certificate.

Touches: nothing.
"""

import base64
import hashlib
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.signed import parse_key

SECRET_BYTES = 32
_FRAGMENT = re.compile(r"v1\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})\.(-|[0-9a-f]{64})")
LINK_LENGTH_MAX = 1024


class BadLink(MeshError):
    """This is not a Mesh link, or a part of it is missing. Copy the whole link, up to its very end, and try again."""

    code = "link.invalid"
    kind = "invalid"


class JoinLink(NamedTuple):
    """A parsed link. ``url`` has no path; ``tls_sha256`` is None where nothing is pinned."""

    url: str
    secret: str
    coordinator: DeviceKey
    tls_sha256: str | None

    def text(self) -> str:
        """The link as people pass it on."""
        return f"{self.url}/join#v1.{self.secret}.{self.coordinator}.{self.tls_sha256 or '-'}"


def parse(text: str) -> JoinLink:
    """Read a link. Raises BadLink (never echoing the secret)."""
    text = text.strip()
    if len(text) > LINK_LENGTH_MAX:
        raise BadLink
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadLink from error
    match = _FRAGMENT.fullmatch(parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path != "/join" or parts.query:
        raise BadLink
    if match is None or parts.username is not None or (port is None and ":" in parts.netloc.rpartition("]")[2]):
        raise BadLink
    secret, key, tls = match.groups()
    parse_key(key)
    return JoinLink(f"{parts.scheme}://{parts.netloc}", secret, DeviceKey(key), None if tls == "-" else tls)


def new_secret(randomness: bytes) -> str:
    """A secret's text from 32 random bytes."""
    assert len(randomness) == SECRET_BYTES
    return base64.urlsafe_b64encode(randomness).rstrip(b"=").decode()


def secret_hash(secret: str) -> str:
    """What the coordinator keeps of a secret: SHA-256 in hex (right for 256 random bits, needless to stretch)."""
    return hashlib.sha256(secret.encode()).hexdigest()
