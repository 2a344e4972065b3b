"""How often anybody may try something, by address or by account: counted in memory, forgotten with time.

Touches: nothing.
"""

from fastapi import Request

from mesh.coordinator.config import Site, is_loopback
from mesh.errors import MeshError
from mesh.networks.codes import household

KEYS_MAX = 10_000
"""Addresses that are remembered at once; beyond that the longest known one is forgotten."""
BEHIND_PROXY = 10
"""So many times more may all those do together whose addresses a proxy hides."""


class TooOften(MeshError):
    """That was tried too often. Wait ten minutes, then try again."""

    code = "ways.too_often"
    kind = "too_many"


class Limit:
    """At most ``most`` tries of one key within ``within_s`` seconds."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_ms = int(within_s * 1000)
        self._tries: dict[str, list[int]] = {}

    def take(self, key: str, now_ms: int, *, times: int = 1) -> bool:
        """Count a try, unless there were too many; ``times``: so many times more may this key."""
        recent = [at for at in self._tries.pop(key, []) if now_ms - at < self._within_ms]
        may = len(recent) < self._most * times
        self._tries[key] = [*recent, now_ms] if may else recent
        while len(self._tries) > KEYS_MAX:
            self._tries.pop(next(iter(self._tries)))
        return may

    def take_from(self, address: str | None, now_ms: int) -> None:
        """Count a try from an address; None: hidden by a proxy. Raises TooOften."""
        if not self.take(household(address), now_ms, times=1 if address else BEHIND_PROXY):
            raise TooOften


def seen_from(request: Request, site: Site) -> str | None:
    """The address that a request comes from; None where a proxy on this machine hides it.

    What a proxy writes into headers is not believed: not every proxy replaces what the client wrote there.
    """
    host = request.client.host if request.client else None
    behind_proxy = site.tls_sha256 is None and site.secure
    return None if host is None or (behind_proxy and is_loopback(host)) else host
