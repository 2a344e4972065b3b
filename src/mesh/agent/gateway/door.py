"""Who may speak to the gateway: programs of this machine that hold a key, and no web page.

Every request is checked alike, whatever its route: the Host must name this loopback address and port (a rebound name
does not), no request may carry an Origin (pages always do when they matter), and the key comes as a Bearer token.

Touches: nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mesh.agent.gateway.keys import KeyBook, Opener
from mesh.errors import MeshError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_BEARER = b"bearer "
_JSON = b"application/json"


class WrongHost(MeshError):
    """The gateway answers only under its own loopback address. Use the URL that `mesh status` shows."""

    code = "gateway.wrong_host"
    kind = "forbidden"


class FromPage(MeshError):
    """The gateway takes no requests from web pages. Call it from a program."""

    code = "gateway.from_page"
    kind = "forbidden"


class WrongKey(MeshError):
    """The gateway's key is missing or wrong. One is in gateway.json in MESH_HOME; `mesh key create` makes more."""

    code = "gateway.wrong_key"
    kind = "unauthenticated"


class NotJson(MeshError):
    """The request's content type must be application/json."""

    code = "gateway.not_json"
    kind = "invalid"


class Door:
    """Says who may come in."""

    def __init__(self, port: int, keys: KeyBook) -> None:
        self._hosts = {f"{name}:{port}".encode() for name in LOOPBACK_NAMES}
        self._keys = keys

    def opener(self, headers: Headers) -> Opener:
        """Whose key opens for a request with these headers. Raises WrongHost, FromPage, WrongKey."""
        hosts: list[bytes] = []
        given: list[bytes] = []
        for name, value in headers:  # the server has made names lower-case
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"origin":
                raise FromPage
            elif name == b"authorization":
                given.append(value)
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise WrongHost
        if len(given) == 1 and given[0][: len(_BEARER)].lower() == _BEARER:
            found = self._keys.opener(given[0][len(_BEARER) :].decode("latin-1"))
            if found is not None:
                return found
        raise WrongKey


def must_be_json(headers: Headers) -> None:
    """Refuse every body that a page could send without asking first. Raises NotJson."""
    kinds = [value for name, value in headers if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != _JSON:
        raise NotJson
