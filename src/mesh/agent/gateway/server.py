"""Serving the gateway: the port and key of this home, chosen at its first start and kept.

Touches: a loopback socket, gateway.json in the home, the system's randomness.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import psutil
import uvicorn

from mesh.agent.gateway.app import Gateway
from mesh.agent.gateway.calls import Front
from mesh.agent.gateway.door import Receive, Scope, Send
from mesh.errors import MeshError
from mesh.sdk.home import Home, HomeUnreadable, write_secret

HOST = "127.0.0.1"
PORTS_WANTED = range(8411, 8511)
"""A home without a port takes the first free one of these: none of them is one that systems give to callers."""
KEY_BYTES = 32
START_S = 10.0


class PortTaken(MeshError):
    """The gateway's port is in use by another program. Stop that program, or delete gateway.json for a new port."""

    code = "gateway.port_taken"
    kind = "conflict"


class Address(NamedTuple):
    """Where the gateway listens, and the key that opens it."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Address({self.url})"


class _Kept(msgspec.Struct, frozen=True):
    port: int
    key: str


App = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def served(home: Home, front: Front) -> AsyncIterator[Address]:
    """Serve the gateway inside the block. Raises PortTaken, HomeUnreadable."""
    listener, kept = _listen(home)
    front.keys.add_default(kept.key)
    async with serving(listener, Gateway(front, kept.port)):
        yield Address(f"http://{HOST}:{kept.port}", kept.key)


@asynccontextmanager
async def serving(listener: socket.socket, app: App) -> AsyncIterator[None]:
    """Serve an ASGI application on a socket that listens, inside the block; the socket is closed at its end."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", http="httptools", loop="asyncio",
        timeout_graceful_shutdown=2, server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(START_S):
            await server.ready.wait()
        yield
    finally:
        server.should_exit = True
        await asyncio.shield(serving)
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn inside a program that has its own signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the agent."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it is done."""
        await super().startup(sockets)
        self.ready.set()


def _listen(home: Home) -> tuple[socket.socket, _Kept]:
    """Bind the home's port; the first time choose one and keep it with a new key."""
    try:
        kept = msgspec.json.decode(home.gateway_file.read_bytes(), type=_Kept)
    except FileNotFoundError:
        bound_to = (bind(port) for port in (*PORTS_WANTED, 0))
        listener = next(found for found in bound_to if found is not None)
        kept = _Kept(listener.getsockname()[1], secrets.token_urlsafe(KEY_BYTES))
        write_secret(home.gateway_file, msgspec.json.encode(kept))
        return listener, kept
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HomeUnreadable(f"{home.gateway_file} is damaged. Delete it; a new port and key are made.") from error
    bound = bind(kept.port)
    if bound is None:
        owner = owner_of(kept.port)
        raise PortTaken(
            f"Port {kept.port} of the gateway is in use by {owner}. Stop that program, or delete "
            f"{home.gateway_file} for a new port.",
            port=kept.port,
        )
    return bound, kept


def owner_of(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f"{psutil.Process(one.pid).name()} (process {one.pid})"
    return "another program"


def bind(port: int) -> socket.socket | None:
    """A socket that listens on loopback at this port; None where it is taken."""
    # The protocol is named so that asyncio knows it for TCP and sends answers at once (Nagle would cost 40 ms).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        return None
    listener.setblocking(False)
    return listener
