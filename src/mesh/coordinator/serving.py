"""One uvicorn inside our own event loop: it listens where it is told and leaves signals to the program.

Whoever opens a WebSocket may say little until the application trusts them: longer messages end it while they come in.

Touches: sockets.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from mesh.coordinator.config import BadConfig
from mesh.coordinator.links.websocket import TRUST
from mesh.protocol.link import HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX

GRACE_S = 1
"""How long open requests may take at the end; without it an open stream would keep the process for ever."""
BACKLOG = 2048


class Server(uvicorn.Server):
    """A server that installs no signal handlers (the program has one place for them) and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


class Wary(WebSocketsSansIOProtocol):
    """A WebSocket that takes short messages only, until the application calls the extension ``TRUST``.

    The limit holds while a message comes in, so that strangers never have more of it kept.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.conn.max_message_size = HANDSHAKE_BYTES_MAX

    def handle_connect(self, event: Request) -> None:
        """A connection was asked for: the application is told how to let it say more."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][TRUST] = {"call": self._trust}

    def _trust(self) -> None:
        self.conn.max_message_size = MESSAGE_BYTES_MAX


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadConfig with the reason."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise BadConfig(
            f"Cannot listen on {host}:{port} ({error.strerror}). Stop what uses that port, or choose another --port.",
            host=host,
            port=port,
        ) from error
    listening.setblocking(False)
    return listening


def server(app: Callable[..., Any], tls: ssl.SSLContext | None) -> Server:
    """The server around an ASGI application. WebSocket pings are off: beats are the life sign."""
    return Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws=Wary,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
            ssl_context_factory=None if tls is None else lambda config, default: tls,
        )
    )
