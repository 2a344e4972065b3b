"""What every handler works with: the parts, the news, and the one way to run an act for a request.

Touches: database, clock, randomness (through ``parts``).
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request, Response
from nacl.secret import SecretBox
from nacl.utils import random as nacl_random

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.once import Outcome, Repeatable, Sealing, once
from mesh.coordinator.keeping.rotating import Rotating
from mesh.coordinator.parts import Parts
from mesh.coordinator.signing_in.mail import Mailer
from mesh.coordinator.signing_in.ways import Ways
from mesh.coordinator.store.connection import Store
from mesh.coordinator.telling.live import LiveLinks
from mesh.coordinator.telling.news import News
from mesh.coordinator.telling.relays import Relays
from mesh.coordinator.telling.watch import Watch
from mesh.errors import MeshError

KEY_LENGTH_MAX = 128
"""Longest Idempotency-Key that is kept."""
TOKEN_BYTES = 32
TOKEN_PREFIX = "mesh_"  # noqa: S105 - says what a leaked token is; no secret itself


class BadIdempotencyKey(MeshError):
    """An Idempotency-Key is 1 to 128 printable characters. Send another one, or none."""

    code = "request.bad_key"
    kind = "invalid"


@dataclass(frozen=True)
class Desk:
    """The parts of the coordinator that handlers need."""

    parts: Parts
    live: LiveLinks
    news: News
    relays: Relays
    rotating: Rotating
    watch: Watch
    ways: Ways
    mailer: Mailer

    def new_token(self, prefix: str = TOKEN_PREFIX) -> tuple[str, str]:
        """A token of a session (or what ``prefix`` says), and the hash that is kept of it."""
        random = self.parts.random_bytes(TOKEN_BYTES)
        token = prefix + base64.urlsafe_b64encode(random).rstrip(b"=").decode()
        return token, token_hash(token)

    async def act(
        self,
        request: Request,
        act: Callable[[Store, Moment], tuple[msgspec.Struct, Any]],
        *,
        anonymous: str | None = None,
    ) -> tuple[Response, Any]:
        """Run an act that gives an answer and effects; repeat nothing under one Idempotency-Key.

        Returns the response and the effects, which are None where an earlier answer is given again. ``anonymous``
        names a caller that is not signed in.
        """
        moment = self.parts.moment()

        def run(store: Store) -> Outcome:
            answer, effects = act(store, moment)
            return Outcome(msgspec.json.encode(answer), effects)

        repeatable = await _repeatable(request, anonymous)
        outcome = await self.parts.database.write(once, run, repeatable, self.sealing(), now_ms=moment.now_ms)
        return Response(outcome.answer, media_type="application/json"), outcome.effects

    def sealing(self) -> Sealing:
        """What is kept where others could read it (answers in the database, a browser's cookie) is sealed by this."""
        box = SecretBox(self.parts.keys.sealing)
        return Sealing(
            seal=lambda answer: base64.b64encode(box.encrypt(answer, nacl_random(SecretBox.NONCE_SIZE))).decode(),
            open=lambda kept: box.decrypt(base64.b64decode(kept)),
        )


def token_hash(token: str) -> str:
    """What is kept of a session token; right for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def answer(value: msgspec.Struct | dict[str, Any]) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(value), media_type="application/json")


def desk_of(request: Request) -> Desk:
    """The desk of the application that serves a request."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


async def _repeatable(request: Request, anonymous: str | None) -> Repeatable | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise BadIdempotencyKey
    caller = anonymous or request.state.caller.member
    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return Repeatable(caller[:26], key, hashlib.sha256(asked).hexdigest())
