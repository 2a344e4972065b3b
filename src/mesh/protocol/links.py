"""The link that a person or a device joins by: where, a secret in the fragment, and what to pin.

``URL/join#v1.SECRET.KEY.TLS[.NETWORK[.MORE]]``: the fragment never reaches a server by itself, so that previews and
proxies which fetch the URL learn and consume nothing. KEY is the coordinator's public key. TLS is the
SHA-256 of its certificate, or ``-`` where the URL is plain http on loopback or has a publicly trusted certificate.
NETWORK is the network's public key, or ``-``. MORE holds further addresses of the same coordinator, tried in order, as
the base64url of their text.

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
_FRAGMENT = re.compile(
    r"v1\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})\.(-|[0-9a-f]{64})"
    r"(?:\.(-|[0-9a-f]{64})(?:\.([A-Za-z0-9_-]{1,512}))?)?"
)
LINK_LENGTH_MAX = 1024
MORE_MAX = 4
"""Further addresses in a link: a machine's networks, by wire, by air, by tunnel; a QR code still shows them."""


class BadLink(MeshError):
    """This is not a Mesh link, or a part of it is missing. Copy the whole link, up to its very end, and try again."""

    code = "link.invalid"
    kind = "invalid"


class JoinLink(NamedTuple):
    """A parsed link. ``url`` has no path; ``tls_sha256`` is None where nothing is pinned.

    ``network_key`` is None in links that lead into no network yet; ``more`` are further URLs of the same coordinator.
    """

    url: str
    secret: str
    coordinator: DeviceKey
    tls_sha256: str | None
    network_key: DeviceKey | None = None
    more: tuple[str, ...] = ()

    def text(self) -> str:
        """The link as people pass it on."""
        parts = ["v1", self.secret, self.coordinator, self.tls_sha256 or "-"]
        if self.network_key is not None or self.more:
            parts.append(self.network_key or "-")
        if self.more:
            parts.append(base64.urlsafe_b64encode(" ".join(self.more).encode()).rstrip(b"=").decode())
        return f"{self.url}/join#{'.'.join(parts)}"


def parse(text: str) -> JoinLink:
    """Read a link. Raises BadLink (never echoing the secret)."""
    text = text.strip()
    if len(text) > LINK_LENGTH_MAX:
        raise BadLink
    address, _, fragment = text.partition("#")
    match = _FRAGMENT.fullmatch(fragment)
    if match is None or not address.endswith("/join"):
        raise BadLink
    secret, key, tls, network, more = match.groups()
    for each in (key, network):
        if each not in (None, "-"):
            parse_key(each)
    return JoinLink(
        _checked_url(address.removesuffix("/join")),
        secret,
        DeviceKey(key),
        None if tls == "-" else tls,
        None if network in (None, "-") else DeviceKey(network),
        () if more is None else _further(more),
    )


def _checked_url(text: str) -> str:
    """A coordinator's URL: scheme, host and port, nothing else. Raises BadLink."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadLink from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise BadLink
    if parts.username is not None or (port is None and ":" in parts.netloc.rpartition("]")[2]):
        raise BadLink
    return f"{parts.scheme}://{parts.netloc}"


def _further(text: str) -> tuple[str, ...]:
    try:
        urls = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split(" ")
    except ValueError as error:
        raise BadLink from error
    if len(urls) > MORE_MAX:
        raise BadLink
    return tuple(_checked_url(url) for url in urls)


def new_secret(randomness: bytes) -> str:
    """A secret's text from 32 random bytes."""
    assert len(randomness) == SECRET_BYTES
    return base64.urlsafe_b64encode(randomness).rstrip(b"=").decode()


def secret_hash(secret: str) -> str:
    """What the coordinator keeps of a secret: SHA-256 in hex (right for 256 random bits, needless to stretch)."""
    return hashlib.sha256(secret.encode()).hexdigest()
