"""The gateway's application: lets in, finds the route, counts by key, answers. A client that goes cancels its job.

Touches: nothing (the requester is an argument).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from mesh.agent.gateway.calls import Call, Front, Reply
from mesh.agent.gateway.door import Door, Headers, Receive, Scope, Send, must_be_json
from mesh.agent.gateway.keys import Opener
from mesh.agent.gateway.routes import Route, dialect_of, route_of
from mesh.agent.gateway.turns import Turns
from mesh.errors import KINDS, MeshError
from mesh.units import MIB

BODY_BYTES_MAX = 48 * MIB
"""16 MiB of text, every byte of it escaped at the usual worst (``\\u00e9``: 6 for 2)."""


class BodyTooLarge(MeshError):
    """The request is too large. Split the texts over several requests."""

    code = "gateway.body_too_large"
    kind = "too_large"


class ClientGone(Exception):
    """The client closed its connection."""


class Gateway:
    """An ASGI application."""

    def __init__(self, front: Front, port: int) -> None:
        """``port``: the one that is listened on; requests must name it."""
        self._front = front
        self._door = Door(port, front.keys)
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return  # nothing but HTTP is served; the server closes the rest
        path = scope["path"]
        try:
            opener = self._door.opener(scope["headers"])
            route, rest = route_of(scope["method"], path)
            body = b""
            if route.method == "POST":
                must_be_json(scope["headers"])
                body = await _body(receive)
            call = Call(self._front, opener, body, rest)
            await self._answer(route, call, opener, receive, send)
        except MeshError as error:
            await _refuse(send, error, dialect_of(path).error_body(error))
        except ClientGone:
            return

    async def _answer(self, route: Route, call: Call, opener: Opener, receive: Receive, send: Send) -> None:
        if not route.works:
            await answer(send, await route.handler(call))
            return
        keys = self._front.keys
        call.max_cost = opener.meter.admit(keys.now_ms())
        try:
            async with self._turns.turn(opener.name), call.stack:
                reply = await _unless_gone(_handled(route, call), receive)
                if reply.stream is not None:
                    await _unless_gone(_stream(send, reply, reply.stream), receive)
        finally:
            opener.meter.done()
            keys.used(opener)
        if reply.stream is None:
            await answer(send, reply)


async def answer(send: Send, reply: Reply) -> None:
    """Send a whole JSON answer."""
    start = [(b"content-type", reply.kind), (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": [*start, *reply.headers]})
    await send({"type": "http.response.body", "body": reply.body})


async def _stream(send: Send, reply: Reply, pieces: AsyncIterator[bytes]) -> Reply:
    """Send an answer piece by piece, no faster than it is taken."""
    start = [(b"content-type", reply.kind), (b"cache-control", b"no-cache"), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": start})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return reply


async def _handled(route: Route, call: Call) -> Reply:
    return await route.handler(call)


async def _refuse(send: Send, error: MeshError, body: bytes) -> None:
    """Answer an error with the status of its kind, and when to come back where that is known."""
    headers: Headers = ()
    retry_after_s = error.facts.get("retry_after_s")
    if isinstance(retry_after_s, int | float):
        headers = [(b"retry-after", str(max(1, round(retry_after_s))).encode())]
    await answer(send, Reply(body, list(headers), KINDS[error.wire_kind].status))


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge(limit=BODY_BYTES_MAX)
        if not message.get("more_body", False):
            return bytes(body)


async def _unless_gone(work: Coroutine[Any, Any, Reply], receive: Receive) -> Reply:
    """Await the work, unless the client goes first: then cancel it."""
    job = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            raise ClientGone
        return job.result()
    finally:
        gone.cancel()
        job.cancel()
        await asyncio.gather(job, gone, return_exceptions=True)
