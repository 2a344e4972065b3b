"""The ASGI application: routes of every noun, errors in one form, limits before anything is read.

Touches: nothing (sockets are the server's).
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from mesh.coordinator.http import (
    about,
    api_keys,
    applicants,
    claim,
    credit,
    devices,
    domains,
    jobs,
    join,
    ledger,
    logins,
    mail,
    members,
    networks,
    openapi,
    pages,
    pairing,
    passkeys,
    picture,
    policy,
    privacy,
    review,
    sessions,
    tariff,
    tokens,
    ways,
)
from mesh.coordinator.http.app_errors import NoSuchAddress
from mesh.coordinator.http.codes import Tries
from mesh.coordinator.http.desk import Desk, answer
from mesh.coordinator.http.looking import Looking, network_of
from mesh.coordinator.links.websocket import Links
from mesh.errors import KINDS, MeshError
from mesh.networks.names import visible
from mesh.networks.pairing import Pairing
from mesh.pages.files import Files
from mesh.protocol.link import LINK_PATH

BODY_BYTES_MAX = 256 * 1024
"""Largest body read: a join with a long capability report is a few KiB."""
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]

NOUNS = (
    about,
    api_keys,
    applicants,
    claim,
    credit,
    devices,
    domains,
    jobs,
    join,
    ledger,
    logins,
    mail,
    members,
    networks,
    openapi,
    pages,
    pairing,
    passkeys,
    picture,
    policy,
    privacy,
    review,
    sessions,
    tariff,
    tokens,
    ways,
)
"""Whose routes the API has: a file per noun."""

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
log = structlog.get_logger()


class BadRequest(MeshError):
    """The request does not fit this address: a field is missing or of the wrong kind. See the facts."""

    code = "request.invalid"
    kind = "invalid"


class BodyTooLarge(MeshError):
    """The request's body is too large. Payloads never go to the coordinator."""

    code = "request.too_large"
    kind = "too_large"


class Broken(MeshError):
    """The coordinator failed on this request. Its log says why; please report it."""

    code = "coordinator.broken"
    kind = "failed"


def api(desk: Desk) -> FastAPI:
    """The HTTP API."""
    app = FastAPI(title="Mesh coordinator", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.desk = desk
    app.state.files = Files("dashboard.html")
    app.state.nonces = sessions.Nonces()
    app.state.tries = Tries(Pairing.REFUSALS)
    app.state.waits = logins.Waits()
    app.state.letters = mail.Letters()
    app.state.way_tries = ways.Tries()
    for noun in NOUNS:
        app.router.routes.extend(noun.router.routes)
    app.add_exception_handler(MeshError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UnicodeEncodeError, _no_text)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _broken)
    return app


class Application:
    """HTTP to the API, WebSockets to the links and to who looks on. What is called decides, as it was called."""

    def __init__(self, http: ASGI, links: Links, looking: Looking) -> None:
        self._http = http
        self.links = links
        self._looking = looking

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one request or connection."""
        if scope["type"] == "websocket":
            network = network_of(scope["path"])
            if scope["path"] == LINK_PATH:
                await self.links(scope, receive, send)
            elif network is not None:
                await self._looking(network, scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        await self._http(scope, _limited(receive), _with_headers(send))


def _limited(receive: Callable[[], Awaitable[dict[str, Any]]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    taken = 0

    async def limited() -> dict[str, Any]:
        nonlocal taken
        event = await receive()
        taken += len(event.get("body", b""))
        if taken > BODY_BYTES_MAX:
            raise BodyTooLarge(limit=BODY_BYTES_MAX)
        return event

    return limited


def _with_headers(send: Callable[[dict[str, Any]], Awaitable[None]]) -> Callable[[dict[str, Any]], Awaitable[None]]:
    async def sending(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.start":
            own = {name for name, _ in event.get("headers", [])}  # pages bring a policy of their own
            event["headers"] = [*event.get("headers", []), *(one for one in _HEADERS if one[0] not in own)]
        await send(event)

    return sending


def _error(error: MeshError) -> Response:
    said = error.wire()  # it may repeat what was sent: a terminal shows it
    facts = {name: visible(fact) if isinstance(fact, str) else fact for name, fact in said["facts"].items()}
    response = answer({"error": {**said, "message": visible(said["message"]), "facts": facts}})
    response.status_code = KINDS[error.wire_kind].status
    return response


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError)
    log.info("http.refused", method=request.method, path=request.url.path, code=error.wire_code)
    return _error(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Where and what kind only: the input may hold a secret.
    fields = [{"at": ".".join(map(str, one["loc"])), "kind": str(one["type"])} for one in error.errors()]
    return _error(BadRequest(fields=fields))


async def _no_text(request: Request, error: Exception) -> Response:
    return _error(BadRequest("This request holds half of a character, which is no text. Send whole ones."))


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, MeshError):  # raised while the body was read, and wrapped by the framework
        return _error(error.__cause__)
    return _error(NoSuchAddress() if error.status_code in (404, 405) else BadRequest())


async def _broken(request: Request, error: Exception) -> Response:
    log.error("http.broken", method=request.method, path=request.url.path, error=type(error).__name__)
    return _error(Broken())
