"""A connection of the binding: its streams without losses, its path and what went which way, an orderly end.

The binding's connection comes in as an argument, with the function that awaits its calls.

Touches: the event loop.
"""

import asyncio
import contextlib
import ipaddress
from typing import Any

from mesh.ids import DeviceKey
from mesh.protocol.values import AddressKind, PathKind
from mesh.transport.inbox import Inbox, Tasks, again
from mesh.transport.interface import ConnectionLost, Path, TransportTimeout
from mesh.transport.iroh_stream import Called, IrohStream

STREAMS_WAITING_MAX = 64
"""Streams taken in but not yet accepted, per connection; after that the peer's next ones wait at the peer."""

CLOSE_LIMIT_S = 1.0
"""The most that closing waits for the other side to confirm: it took 1 ms with it there, and 3 s after a dial that
nobody answered. The news itself is sent at once."""

CODE_DONE, CODE_NOT_ADMITTED, CODE_BUSY = 0, 1, 2
"""Application error codes that a peer is told when a connection ends."""


class IrohConnection:
    """A connection to a device whose key is proven."""

    def __init__(self, raw: Any, called: Called) -> None:
        """Take over a connection of the binding; must run in the event loop."""
        self._raw = raw
        self._called = called
        self._counted: dict[str, tuple[bool, int]] = {}
        self._ended = {True: 0, False: 0}
        self._peer = DeviceKey(str(raw.remote_id()))
        self._tasks = Tasks()
        self._streams: Inbox[IrohStream] = Inbox(STREAMS_WAITING_MAX)
        self._accepting = False
        self._closed = asyncio.Event()
        self._aborted = False
        self._last_path = Path("relayed")
        self._tasks.start(self._watch())

    @property
    def peer(self) -> DeviceKey:
        """The key that the other side has proven."""
        return self._peer

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, as far as it was told here: asking the binding takes as long as signing."""
        return self._aborted or self._closed.is_set()

    @property
    def close_reason(self) -> str | None:
        """Why the connection ended, in the binding's words; None while it lives."""
        reason: str | None = self._raw.close_reason()
        return reason

    def path(self) -> Path:
        """The path in use now, or the last one; the binding measures in whole milliseconds.

        A path that ended between two calls is counted as far as the call before saw it.
        """
        paths = self._raw.paths()
        now = {path.id: (path.is_ip, path.stats.udp_tx_bytes + path.stats.udp_rx_bytes) for path in paths}
        for ended in self._counted.keys() - now.keys():
            ip, size = self._counted[ended]
            self._ended[ip] += size
        self._counted = now
        direct, relayed = (
            self._ended[kind] + sum(size for ip, size in now.values() if ip is kind) for kind in (True, False)
        )
        for path in sorted(paths, key=lambda path: not path.is_selected)[:1]:
            kind: PathKind = "direct" if path.is_ip else "relayed"
            where = kind_of(path.remote_addr) if path.is_ip else None
            self._last_path = Path(kind, float(path.rtt_ms), where)
        return self._last_path._replace(direct_bytes=direct, relayed_bytes=relayed)

    def seen_at(self) -> str | None:
        """The ``ip:port`` from which the peer is seen on the path in use; None while that is the relay's."""
        for path in self._raw.paths():
            if path.is_selected and path.is_ip:
                return _plain(path.remote_addr)
        return None

    async def open_stream(self, timeout_s: float) -> IrohStream:
        """Open a stream; waits while the peer allows no more of them."""
        opening = self._tasks.start(self._open_raw())
        try:
            await asyncio.wait((opening,), timeout=timeout_s)  # not shield: the connection's end cancels only `opening`
        except asyncio.CancelledError:
            opening.add_done_callback(self._drop_late)
            raise
        if not opening.done():
            opening.add_done_callback(self._drop_late)
            raise TransportTimeout(waited_s=timeout_s)
        if opening.cancelled():
            raise again(self._tasks.over)
        return self._stream(opening.result())

    async def accept_stream(self) -> IrohStream:
        """Wait for the peer's next stream."""
        if not self._accepting:
            self._accepting = True
            self._tasks.pump(self._next_stream, self._streams)
        return await self._streams.take()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await self._closed.wait()

    async def close(self, reason: str = "") -> None:
        """End the connection and wait until its tasks are done."""
        self.abort(CODE_DONE, reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._closed.wait()
        self._closed.set()
        await self._tasks.stop()

    def abort(self, code: int, reason: str) -> None:
        """Tell the peer that it is over, without waiting for anything."""
        self._aborted = True
        self._raw.close(code, reason.encode())

    async def _next_stream(self) -> IrohStream:
        return self._stream(await self._called(self._raw.accept_bi()))

    def _stream(self, raw: Any) -> IrohStream:
        return IrohStream(raw.send(), raw.recv(), self._tasks, self._called)

    async def _open_raw(self) -> Any:
        return await self._called(self._raw.open_bi())

    def _drop_late(self, opening: "asyncio.Task[Any]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._stream(opening.result())  # nobody keeps it: that resets it

    async def _watch(self) -> None:
        try:
            self._tasks.over = ConnectionLost(cause="closed", detail=await self._raw.closed())
        finally:
            self._closed.set()
            self._tasks.cancel()


def kind_of(address: str) -> AddressKind:
    """What kind of address an ``ip:port`` text names."""
    ip = ipaddress.ip_address(_plain(address).rpartition(":")[0].strip("[]").partition("%")[0])
    if ip.is_loopback:
        return "loopback"
    return "public" if ip.is_global else "private"


def _plain(address: str) -> str:
    """An IPv4 address that came in on an IPv6 socket is written as the IPv4 address it is."""
    host, _, port = address.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return address if mapped is None else f"{mapped}:{port}"
