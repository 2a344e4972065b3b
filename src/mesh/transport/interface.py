"""What every transport gives: dial a device key, accept others, open streams, know the path.

A peer's key is proven before a Connection exists. A stream is ordered bytes in both directions; its end is never proof
of completeness (frames carry their length). Every wait takes a limit in seconds and raises ``TransportError``s only.

Touches: nothing.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.protocol.values import AddressKind, PathKind

READ_BYTES_MAX = 256 * 1024
"""The most that one read returns. 256 KiB moved most bytes per second of 64 KiB, 256 KiB and 1 MiB."""


class TransportError(MeshError):
    """The connection to the other device failed. It is tried again by itself; `mesh ping` shows the path."""

    code = "transport.failed"
    kind = "unavailable"


class DialTimeout(TransportError):
    """The device did not answer in time. Check that it is switched on and running `mesh up`."""

    code = "transport.dial_timeout"
    kind = "timed_out"


class ConnectionLost(TransportError):
    """The connection to the other device ended. The job is tried elsewhere if it can be."""

    code = "transport.lost"


class TransportTimeout(TransportError):
    """The other device stopped taking or sending data. It is treated as lost."""

    code = "transport.timeout"
    kind = "timed_out"


class Path(NamedTuple):
    """How packets travel now. ``rtt_ms`` is None until measured.

    ``address``: over a direct path, the kind of the peer's address. The bytes are those of whole packets in both
    directions since the connection began, by the way they took.
    """

    kind: PathKind
    rtt_ms: float | None = None
    address: AddressKind | None = None
    direct_bytes: int = 0
    relayed_bytes: int = 0


class Address(NamedTuple):
    """Where a device may be reached: its key, ``ip:port`` texts, the URL of its relay, and others that it may be at."""

    key: DeviceKey
    direct: Sequence[str] = ()
    relay: str | None = None
    other_relays: Sequence[str] = ()


class Stream(Protocol):
    """One ordered stream of bytes each way."""

    async def read(self, timeout_s: float | None = None) -> bytes:
        """Return what has arrived (1 byte to ``READ_BYTES_MAX``), or ``b""`` at the peer's end.

        Cancelling a read loses nothing. Raises ConnectionLost, TransportTimeout.
        """
        ...

    async def write(self, content: bytes, timeout_s: float) -> None:
        """Hand over all of ``content``. A write that is cancelled or times out resets the stream."""
        ...

    async def finish(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        ...

    async def reset(self) -> None:
        """Drop both directions at once; the peer sees ConnectionLost."""
        ...


class Connection(Protocol):
    """A live, mutually authenticated connection to one device."""

    @property
    def peer(self) -> DeviceKey:
        """The key that the other side has proven."""
        ...

    def path(self) -> Path:
        """The path in use now."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        ...

    async def open_stream(self, timeout_s: float) -> Stream:
        """Open a stream to the peer. The peer sees it with the first write.

        Over iroh 100 streams may be unfinished at a time; the next waits, up to the limit.
        """
        ...

    async def accept_stream(self) -> Stream:
        """Wait for the peer's next stream; cancelling loses none. Raises ConnectionLost at the end."""
        ...

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, for whatever reason."""
        ...

    async def close(self, reason: str = "") -> None:
        """End the connection and all its streams. ``reason`` is a code, never text about a job."""
        ...


class Transport(Protocol):
    """This device's end: it dials others and accepts them."""

    @property
    def key(self) -> DeviceKey:
        """The key of this very device."""
        ...

    async def dial(self, address: Address, timeout_s: float) -> Connection:
        """Connect to a device (to this very device: in process). Raises DialTimeout, TransportError."""
        ...

    async def accept(self) -> Connection:
        """Wait for the next incoming connection; cancelling loses none."""
        ...

    def addresses(self) -> Sequence[str]:
        """The ``ip:port`` texts that this end listens on."""
        ...

    def relay(self) -> str | None:
        """The URL of the relay through which this end is reached now."""
        ...

    async def use_relays(self, urls: Iterable[str]) -> None:
        """Use these relays from now on; connections that live stay up."""
        ...

    async def publish(self, addresses: Iterable[str]) -> None:
        """Let peers try these ``ip:port`` texts too: our addresses as observed from outside. Replaces earlier ones."""
        ...

    def touch(self, address: str) -> None:
        """Send a byte that means nothing to an ``ip:port``, so that routers on the way keep our mapping in use."""
        ...

    async def reach_changed(self) -> None:
        """Wait until this end is reached otherwise: the machine's network is another, or another relay was chosen."""
        ...

    async def close(self) -> None:
        """Close every connection, then the endpoint, in the order that the implementation needs."""
        ...
