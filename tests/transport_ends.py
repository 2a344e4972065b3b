"""Two ends of each kind of transport, and small steps that transport tests share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, TypeVar

from mesh.ids import DeviceKey
from mesh.transport.interface import READ_BYTES_MAX, Address, Connection, Stream, Transport
from mesh.transport.iroh import IrohTransport, Options
from mesh.transport.local import LocalTransport
from mesh.transport.memory import Switchboard

T = TypeVar("T")

LIMIT_S = 30.0
"""Long enough for a loaded machine; nothing should come near it."""

SEED_A, SEED_B = b"\x01" * 32, b"\x02" * 32
KEY_A, KEY_B, KEY_C = (DeviceKey(pair * 32) for pair in ("aa", "bb", "cc"))


class Ends(NamedTuple):
    """Both transports (the same one twice for ``local``) and how the first reaches the second."""

    near: Transport
    far: Transport
    address: Address


async def iroh_end(seed: bytes, **options: object) -> IrohTransport:
    return await IrohTransport.open(seed, Options(**{"bind": "127.0.0.1:0", **options}))


@contextlib.asynccontextmanager
async def ends_of(kind: str, admits: Callable[[DeviceKey], bool] = lambda key: True) -> AsyncIterator[Ends]:
    async with contextlib.AsyncExitStack() as closing:
        if kind == "iroh":
            near: Transport = await iroh_end(SEED_A)
            closing.push_async_callback(near.close)
            far: Transport = await IrohTransport.open(SEED_B, Options(bind="127.0.0.1:0"), admits)
            closing.push_async_callback(far.close)
        elif kind == "local":
            near = far = LocalTransport(Switchboard().transport(KEY_A))
            closing.push_async_callback(near.close)
        else:
            board = Switchboard()
            near, far = board.transport(KEY_A), board.transport(KEY_B, admits)
            closing.push_async_callback(near.close)
            closing.push_async_callback(far.close)
        yield Ends(near, far, Address(far.key, tuple(far.addresses())))


async def connect(ends: Ends) -> tuple[Connection, Connection]:
    async with asyncio.TaskGroup() as group:
        accepting = group.create_task(within(ends.far.accept()))
        near = await ends.near.dial(ends.address, LIMIT_S)
    return near, accepting.result()


async def within(work: Awaitable[T], limit_s: float = LIMIT_S) -> T:
    async with asyncio.timeout(limit_s):
        return await work


async def a_stream(near: Connection, far: Connection) -> tuple[Stream, Stream]:
    """Open a stream at one end and take it in at the other; one byte goes along."""
    opened = await near.open_stream(LIMIT_S)
    await opened.write(b"!", LIMIT_S)
    taken = await within(far.accept_stream())
    assert await taken.read(LIMIT_S) == b"!"
    return opened, taken


async def read_exactly(stream: Stream, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = await stream.read(LIMIT_S)
        assert 1 <= len(part) <= READ_BYTES_MAX
        content += part
    return bytes(content)


async def read_to_end(stream: Stream) -> bytes:
    content = bytearray()
    while part := await stream.read(LIMIT_S):
        content += part
    return bytes(content)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the binding does by itself and tells nobody."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
