"""Who may speak to the gateway: programs of this machine that hold its key, and no web page.

Every route is checked alike: the Host must name this loopback address and port (a rebound name does not), no request
may carry an Origin (pages always do when they matter), and the key comes as a Bearer token.

Touches: nothing.
"""

import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from mesh.errors import KINDS, MeshError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class WrongHost(MeshError):
    """The gateway answers only under its own loopback address. Use the URL that `mesh status` shows."""

    code = "gateway.wrong_host"
    kind = "forbidden"


class FromPage(MeshError):
    """The gateway takes no requests from web pages. Call it from a program."""

    code = "gateway.from_page"
    kind = "forbidden"


class WrongKey(MeshError):
    """The gateway's key is missing or wrong. It is in gateway.json in MESH_HOME; send it as a Bearer token."""

    code = "gateway.wrong_key"
    kind = "unauthenticated"


class GatewayDoor:
    """Wraps an app: only requests that may come in reach it. ASGI."""

    def __init__(self, inner: App, port: int, key: str) -> None:
        self._inner = inner
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost", "[::1]")}
        self._key = b"Bearer " + key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            return  # nothing but HTTP is served; the server closes the rest
        try:
            self._check(scope["headers"])
        except MeshError as error:
            await refuse(send, error)
            return
        await self._inner(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            found.setdefault(name.lower(), []).append(value)
        host = found.get(b"host", [])
        if len(host) != 1 or host[0].lower() not in self._hosts:
            raise WrongHost
        if b"origin" in found:
            raise FromPage
        given = found.get(b"authorization", [])
        if len(given) != 1 or not hmac.compare_digest(given[0], self._key):
            raise WrongKey


async def refuse(send: Send, error: MeshError, headers: Headers = ()) -> None:
    """Answer an error in OpenAI's shape, with the status of its kind."""
    kind = {
        "unauthenticated": "authentication_error",
        "forbidden": "permission_error",
        "too_many": "rate_limit_error",
        "not_found": "not_found_error",
    }.get(error.wire_kind, "invalid_request_error" if KINDS[error.wire_kind].status < 500 else "server_error")
    body = {"error": {"message": error.message, "type": kind, "param": None, "code": error.wire_code}}
    extra = list(headers)
    retry_after_s = error.facts.get("retry_after_s")
    if isinstance(retry_after_s, int | float):
        extra.append((b"retry-after", str(max(1, round(retry_after_s))).encode()))
    await answer(send, KINDS[error.wire_kind].status, msgspec.json.encode(body), extra)


async def answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Send a whole JSON answer."""
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
