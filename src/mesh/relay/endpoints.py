"""What the relay answers to a plain HTTP request, and which protocol version it agrees on.

Touches: requests and responses of the WebSocket library.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from mesh.protocol import relayed
from mesh.protocol.relayed import Version

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}


def answer(
    request: WSUpgradeRequest, *, health: Callable[[], dict[str, Any]], listen: Callable[[Version], WSListener]
) -> WSUpgradeResponseWithListener:
    """Route a request: ``/relay`` becomes a WebSocket whose listener ``listen`` makes; the rest is answered at once."""
    if not all(value.isascii() for value in request.headers.values()):
        # The library's own refusals quote header values, and fail on what is no text: noise that a stranger could make.
        return _plain(HTTPStatus.BAD_REQUEST, b"A header holds what is not ASCII.\n", _TEXT)
    path = request.path.partition(b"?")[0]
    if path == b"/relay":
        return _upgrade(request, listen)
    if path == b"/ping":  # clients measure latency here, browsers too; without it they never choose this relay
        return _plain(HTTPStatus.OK, b"", {**_TEXT, "Access-Control-Allow-Origin": "*"})
    if path == b"/healthz":
        return _plain(HTTPStatus.OK, msgspec.json.encode(health()), {"Content-Type": "application/json"})
    if path == b"/generate_204":
        return _plain(HTTPStatus.NO_CONTENT, b"", _challenge_echo(request))
    return _plain(HTTPStatus.NOT_FOUND, b"Not found. This is a Mesh relay; it has no pages.\n", _TEXT)


def _upgrade(request: WSUpgradeRequest, listen: Callable[[Version], WSListener]) -> WSUpgradeResponseWithListener:
    picked = relayed.pick_version(",".join(request.headers.getall("Sec-WebSocket-Protocol", [])))
    if picked is None:
        known = ", ".join(name for name, _ in relayed.SUBPROTOCOLS)
        return _plain(HTTPStatus.BAD_REQUEST, f"This relay speaks {known}.\n".encode(), _TEXT)
    name, version = picked
    response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": name})
    return WSUpgradeResponseWithListener(response, listen(version))


def _challenge_echo(request: WSUpgradeRequest) -> dict[str, str]:
    """Proof to a client behind a captive portal that it was this relay that answered."""
    challenge = request.headers.get("X-Iroh-Challenge", "")
    return {"X-Iroh-Response": f"response {challenge}"} if _CHALLENGE.fullmatch(challenge) else {}


def _plain(status: HTTPStatus, body: bytes, headers: dict[str, str]) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_101_response()  # the only constructor that takes any later status
    response.status = status
    response.headers.clear()
    response.headers.update(headers)
    response.headers["Cache-Control"] = "no-store"
    if not body and status != HTTPStatus.NO_CONTENT:
        response.headers["Content-Length"] = "0"
    response.body = body
    return WSUpgradeResponseWithListener(response, None)
