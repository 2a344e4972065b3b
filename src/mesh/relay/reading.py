"""A connection's read buffer: grows from 16 to 256 KiB while it is busy, and gives its memory back when it is quiet.

The WebSocket library doubles a buffer that one read has filled and never makes it smaller. This stands between the
socket and the library: it bounds a read, so that the doubling ends at 256 KiB, and returns what a quiet buffer does not
hold to the system. The buffer keeps its size; its empty pages cost nothing until the next bytes come.

Touches: this process's memory.
"""

import asyncio
from typing import Final

from mesh.relay.giving_back import forget
from mesh.units import KIB

FIRST_BYTES: Final = 16 * KIB
"""First size. Its pages count only once they are written, so that an idle connection costs one or two of them."""
LARGEST_BYTES: Final = 256 * KIB
"""Measured through iroh: 256 KiB carry 168 to 192 MiB/s, 16 KiB 105 to 115; more brought nothing."""
READ_BYTES_MAX: Final = 160 * KIB
"""One read, at most: with the rest of a frame (64 KiB) before it, it stays below the nine tenths of 256 KiB at which
the library doubles."""


class Reading(asyncio.BufferedProtocol):
    """Passes everything on to the library's protocol, and knows whether bytes have come lately."""

    __slots__ = ("_inner", "_looks")

    def __init__(self, inner: asyncio.BufferedProtocol) -> None:
        self._inner = inner
        self._looks = 0

    @property
    def room(self) -> memoryview:
        """The part of the buffer that holds nothing."""
        view: memoryview = self._inner.get_buffer(-1)  # type: ignore[assignment]
        return view

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self.room[:READ_BYTES_MAX]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        self._looks = 0
        self._inner.buffer_updated(nbytes)

    def look(self) -> None:
        """Called now and then: what was quiet since the last look gives its memory back, once."""
        self._looks += 1
        if self._looks == 2:
            forget(self.room)

    def eof_received(self) -> bool | None:
        """The peer sends no more."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Much waits to be sent."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Less does."""
        self._inner.resume_writing()
