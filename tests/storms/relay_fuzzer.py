"""A fuzzer of relays on raw sockets: seeded, as member and as stranger; it knows what it sent, not what is right.

Touches: sockets.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from nacl.signing import SigningKey

from mesh.protocol import relayed
from relay_client import derive_key, public
from storms.test_frame_fuzz import mutate

LIMIT_S = 30.0
BURST = 24
"""Frames written at once on one connection; what comes after a bad one is never looked at, and not counted."""
UPGRADE = (
    b"GET /relay HTTP/1.1\r\nHost: r\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: iroh-relay-v2, iroh-relay-v1\r\n\r\n"
)
_ECHO = b"\xfe" * relayed.PING_BYTES
_BINARY, _PING = 0x82, 0x89


def ws(message: bytes, first: int = _BINARY, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A masked WebSocket frame, as a client sends it."""
    size = len(message)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = b"\xfe" + size.to_bytes(2) if size <= 0xFFFF else b"\xff" + size.to_bytes(8)
    stream = mask * (size // 4 + 1)
    masked = (int.from_bytes(message) ^ int.from_bytes(stream[:size])).to_bytes(size)
    return bytes((first,)) + length + mask + masked


@dataclass
class Fuzzer:
    """Sends ``count`` frames to a relay. ``keys`` are admitted; ``targets`` may be named as receivers."""

    url: str
    seed: int
    keys: Sequence[SigningKey]
    targets: Sequence[bytes]
    sent: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Draw everything from the seed."""
        self._chance = random.Random(self.seed)
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        self._at = (parts.hostname, parts.port)

    async def run(self, count: int, workers: int = 8, on_step: Callable[[int], None] = lambda sent: None) -> None:
        """Send so many frames over as many connections as that takes."""
        goal = self.sent + count

        async def work(mine: Sequence[SigningKey]) -> None:
            while self.sent < goal:
                kind = self._chance.choices(("member", "sockets", "stranger", "http"), (80, 8, 10, 2))[0]
                try:
                    async with asyncio.timeout(LIMIT_S):
                        await self._connection(kind, self._chance.choice(mine))
                except TimeoutError:
                    raise
                except (OSError, asyncio.IncompleteReadError):
                    self.ends[f"{kind} cut"] += 1
                on_step(self.sent)

        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(work(self.keys[number::workers]))

    async def _connection(self, kind: str, key: SigningKey) -> None:
        reader, writer = await asyncio.open_connection(*self._at)
        try:
            if kind == "http":
                writer.write(self._mutated(UPGRADE))
                writer.write_eof()
                await reader.read(4096)
                self.sent += 1
                return
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            challenge = relayed.read_challenge((await reader.readexactly(2 + 17))[2:])
            digest = relayed.challenge_digest(challenge, derive_key)
            auth = relayed.client_auth(public(key), key.sign(digest).signature)
            if kind == "stranger":
                writer.write(ws(self._strange(auth)))
                await reader.read(4096)
                self.sent += 1
                return
            writer.write(ws(auth))
            assert (await reader.readexactly(3))[2:] == relayed.ACCEPTED_FRAME
            if kind == "sockets":
                writer.write(b"".join(self._wire() for _ in range(BURST)))
                writer.write_eof()
                while await reader.read(1 << 16):
                    pass
                self.sent += 1
                return
            while await self._burst(reader, writer):
                pass
        finally:
            writer.transport.abort()

    async def _burst(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection lives on: the ping after each frame is answered until one of them ends it."""
        writer.write(b"".join(self._frame() + ws(_ECHO, _PING) for _ in range(BURST)))
        answered = 0
        mark = b"\x8a\x08" + _ECHO  # a pong of ours; no frame of others begins so, and none of the echoes is random
        rest = b""
        while answered < BURST:
            piece = await reader.read(1 << 16)
            if not piece:
                self.sent += 1 + answered
                self.ends["member ended"] += 1
                return False
            rest += piece
            answered += rest.count(mark)
            at = rest.rfind(mark)
            rest = rest[at + len(mark) :] if at >= 0 else rest[-len(mark) :]
        self.sent += BURST
        return self._chance.random() < 0.7

    def _frame(self) -> bytes:
        """A relay frame in a sound WebSocket frame: mostly one that is nearly right."""
        chance = self._chance
        frame = self._sound()
        draw = chance.random()
        if draw < 0.75:  # the sealed part and the receiver: nothing of the relay's business
            body = bytearray(frame)
            body[chance.randrange(min(1, len(body) - 1), len(body))] ^= 1 << chance.randrange(8)
            frame = bytes(body)
        elif draw < 0.93:
            frame = mutate(chance, frame)
        elif draw < 0.99:
            frame = chance.randbytes(chance.choice((0, 1, 2, 9, 33, 34, 35, 37, 200, 5000)))
        else:
            frame = bytes((chance.choice((4, 5)),)) + chance.randbytes(chance.randrange(64_000, 66_000))
        return ws(frame)

    def _sound(self) -> bytes:
        chance = self._chance
        kind = chance.randrange(4)
        if kind == 0:
            return relayed.ping(chance.randbytes(8))
        if kind == 1:
            return relayed.pong(chance.randbytes(8))
        to = chance.choice(self.targets) if chance.random() < 0.8 else chance.randbytes(32)
        content = chance.randbytes(chance.choice((1, 40, 300, 1300, 9000)))
        return relayed.send_datagrams(to, content, segment=0 if kind == 2 else chance.randrange(1, 1400))

    def _wire(self) -> bytes:
        """Something that is wrong, or odd, below the relay's frames."""
        chance = self._chance
        good = ws(self._sound())
        kind = chance.randrange(6)
        if kind == 0:
            return mutate(chance, good)
        if kind == 1:  # another opcode or reserved bits
            return bytes((chance.randrange(256),)) + good[1:]
        if kind == 2:  # fragments, some never finished
            return ws(self._sound(), 0x02) + (ws(b"rest", 0x80) if chance.random() < 0.5 else b"")
        if kind == 3:  # a length that is a lie, or not masked
            return b"\x82\xff" + chance.randbytes(8) + b"abcd" if chance.random() < 0.5 else b"\x82\x09" + bytes(9)
        if kind == 4:
            return ws(chance.randbytes(chance.randrange(126)), chance.choice((0x81, 0x88, 0x89, 0x8A)))
        return chance.randbytes(chance.randrange(1, 200))

    def _strange(self, auth: bytes) -> bytes:
        """What a stranger says in place of a proof."""
        chance = self._chance
        draw = chance.random()
        if draw < 0.5:
            return mutate(chance, auth)
        if draw < 0.8:
            own = SigningKey(chance.randbytes(32))
            return relayed.client_auth(public(own), own.sign(chance.randbytes(32)).signature)
        return chance.randbytes(chance.choice((0, 1, 97, 98, 99, 4000)))

    def _mutated(self, request: bytes) -> bytes:
        draw = self._chance.random()
        return mutate(self._chance, request) if draw < 0.7 else self._chance.randbytes(self._chance.randrange(1, 3000))
