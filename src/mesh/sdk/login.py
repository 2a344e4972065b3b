"""Signing this command line in by a code: ask the coordinator, show the code, wait until a person confirms it.

The session's token is made here, and only its hash is sent. Where the coordinator's certificate was not pinned before,
the first one seen is taken on trust; the code says whether the trust was right (``networks.logins``).

Touches: sockets (through the client), randomness, the clock.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.networks import logins as rules
from mesh.networks.codes import commitment
from mesh.networks.logins import LoginExpired, Sides
from mesh.protocol import signed
from mesh.protocol.links import SECRET_BYTES, new_secret
from mesh.sdk import calls
from mesh.sdk.client import TIMEOUT_S, Coordinator, CoordinatorUnreachable
from mesh.sdk.following import the_same
from mesh.sdk.home import CoordinatorRecord
from mesh.sdk.pairing import confirmed_place
from mesh.sdk.pinning import first_seen
from mesh.sdk.ways_in import LoginState

TOKEN_PREFIX = "mesh_"  # noqa: S105 - how every session's token begins; no secret itself


class Waiting(NamedTuple):
    """A command line that waits: at which coordinator, by which code. ``token`` and ``nonce`` are its secrets."""

    where: CoordinatorRecord
    token: str
    nonce: str
    login: str
    code: str
    life_s: float
    poll_s: float

    @property
    def page(self) -> str:
        """Where a person confirms it."""
        return f"{self.where.url}/device"


def first_met(url: str) -> CoordinatorRecord:
    """The coordinator at an address, as it is met there for the first time; its key is not known yet.

    Raises CoordinatorUnreachable.
    """
    try:
        return CoordinatorRecord(url, DeviceKey(""), first_seen(url, TIMEOUT_S))
    except OSError as error:
        raise CoordinatorUnreachable(
            f"The coordinator at {url} does not answer ({type(error).__name__}). "
            "Check the address, that it runs, and that this machine reaches it.",
            url=url,
        ) from error


def ask(known: CoordinatorRecord, label: str, *, admin: bool = False) -> Waiting:
    """Ask for a code. ``known``: the coordinator of this home, or as it was ``first_met``.

    Raises WrongCertificate, BadAddress, CoordinatorUnreachable, and what the coordinator refuses with.
    """
    token, nonce = TOKEN_PREFIX + new_secret(secrets.token_bytes(SECRET_BYTES)), secrets.token_hex(32)
    hashed = hashlib.sha256(token.encode()).hexdigest()
    with Coordinator(known) as client:
        about = client.do(calls.about())
        key = the_same(known.key, about) if known.key else DeviceKey(about.key)
        signed.parse_key(key)
        body = {"label": label, "secret_sha256": hashed, "commitment": commitment(hashed, nonce), "admin": admin}
        asked = client.do(calls.ask_to_log_in(body))
        said = (asked.url, asked.tls_sha256, asked.more)
        where = confirmed_place(known.url, known.tls_sha256, key, said)
        client.do(calls.login_state(asked.login, nonce))  # shows our number: only now the code counts
    sides = Sides(key, where.tls_sha256 or where.url, label, admin, hashed)
    check = rules.check(sides, handle=asked.handle, coordinator_nonce=asked.nonce, nonce=nonce)
    code = rules.shown_code(asked.handle, check)
    life_s = (asked.expires_ms - asked.time_ms) / 1000
    return Waiting(where, token, nonce, asked.login, code, life_s, asked.poll_s)


@contextmanager
def ended_without_a_yes(waiting: Waiting) -> Iterator[None]:
    """Whatever ends this block before there was a yes (also Ctrl-C) ends the code: nobody waits for it any more."""
    try:
        yield
    except BaseException:
        with suppress(MeshError), Coordinator(waiting.where) as client:
            client.do(calls.withdraw_login(waiting.login, waiting.nonce))
        raise


def wait(waiting: Waiting, show: Callable[[float], None]) -> LoginState:
    """Wait for a person's yes; ``show`` hears every second how long that took.

    A coordinator that is away for a while ends nothing. Raises why there was no yes.
    """
    began, every_s = time.monotonic(), waiting.poll_s
    next_s = every_s
    while True:
        waited_s = time.monotonic() - began
        show(waited_s)
        if waited_s >= next_s:
            try:
                with Coordinator(waiting.where) as client:
                    state = client.do(calls.login_state(waiting.login, waiting.nonce))
            except CoordinatorUnreachable:
                if waited_s > waiting.life_s:
                    raise LoginExpired from None
            else:
                if state.state == "confirmed":
                    return state
                every_s = state.poll_s
            next_s = time.monotonic() - began + every_s
        time.sleep(min(1.0, max(0.05, next_s - waited_s)))
