"""Serving the agent's page: on a loopback port of its own, from the first time that somebody opens it.

Touches: a loopback socket, page.json in the home, randomness, the clock (of the event loop).
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from typing import Self

import msgspec
import uvicorn

from mesh.agent.membership import Membership
from mesh.agent.page.app import KEY_BYTES, About, Handler, PageApp
from mesh.agent.page.door import SECRET_LIFE_S, Door, Keys
from mesh.errors import MeshError
from mesh.sdk import control
from mesh.sdk.home import Home, HomeRecord, write_secret
from mesh.workloads.known import WORKLOADS

HOST = "127.0.0.1"
PORTS_WANTED = range(8511, 8611)
"""A home without a port takes the first free one of these, and keeps it: a browser keeps settings by origin."""
START_S = 10.0


class NoPort(MeshError):
    """No port of this machine is free for the agent's page. Stop a program that holds one, and try again."""

    code = "page.no_port"
    kind = "unavailable"


class _Kept(msgspec.Struct, frozen=True):
    port: int


class Page:
    """The agent's page. An asynchronous context manager: leaving it ends the server, where one was started."""

    def __init__(self, home: Home, handler: Handler, record: HomeRecord, membership: Membership) -> None:
        self._home = home
        self._handler = handler
        self._dashboard = "" if record.coordinator is None else record.coordinator.url
        self._membership = membership
        self._keys = Keys()
        self._opening = asyncio.Lock()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = 0
        self.gateway: str | None = None
        """Its URL; set by the wiring."""

    async def open(self) -> control.PageOpened:
        """A link that opens the page once. Raises PagesMissing, NoPort."""
        async with self._opening:
            if self._server is None:
                await self._serve()
        secret = secrets.token_urlsafe(KEY_BYTES)
        self._keys.offer(secret, asyncio.get_running_loop().time())
        return control.PageOpened(f"http://{HOST}:{self._port}/#open.{secret}", SECRET_LIFE_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.shield(self._serving)

    async def _serve(self) -> None:
        listener = self._listen()
        self._port = listener.getsockname()[1]
        app = PageApp(Door(f"{HOST}:{self._port}"), self._keys, self._handler, self._about)
        app.ready()
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", http="httptools", loop="asyncio",
            timeout_graceful_shutdown=1, server_header=False, date_header=False, proxy_headers=False,
        )  # fmt: skip
        server = _Server(config)
        self._serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(START_S):
            await server.listening.wait()
        self._server = server

    def _about(self) -> About:
        state = self._membership.state
        name = "" if state is None else state.name
        return About(name, self._dashboard, self.gateway, str(self._home.gateway_file), tuple(WORKLOADS))

    def _listen(self) -> socket.socket:
        """The port of last time if it is free, else another. Raises NoPort."""
        wanted = [*PORTS_WANTED, 0]
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            wanted.insert(0, msgspec.json.decode(self._home.page_file.read_bytes(), type=_Kept).port)
        listener = next((found for found in map(_bind, wanted) if found is not None), None)
        if listener is None:
            raise NoPort
        write_secret(self._home.page_file, msgspec.json.encode(_Kept(listener.getsockname()[1])))
        return listener


class _Server(uvicorn.Server):
    """uvicorn inside a program that has its own signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the agent."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it is done."""
        await super().startup(sockets)
        self.listening.set()


def _bind(port: int) -> socket.socket | None:
    # The protocol is named so that asyncio knows it for TCP and sends answers at once (Nagle would cost 40 ms).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(64)
    except (OSError, OverflowError):
        listener.close()
        return None
    listener.setblocking(False)
    return listener
