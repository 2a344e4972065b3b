"""The one module that signs and verifies: compact JWS, Ed25519 by libsodium, one ``typ`` per kind of paper.

A *paper* is a struct that somebody signs. Its class names its ``typ``; its fields hold the network and whatever else
must not be taken for another. The verifying key always comes from the caller's context, never from the token. Only
compact serialisation is read, only ``EdDSA``, and only the exact header that the paper's class demands, so that one
kind of token can never be shown as another. libsodium refuses small-order keys and non-canonical signatures; keys are
also checked when they are parsed, since other libraries accept forgeries made with such keys.

Touches: nothing (a signing key is an argument; Ed25519 signatures need no randomness).
"""

import base64
import binascii
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import msgspec
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

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
    return DeviceKey(bytes(_signing_key(seed).verify_key).hex())


@lru_cache(maxsize=1024)  # a device speaks with few others, over and over: the check costs as much as a signature
def parse_key(text: str) -> VerifyKey:
    """Read a public key; refuse what is malformed, of small order, or not on the curve. Raises BadKey."""
    if not is_device_key(text):
        raise BadKey
    raw = bytes.fromhex(text)
    # libsodium's check: canonical, on the main subgroup, not of small order.
    if not crypto_core_ed25519_is_valid_point(raw):
        raise BadKey
    return VerifyKey(raw)


def sign(paper: Paper, seed: bytes) -> str:
    """Sign a paper into a compact JWS: ``header.payload.signature`` in unpadded base64url."""
    signing_input = _header(type(paper)) + b"." + _b64(_encoder.encode(paper))
    signature = _signing_key(seed).sign(signing_input).signature
    return (signing_input + b"." + _b64(signature)).decode()


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
    return _signing_key(seed).sign(message).signature


def check_bytes(message: bytes, signature: bytes, key: DeviceKey) -> None:
    """Verify what ``sign_bytes`` made. Raises BadToken, BadKey."""
    try:
        parse_key(key).verify(message, signature)
    except (BadSignatureError, ValueError) as error:
        raise BadToken("A signature does not match.", reason="signature") from error


@lru_cache(maxsize=8)  # a program has one seed; deriving its key pair costs three times a signature
def _signing_key(seed: bytes) -> SigningKey:
    return SigningKey(seed)


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


def _verified_payload(token: str, kind: type[Paper], key: VerifyKey) -> bytes:
    header, payload, signature = _split(token, kind)
    try:
        key.verify(header + b"." + payload, _unb64(signature))
    except (BadSignatureError, ValueError) as error:
        raise BadToken("A signed token was altered, or signed by another key.", reason="signature") from error
    return _unb64(payload)


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken(reason="form") from error
    if _b64(raw) != text:  # one form only: stray bits in the last digit would give a second token for one signature
        raise BadToken(reason="form")
    return raw
