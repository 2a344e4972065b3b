"""Who stands between two programs: ends TLS on loopback and passes every byte on, on an event loop of its own.

One loop, because a TLS connection must not be read and written by two threads at once.

Touches: loopback sockets, one thread.
"""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress

PIECE = 65_536
GOODBYE_S = 1.0  # TLS's own end is waited for that long: a client that keeps its connection for later never says it


class Between:
    """Listens with a certificate of its own at `url`; what comes goes to `host:port`, and what answers comes back."""

    def __init__(self, mine: ssl.SSLContext, host: str, port: int, theirs: ssl.SSLContext | None = None) -> None:
        self._mine, self._target, self._theirs = mine, (host, port), theirs
        self.passed_on = 0
        """Bytes that were passed on towards the target."""
        self._open: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen(ready)), daemon=True)
        self._thread.start()
        self.url = f"https://127.0.0.1:{ready.result(20)}"

    async def _listen(self, ready: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self._mine, ssl_shutdown_timeout=GOODBYE_S)
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._end.wait()
        server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _begin(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(near, to_near))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        writers = [to_near]
        try:
            goodbye = GOODBYE_S if self._theirs else None
            far, to_far = await asyncio.open_connection(*self._target, ssl=self._theirs, ssl_shutdown_timeout=goodbye)
            writers.append(to_far)
            there = asyncio.create_task(self._pass_on(near, to_far, counted=True))
            try:  # the answer may still be on its way when who asked has said all
                await self._pass_on(far, to_near, counted=False)
            finally:
                there.cancel()
                await asyncio.wait((there,))
        except OSError:
            return  # nobody is there: who asked is cut off, as a proxy would
        finally:
            for writer in writers:
                writer.close()
            for writer in writers:
                with suppress(OSError):
                    await writer.wait_closed()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(OSError):
            while piece := await source.read(PIECE):
                self.passed_on += len(piece) if counted else 0
                target.write(piece)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()

    def close(self) -> None:
        """Listen no more and end what is open."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
