"""The routes of the agent's page: its files, opening it, and what a command line may ask of the agent, over HTTP.

``POST /ask`` takes one request of the control protocol and answers its lines as they come; a page that goes cancels
what it asked. It may ask what shows, runs and steers; ending the agent, keys and files of this machine are not for it.

Touches: the clock (of the event loop), randomness.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from mesh.agent.page.door import Door, Keys, bearer
from mesh.errors import KINDS, MeshError
from mesh.pages.files import Files, respond
from mesh.sdk import control, documents
from mesh.units import MIB

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Say = Callable[[control.Answer], None]
Handler = Callable[[control.AnyRequest, Say], Awaitable[control.Answer]]

KEY_BYTES = 32
BODY_BYTES_MAX = 48 * MIB
"""As the gateway takes: an image in base64, or 16 MiB of text at its worst escaping."""
ASKABLE = (
    control.GetStatus, control.Run, control.PingDevice, control.GetPeers, control.GetModels, control.CheckNetwork,
    control.SetState, control.SetTerms, control.Cancel, control.Estimate, documents.ReadFiles,
)  # fmt: skip
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class NoRoute(MeshError):
    """There is nothing at this address. Open the page with `mesh ui`."""

    code = "page.no_route"
    kind = "not_found"


class NotForPages(MeshError):
    """The page may not ask this of the agent. Use the command line."""

    code = "page.not_for_pages"
    kind = "forbidden"


class BadRequest(MeshError):
    """The page said something that the agent does not understand. Load the page anew."""

    code = "page.bad_request"
    kind = "invalid"


class BodyTooLarge(MeshError):
    """This is too large for one job: at most 48 MiB. Split it."""

    code = "page.too_large"
    kind = "too_large"


class About(msgspec.Struct, frozen=True):
    """Where this page is: the network's name, its dashboard, the gateway with the file that its key is in, and what
    kinds of work this version knows.
    """

    network_name: str
    dashboard: str
    gateway: str | None
    key_file: str
    workloads: tuple[str, ...]


class _Gone(Exception):
    """The page was closed."""


class PageApp:
    """The ASGI application."""

    def __init__(self, door: Door, keys: Keys, handler: Handler, about: Callable[[], About]) -> None:
        self._door = door
        self._keys = keys
        self._handler = handler
        self._about = about
        self._files = Files("agent.html")

    def ready(self) -> None:
        """Read the page itself, so that a missing one is said to who opens it. Raises PagesMissing."""
        self._files.entry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        scope = {**scope, "headers": headers}
        try:
            self._door.check_host(headers)
            if scope["method"] in ("GET", "HEAD"):
                await self._file(scope, send)
                return
            self._door.check_origin(headers)
            await self._act(scope, receive, send)
        except MeshError as error:
            await _whole(send, KINDS[error.wire_kind].status, {"error": error.wire()})
        except _Gone:
            return

    async def _file(self, scope: Scope, send: Send) -> None:
        path = scope["path"]
        file = self._files.entry() if path == "/" else self._files.find(path)
        if file is None:
            raise NoRoute
        status, headers, body = respond(file, path, scope["headers"])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _act(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if scope["method"] != "POST" or path not in ("/session", "/ask", "/about"):
            raise NoRoute
        if path != "/session":
            self._keys.check(bearer(scope["headers"]), _now())
        kinds = [value.partition(b";")[0].strip() for name, value in scope["headers"] if name == b"content-type"]
        if kinds != [b"application/json"]:
            raise BadRequest
        body = await _body(receive, BODY_BYTES_MAX if path == "/ask" else 4096)
        if path == "/session":
            await _whole(send, 200, {"key": self._open(body)})
        elif path == "/about":
            await _whole(send, 200, self._about())
        else:
            await self._ask(body, receive, send)

    def _open(self, body: bytes) -> str:
        """Exchange a secret for a key. Raises BadRequest, SecretUsed."""
        try:
            secret = msgspec.json.decode(body, type=dict[str, str])["secret"]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
            raise BadRequest from error
        key = secrets.token_urlsafe(KEY_BYTES)
        self._keys.exchange(secret, key, _now())
        return key

    async def _ask(self, body: bytes, receive: Receive, send: Send) -> None:
        request = control.decode_request(body)
        if not isinstance(request, ASKABLE):
            raise NotForPages
        said: asyncio.Queue[control.Answer | None] = asyncio.Queue()
        work = asyncio.ensure_future(self._handler(request, said.put_nowait))
        work.add_done_callback(lambda done: said.put_nowait(None))
        gone = asyncio.ensure_future(_until_gone(receive))
        gone.add_done_callback(lambda done: work.cancel())
        try:
            await _start(send, 200, b"application/x-ndjson")
            while (answer := await said.get()) is not None:
                await send({"type": "http.response.body", "body": control.encode(answer), "more_body": True})
            await send({"type": "http.response.body", "body": control.encode(_last(work))})
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)


def _last(work: "asyncio.Future[control.Answer]") -> control.Answer:
    """What a piece of work came to. Raises what is no answer."""
    if work.cancelled():
        raise _Gone
    try:
        return work.result()
    except MeshError as error:
        return control.Refusal(error.wire())


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > most:
            raise BodyTooLarge(limit=most)
        if not message.get("more_body", False):
            return bytes(body)


async def _start(send: Send, status: int, kind: bytes) -> None:
    headers = [(b"content-type", kind), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _whole(send: Send, status: int, value: Any) -> None:
    await _start(send, status, b"application/json")
    await send({"type": "http.response.body", "body": msgspec.json.encode(value)})
