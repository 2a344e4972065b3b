"""The relay's door: how many connections may stand half open, in all and per source, before anything is checked.

A connection is half open from its accept until its client has proven an admitted key. A newcomer above a limit is let
in and the oldest half-open connection (of its source, or of all) is cut: an honest handshake takes milliseconds, so
the oldest is the least likely to be one, and memory stays bounded however many strangers knock.

Touches: sockets.
"""

import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from mesh.units import KIB

HALF_OPEN_MAX: Final = 512
"""In all. Each holds one file descriptor and about 20 KiB (its read buffer)."""
HALF_OPEN_PER_SOURCE_MAX: Final = 128
"""Per source: room for a house or office behind one address whose devices all come back at once."""
ESTABLISH_S: Final = 30.0
"""From accept to proven key: what the relays of this protocol allow."""
RECEIVE_BYTES: Final = 512 * KIB
"""Receive buffer asked of the kernel: bounds what a client can have waiting, and so how far its read buffer grows. It
still carries 10 MB/s from a client that is 50 ms away."""


class Door:
    """Counts half-open connections by file descriptor, oldest first."""

    def __init__(self, *, half_open_max: int = HALF_OPEN_MAX, per_source_max: int = HALF_OPEN_PER_SOURCE_MAX) -> None:
        self.cut = 0
        """How many half-open connections were cut: too many, or too slow."""
        self._half_open_max = half_open_max
        self._per_source_max = per_source_max
        self._half_open: dict[int, tuple[HeldSocket, str, float]] = {}
        self._sources: dict[str, dict[int, None]] = {}

    @property
    def half_open(self) -> int:
        """How many connections are half open now."""
        return len(self._half_open)

    def entered(self, held: "HeldSocket", address: str, now: float) -> None:
        """A connection was accepted from an IP address."""
        source = source_of(address)
        same = self._sources.setdefault(source, {})
        if len(same) >= self._per_source_max:
            self._cut(next(iter(same)))
        elif len(self._half_open) >= self._half_open_max:
            self._cut(next(iter(self._half_open)))
        descriptor = held.fileno()
        self._half_open[descriptor] = (held, source, now)
        self._sources.setdefault(source, {})[descriptor] = None

    def left(self, descriptor: int) -> None:
        """A connection is established, or over. Repeated news is ignored."""
        entry = self._half_open.pop(descriptor, None)
        if entry is None:
            return
        source = entry[1]
        same = self._sources[source]
        del same[descriptor]
        if not same:
            del self._sources[source]

    def tick(self, now: float) -> None:
        """Cut what has been half open for too long."""
        for descriptor, (_, _, since) in list(self._half_open.items()):
            if now - since < ESTABLISH_S:
                return  # the rest is younger
            self._cut(descriptor)

    def cut_all(self) -> None:
        """The relay stops."""
        for descriptor in list(self._half_open):
            self._cut(descriptor)

    def _cut(self, descriptor: int) -> None:
        held = self._half_open[descriptor][0]
        self.left(descriptor)
        self.cut += 1
        held.cut()


class HeldSocket(socket.socket):
    """An accepted socket that tells the door when it closes."""

    def __init__(self, accepted: socket.socket, door: Door) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._door = door

    def cut(self) -> None:
        """End the connection; the event loop sees the end and closes the socket."""
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was faster

    def close(self) -> None:
        """Close, and leave the door's count."""
        self._door.left(self.fileno())
        super().close()


class Listener(socket.socket):
    """A listening socket whose accepted sockets are counted at the door.

    The server library offers no hook between accept and the request; the event loop calls ``accept`` of the socket
    that it was given, so this is the one place to count a connection before it can send anything.
    """

    def __init__(self, bound: socket.socket, *, door: Door, clock: Callable[[], float]) -> None:
        super().__init__(bound.family, bound.type, bound.proto, fileno=bound.detach())
        self._door = door
        self._clock = clock
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.setblocking(False)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept and count a connection."""
        accepted, address = super().accept()
        held = HeldSocket(accepted, self._door)
        self._door.entered(held, address[0], self._clock())
        return held, address


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to an address; port 0 picks a free port. Raises OSError."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, proto)
    try:
        if os.name == "posix":  # elsewhere it would let another program take the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def source_of(address: str) -> str:
    """Whom an IP address counts for: itself, or the /64 of IPv6, which one household gets to number freely."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
