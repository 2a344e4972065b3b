"""An authenticator in software: it makes passkeys and signs with them, as a test wants them."""

import base64
import hashlib
import json
import secrets

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 1, 4, 64


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Authenticator:
    """One passkey for a name and an origin. ``uses``: its counter."""

    def __init__(self, name: str, origin: str) -> None:
        self.name, self.origin, self.uses = name, origin, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)

    def made(self, challenge: str, flags: int = PRESENT | VERIFIED) -> dict:
        """The answer to a request for a new passkey."""
        numbers = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        whole = {"fmt": "none", "attStmt": {}, "authData": self._data(flags | ATTESTED) + attested}
        answer = {"clientDataJSON": self._client("create", challenge), "attestationObject": text(cbor2.dumps(whole))}
        return self._credential(answer)

    def signed(self, challenge: str, flags: int = PRESENT | VERIFIED) -> dict:
        """The answer to a request for a signature."""
        data, client = self._data(flags), self._client("get", challenge)
        said = data + hashlib.sha256(base64.urlsafe_b64decode(client + "==")).digest()
        signature = text(self.key.sign(said, ec.ECDSA(SHA256())))
        answer = {"authenticatorData": text(data), "clientDataJSON": client, "signature": signature}
        return self._credential({**answer, "userHandle": None})

    def _data(self, flags: int) -> bytes:
        self.uses += 1
        return hashlib.sha256(self.name.encode()).digest() + bytes([flags]) + self.uses.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> str:
        return text(json.dumps({"type": f"webauthn.{kind}", "challenge": challenge, "origin": self.origin}).encode())

    def _credential(self, answer: dict) -> dict:
        return {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "response": answer}
