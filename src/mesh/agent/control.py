"""The agent's control socket: what the command line of the same user may ask of it.

A Unix socket in the home (0700), itself 0600, and the peer's user is checked: gateway keys open none of this.

Touches: a Unix socket, the file system.
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from mesh.errors import MeshError
from mesh.sdk import control


class Say:
    """Says lines to a client before the last one."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __call__(self, answer: control.Answer) -> None:
        """Put a line on its way, without waiting for the client."""
        self._writer.write(control.encode(answer))

    async def taken(self) -> None:
        """Wait until the client has taken most of what was said. Raises OSError when it has gone."""
        await self._writer.drain()


Handler = Callable[[control.AnyRequest, Say], Awaitable[control.Answer]]

REQUEST_S = 10.0
"""A client that connects and says nothing is let go."""

log = structlog.get_logger()


class OtherUser(MeshError):
    """This agent belongs to another user of this machine. Run the command as the user who started the agent."""

    code = "agent.other_user"
    kind = "forbidden"


@asynccontextmanager
async def served(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer requests inside the block. The home's lock must be held: a socket file that is there is stale."""
    listener = _listen(path)
    server = await asyncio.start_unix_server(_Clients(handler).serve, sock=listener, limit=control.LINE_BYTES_MAX)
    try:
        async with server:
            yield
    finally:
        _unlink(path)


class _Clients:
    """Serves one request per connection."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from start to end; the client's going cancels what it asked."""
        try:
            answer = await self._answer(reader, writer)
            if answer is not None:
                writer.write(control.encode(answer))
                async with asyncio.timeout(REQUEST_S):
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # the client has gone
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> control.Answer | None:
        try:
            if peer_user(writer.get_extra_info("socket")) != os.getuid():
                raise OtherUser
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
            if not line:
                return None
            request = control.decode_request(line)
        except MeshError as error:
            return control.Refusal(error.wire())
        except ValueError:  # asyncio's word for a line over the limit
            return control.Refusal(control.ControlBroken("The request is too long.").wire())
        return await self._work(request, reader, writer)

    async def _work(
        self, request: control.AnyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> control.Answer | None:
        """Do what is asked, unless the client goes first."""
        work = asyncio.ensure_future(self._handler(request, Say(writer)))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return None
            return work.result()
        except MeshError as error:
            return control.Refusal(error.wire())
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)


def _listen(path: Path) -> socket.socket:
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with control.reachable(path) as name:
            listener.bind(name)
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def peer_user(connection: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel knows it."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    return os.getuid()  # macOS and others: the home's 0700 keeps other users out
