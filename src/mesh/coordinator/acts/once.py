"""Doing an act at most once per caller and idempotency key, whatever is repeated.

The first answer is kept in the act's own transaction, sealed with a key that is not in the database: an answer may hold
a link's secret.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import NamedTuple

from mesh.coordinator.store import requests
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.requests import Given
from mesh.errors import MeshError

KEPT_S = 86400.0
"""A repeat comes within seconds; a day also covers a laptop that slept in between."""


class KeyReused(MeshError):
    """This Idempotency-Key came with another request before. Use a new key for a new request."""

    code = "request.key_reused"
    kind = "reused"


class Repeatable(NamedTuple):
    """How a request is recognised: the caller (26 characters), its key, the hash of method, path and body."""

    caller: str
    key: str
    body_hash: str


class Sealing(NamedTuple):
    """How answers are kept from whoever reads only the database."""

    seal: Callable[[bytes], str]
    open: Callable[[str], bytes]


class Outcome(NamedTuple):
    """The answer's bytes, and what is to happen after the commit (None for a repeat: it has happened)."""

    answer: bytes
    effects: object | None


def once(
    store: Store, act: Callable[[Store], Outcome], repeatable: Repeatable | None, sealing: Sealing, *, now_ms: int
) -> Outcome:
    """Run ``act``, or return what it answered to the same request before. Raises KeyReused."""
    if repeatable is None:
        return act(store)
    given = requests.find(store, caller=repeatable.caller, key=repeatable.key)
    if given is not None:
        if given.body_hash != repeatable.body_hash:
            raise KeyReused
        return Outcome(sealing.open(given.answer), None)
    outcome = act(store)
    kept = Given(repeatable.body_hash, sealing.seal(outcome.answer))
    requests.add(store, kept, caller=repeatable.caller, key=repeatable.key, now_ms=now_ms)
    return outcome
