"""Long payloads and results: each on a stream of its own, read only when somebody expects it.

Nothing of a blob's content is read, and nothing allocated, before an attempt of that very connection has announced the
blob with its size.

Touches: the transport (through its argument).
"""

import asyncio

from mesh.protocol import frames
from mesh.protocol.frames import FrameError
from mesh.protocol.session import Key
from mesh.transport.interface import Connection, ConnectionLost, Stream, TransportTimeout

OPEN_S = 10.0
PIECE_S = 15.0
"""A blob that stands still for this long is lost: a stalled direct path needs 15 s to fall back to the relay."""
EXPECTED_WITHIN_S = 15.0
"""A blob may overtake the frame that announces it, but not by more than one stall of a path."""
EARLY_MAX = 16
"""Blob streams of one connection that nobody expects yet; further ones are refused."""


class _Arrived:
    """A blob's stream whose first frame was read."""

    def __init__(self, blob: frames.Blob, stream: Stream, rest: bytes) -> None:
        self.blob = blob
        self.stream = stream
        self.rest = rest
        self.claimed = asyncio.Event()


class Inbox:
    """The blobs that arrive over one connection."""

    def __init__(self) -> None:
        self._expected: dict[Key, asyncio.Future[_Arrived]] = {}
        self._early: dict[Key, _Arrived] = {}

    async def arrived(self, blob: frames.Blob, stream: Stream, rest: bytes) -> None:
        """A blob stream was opened by the peer; ``rest`` are bytes of it that were read already."""
        key = (blob.job, blob.attempt)
        expected = self._expected.get(key)
        if expected is not None and not expected.done():
            expected.set_result(_Arrived(blob, stream, rest))
        elif expected is not None or key in self._early or len(self._early) >= EARLY_MAX:
            await stream.reset()
        else:
            early = self._early[key] = _Arrived(blob, stream, rest)
            try:
                async with asyncio.timeout(EXPECTED_WITHIN_S):
                    await early.claimed.wait()
            except TimeoutError:
                del self._early[key]
                await stream.reset()

    async def receive(self, key: Key, size: int) -> bytes:
        """Read the announced blob of an attempt. Raises FrameError, TransportError."""
        assert size <= frames.BLOB_BYTES_MAX
        found = self._claim(key) or await self._wait(key)
        blob, stream, rest = found.blob, found.stream, found.rest
        if blob.size != size or len(rest) > size:
            await stream.reset()
            raise FrameError("A blob has another size than was announced.", reason="size")
        content = bytearray(rest)
        while len(content) < size:
            piece = await stream.read(PIECE_S)
            if not piece:
                raise ConnectionLost
            if len(content) + len(piece) > size:
                await stream.reset()
                raise FrameError("A blob is longer than was announced.", reason="size")
            content += piece
        if await stream.read(PIECE_S):
            await stream.reset()
            raise FrameError("A blob is longer than was announced.", reason="size")
        await stream.finish()
        return bytes(content)

    def forget(self, key: Key) -> None:
        """Nobody waits for this blob any more."""
        self._claim(key)
        expected = self._expected.pop(key, None)
        if expected is not None:
            expected.cancel()

    def _claim(self, key: Key) -> "_Arrived | None":
        early = self._early.pop(key, None)
        if early is not None:
            early.claimed.set()
        return early

    async def _wait(self, key: Key) -> _Arrived:
        expected: asyncio.Future[_Arrived] = asyncio.get_running_loop().create_future()
        self._expected[key] = expected
        try:
            async with asyncio.timeout(EXPECTED_WITHIN_S):
                return await expected
        except TimeoutError as error:
            raise TransportTimeout from error
        finally:
            self._expected.pop(key, None)


async def send(connection: Connection, key: Key, content: bytes) -> None:
    """Send an attempt's blob on a stream of its own; returns once the peer has all of it. Raises TransportError."""
    stream = await connection.open_stream(OPEN_S)
    header = frames.encode(frames.Blob(key[0], key[1], len(content)))
    view = memoryview(content)
    await stream.write(header + view[: frames.INLINE_BYTES_MAX], PIECE_S)
    for start in range(frames.INLINE_BYTES_MAX, len(content), frames.INLINE_BYTES_MAX):
        await stream.write(bytes(view[start : start + frames.INLINE_BYTES_MAX]), PIECE_S)
    await stream.finish()
    await stream.read(PIECE_S)  # its end says that it has all: a stream let go before takes back what is on its way
