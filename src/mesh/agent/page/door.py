"""Who may use the agent's page: a browser on this machine that was handed a one-time secret by `mesh ui`.

Every request must name this loopback address as its Host (a rebound name does not). What acts must also come from the
page itself (its Origin) and carry the key that the secret was exchanged for. The key travels in a header that the page
sets, never in a cookie: cookies of one loopback port are sent to all others.

Touches: nothing (time and randomness come as arguments).
"""

import hmac
from collections.abc import Iterable

from mesh.errors import MeshError

SECRET_LIFE_S = 300.0
"""How long an opened link waits for its browser: a slow machine starts one in well under a minute."""
SECRETS_MAX = 16
"""Links that wait at once; a further one replaces the oldest."""
KEYS_MAX = 32
"""Pages that are open at once; a further one ends the oldest."""
KEY_LIFE_S = 12 * 3600.0
"""A page that nobody used for half a day is opened anew with `mesh ui`."""


class WrongHost(MeshError):
    """The agent's page answers only under its own loopback address. Open it with `mesh ui`."""

    code = "page.wrong_host"
    kind = "forbidden"


class WrongOrigin(MeshError):
    """This request does not come from the agent's own page. Open it with `mesh ui`."""

    code = "page.wrong_origin"
    kind = "forbidden"


class NotOpened(MeshError):
    """This page is not opened, or was left alone for too long. Open it with `mesh ui`."""

    code = "page.not_opened"
    kind = "unauthenticated"


class SecretUsed(MeshError):
    """This link was used before, or is too old. Open the page with `mesh ui`."""

    code = "page.secret_used"
    kind = "unauthenticated"


class Keys:
    """One-time secrets, and the keys of pages that were opened with one. ``now`` is any clock in seconds."""

    def __init__(self) -> None:
        self._secrets: dict[str, float] = {}
        self._keys: dict[str, float] = {}

    def offer(self, secret: str, now: float) -> None:
        """A new link's secret."""
        self._secrets = {known: at for known, at in self._secrets.items() if now - at < SECRET_LIFE_S}
        while len(self._secrets) >= SECRETS_MAX:
            del self._secrets[next(iter(self._secrets))]
        self._secrets[secret] = now

    def exchange(self, secret: str, key: str, now: float) -> None:
        """Use a secret up; from now on ``key`` opens. Raises SecretUsed."""
        found = [known for known in self._secrets if hmac.compare_digest(known.encode(), secret.encode())]
        if not found or now - self._secrets.pop(found[0]) >= SECRET_LIFE_S:
            raise SecretUsed
        while len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = now

    def check(self, key: str, now: float) -> None:
        """Let a key through; it lives on from its last use. Raises NotOpened."""
        found = [known for known in self._keys if hmac.compare_digest(known.encode(), key.encode())]
        if not found or now - self._keys[found[0]] >= KEY_LIFE_S:
            raise NotOpened
        self._keys[found[0]] = now


class Door:
    """Checks what a request says of itself."""

    def __init__(self, host: str) -> None:
        self._host = host.encode()
        self._origin = f"http://{host}".encode()

    def check_host(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises WrongHost."""
        if [value.lower() for name, value in headers if name == b"host"] != [self._host]:
            raise WrongHost

    def check_origin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises WrongOrigin."""
        if [value for name, value in headers if name == b"origin"] != [self._origin]:
            raise WrongOrigin


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key that a request carries. Raises NotOpened."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1 or not given[0].startswith(b"Bearer "):
        raise NotOpened
    return given[0].removeprefix(b"Bearer ").decode("latin-1")
