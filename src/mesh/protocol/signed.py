"""The one module that signs and verifies: compact JWS, Ed25519 by libsodium, one ``typ`` per kind of paper.

A *paper* is a struct that somebody signs. Its class names its ``typ``; its fields hold the network and whatever else
must not be taken for another. The verifying key always comes from the caller's context, never from the token. Only
compact serialisation is read, only ``EdDSA``, and only the exact header that the paper's class demands, so that one
kind of token can never be shown as another. libsodium refuses small-order keys and non-canonical signatures; keys are
also checked when they are parsed, since other libraries accept forgeries made with such keys.

Touches: nothing (a signing key is an argument; Ed25519 signatures need no randomness).
"""

import binascii
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import msgspec
from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from mesh.errors import MeshError
from mesh.ids import DeviceKey, is_device_key

TOKEN_BYTES_MAX = 64 * 1024
"""Longest token read. The largest honest one is a State with 1,000 revocations, about 45 KiB."""

SEED_BYTES = 32


class BadToken(MeshError):
    """A signed token was refused: it is altered, cut, or of another kind. Ask its sender for a fresh one."""

    code = "token.invalid"
    kind = "forbidden"


class BadKey(MeshError):
    """A key was refused: it is not a sound Ed25519 public key. Make the device's key anew by joining again."""

    code = "key.invalid"
    kind = "invalid"


class Paper(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of everything that is signed. ``network`` ties it to one network ("" for papers outside any)."""

    TYP: ClassVar[str] = ""
    BYTES_MAX: ClassVar[int] = TOKEN_BYTES_MAX
    """Longest token of this kind that is read: fields that nobody knows are ignored, and could make it any size."""

    network: str
    v: int = 1


PaperT = TypeVar("PaperT", bound=Paper)
_encoder = msgspec.json.Encoder()
_decoders: dict[type[Paper], msgspec.json.Decoder[Any]] = {}
_headers: dict[type[Paper], bytes] = {}


def public_key(seed: bytes) -> DeviceKey:
    """The public key that belongs to a 32-byte seed."""
    return DeviceKey(_key_pair(seed)[0].hex())


@lru_cache(maxsize=1024)  # a device speaks with few others, over and over: the check costs as much as a signature
def parse_key(text: str) -> bytes:
    """Read a public key, 32 bytes; refuse what is malformed, of small order, or not on the curve. Raises BadKey."""
    if not is_device_key(text):
        raise BadKey
    raw = bytes.fromhex(text)
    # libsodium's check: canonical, on the main subgroup, not of small order.
    if not crypto_core_ed25519_is_valid_point(raw):
        raise BadKey
    return raw


def sign(paper: Paper, seed: bytes) -> str:
    """Sign a paper into a compact JWS: ``header.payload.signature`` in unpadded base64url."""
    signing_input = _header(type(paper)) + b"." + _b64(_encoder.encode(paper))
    return (signing_input + b"." + _b64(sign_bytes(signing_input, seed))).decode()


def verify(token: str, kind: type[PaperT], key: DeviceKey, network: str) -> PaperT:
    """Check a token against the key and network that the caller expects; return its paper. Raises BadToken, BadKey."""
    payload = _verified_payload(token, kind, parse_key(key))
    try:
        paper = _decoder(kind).decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken("A signed token does not hold what its kind demands.", reason="content") from error
    if paper.v != 1:
        raise BadToken("A signed token is of a version this program does not know. Update Mesh.", reason="version")
    if paper.network != network:
        raise BadToken("A signed token belongs to another network.", reason="network")
    assert isinstance(paper, kind)
    return paper


def peek(token: str, kind: type[PaperT]) -> PaperT:
    """Read a token WITHOUT checking its signature, only to learn which key to check it with. Raises BadToken."""
    _, payload, _ = _split(token, kind)
    try:
        paper = _decoder(kind).decode(_unb64(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadToken("A signed token does not hold what its kind demands.", reason="content") from error
    assert isinstance(paper, kind)
    return paper


def sign_bytes(message: bytes, seed: bytes) -> bytes:
    """A bare 64-byte signature, for transcripts of handshakes whose bytes name their purpose."""
    return crypto_sign(message, _key_pair(seed)[1])[:crypto_sign_BYTES]


def check_bytes(message: bytes, signature: bytes, key: DeviceKey) -> None:
    """Verify what ``sign_bytes`` made. Raises BadToken, BadKey."""
    if not _fits(message, signature, parse_key(key)):
        raise BadToken("A signature does not match.", reason="signature")


@lru_cache(maxsize=8)  # a program has one seed; deriving its key pair costs three times a signature
def _key_pair(seed: bytes) -> tuple[bytes, bytes]:
    """Public and secret key, the latter in libsodium's form of 64 bytes."""
    public, secret = crypto_sign_seed_keypair(seed)
    return public, secret


def _fits(message: bytes, signature: bytes, key: bytes) -> bool:
    if len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def _header(kind: type[Paper]) -> bytes:
    if kind not in _headers:
        assert kind.TYP, f"{kind.__name__} names no typ"
        _headers[kind] = _b64(b'{"alg":"EdDSA","typ":"' + kind.TYP.encode() + b'"}')
    return _headers[kind]


def _decoder(kind: type[PaperT]) -> "msgspec.json.Decoder[PaperT]":
    if kind not in _decoders:
        _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoders[kind]


def _split(token: str, kind: type[Paper]) -> tuple[bytes, bytes, bytes]:
    if len(token) > TOKEN_BYTES_MAX:
        raise BadToken("A signed token is too long.", reason="length")
    try:
        header, payload, signature = token.encode("ascii").split(b".")
    except (UnicodeEncodeError, ValueError) as error:
        raise BadToken(reason="form") from error
    # Byte-exact headers leave nothing to interpret: no alg to choose, no kid, no jwk, no other typ.
    if header != _header(kind):
        raise BadToken("A signed token is of another kind than the one expected here.", reason="typ")
    if len(token) > kind.BYTES_MAX:
        raise BadToken("A signed token is too long for its kind.", reason="length")
    return header, payload, signature


def _verified_payload(token: str, kind: type[Paper], key: bytes) -> bytes:
    header, payload, signature = _split(token, kind)
    if not _fits(header + b"." + payload, _unb64(signature), key):
        raise BadToken("A signed token was altered, or signed by another key.", reason="signature")
    return _unb64(payload)


_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
"""The other alphabet's own digits become no digits at all, and so does padding."""


def _b64(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    padded = text.translate(_FROM_URL) + b"=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error as error:
        raise BadToken(reason="form") from error
    # One form only: stray bits in the last digit would give a second token for one signature.
    if binascii.b2a_base64(raw, newline=False) != padded:
        raise BadToken(reason="form")
    return raw
