"""The gateway's routes: embeddings and models. Each request is one job; a client that goes cancels it.

Touches: nothing (the requester is an argument).
"""

import asyncio
from collections.abc import Awaitable, Callable

from mesh.agent.asked import Ask, Result
from mesh.agent.gateway import openai
from mesh.agent.gateway.door import Receive, Scope, Send, answer, refuse
from mesh.errors import MeshError
from mesh.units import MIB
from mesh.workloads.known import workload_named

Run = Callable[[Ask], Awaitable[Result]]

BODY_BYTES_MAX = 48 * MIB
"""16 MiB of text, every byte of it escaped at the usual worst (``\\u00e9``: 6 for 2)."""


class NoRoute(MeshError):
    """There is nothing at this address. The gateway serves /v1/embeddings and /v1/models."""

    code = "gateway.no_route"
    kind = "not_found"


class BodyTooLarge(MeshError):
    """The request is too large. Split the texts over several requests."""

    code = "gateway.body_too_large"
    kind = "too_large"


class NotJson(MeshError):
    """The request's content type must be application/json."""

    code = "gateway.not_json"
    kind = "invalid"


class ClientGone(Exception):
    """The client closed its connection."""


class Gateway:
    """The ASGI application behind the door."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            if (scope["method"], scope["path"]) == ("GET", "/v1/models"):
                await answer(send, 200, openai.models_answer())
            elif (scope["method"], scope["path"]) == ("POST", "/v1/embeddings"):
                await self._embeddings(scope, receive, send)
            else:
                raise NoRoute
        except MeshError as error:
            await refuse(send, error)
        except ClientGone:
            return

    async def _embeddings(self, scope: Scope, receive: Receive, send: Send) -> None:
        kinds = [value for name, value in scope["headers"] if name.lower() == b"content-type"]
        if len(kinds) != 1 or kinds[0].split(b";")[0].strip().lower() != b"application/json":
            raise NotJson
        request, payload = openai.read_embeddings(await _body(receive))
        ask = Ask(workload_named("embeddings"), payload, request.model)
        result = await _unless_gone(self._run(ask), receive)
        body = openai.embeddings_answer(request, result.payload)
        await answer(send, 200, body, headers_of(result))


def headers_of(result: Result) -> list[tuple[bytes, bytes]]:
    """What tells where a job ran and what it cost."""
    return [
        (b"x-mesh-job", result.job.encode()),
        (b"x-mesh-device", result.device.encode()),
        (b"x-mesh-path", result.path.encode()),
        (b"x-mesh-charge", str(result.charge).encode()),
    ]


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


async def _unless_gone(work: Awaitable[Result], receive: Receive) -> Result:
    """Await the job, unless the client goes first: then cancel it."""
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
