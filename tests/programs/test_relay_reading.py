"""Read buffers: as large as a busy connection needs, never above their limit, and no memory once it is quiet."""

import asyncio
import ctypes
import mmap
import sys

import pytest

from mesh.protocol import relayed
from mesh.relay.reading import FIRST_BYTES, LARGEST_BYTES, Reading
from mesh.relay.server import TICK_S, Relay
from relay_client import a_key, a_relay, connected, public

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages are resident"),
]

A, B = a_key("a"), a_key("b")
NETWORKS = {A: (1,), B: (1,)}
LIMIT_S = 30.0
_C = ctypes.CDLL(None)


def resident(room: memoryview) -> int:
    """Bytes of the whole pages beneath this memory that the process really holds."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = (start + len(room) - first) // mmap.PAGESIZE
    if pages <= 0:
        return 0
    present = (ctypes.c_ubyte * pages)()
    assert _C.mincore(ctypes.c_void_p(first), ctypes.c_size_t(pages * mmap.PAGESIZE), present) == 0
    return sum(page & 1 for page in present) * mmap.PAGESIZE


def readings(relay: Relay) -> list[Reading]:
    return [link.reading for link in relay._links.values()]


async def until_rested(relay: Relay) -> None:
    """The relay looks twice at what is quiet."""
    async with asyncio.timeout(LIMIT_S):
        while not all(reading._looks > 2 for reading in readings(relay)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(TICK_S / 5)


async def test_a_busy_buffer_grows_to_its_limit_and_a_quiet_one_holds_no_memory() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a, connected(url, B) as b:
        busy, _ = readings(relay)
        assert len(busy.room) <= FIRST_BYTES
        frame = relayed.send_datagrams(public(B), bytes(relayed.BODY_BYTES_MAX - relayed.KEY_BYTES - 1))
        largest = 0
        for _ in range(20):
            for _ in range(8):
                await a.send(frame)
            for _ in range(8):
                await b.hear()
            largest = max(largest, len(busy.room))
        assert 4 * FIRST_BYTES < largest <= LARGEST_BYTES + 1024
        assert resident(busy.room) > 2 * FIRST_BYTES
        await until_rested(relay)
        assert resident(busy.room) == 0
        await a.send(frame)
        assert isinstance(await b.hear(), relayed.Datagrams), "and it is as good as before"


async def test_part_of_a_frame_survives_the_rest() -> None:
    async with a_relay(NETWORKS) as (relay, url), connected(url, A) as a, connected(url, B) as b:
        content = bytes(range(256)) * 200
        frame = relayed.send_datagrams(public(B), content)
        socket = a.socket.transport
        mask = b"\x00\x00\x00\x00"
        whole = b"\x82\xfe" + len(frame).to_bytes(2) + mask + frame
        socket.write(whole[:30_000])
        await until_rested(relay)
        socket.write(whole[30_000:])
        heard = await b.hear()
        assert isinstance(heard, relayed.Datagrams) and heard.content == content
