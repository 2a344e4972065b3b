"""Job ids and their digest secrets: made from numbers that were reserved durably, in blocks, before any is used.

So no id is ever given twice, also not after a crash, and the hot path waits for no disk. A job's secret follows from
its id, so that a repeat of the job would have the same digests.

Touches: the agent's store (through its argument), the system's randomness (once per home).
"""

import asyncio
import hashlib
import secrets
from typing import NamedTuple

from mesh.agent.store import Store
from mesh.ids import ULID_RANDOM_BYTES, JobId, RequestId, ulid
from mesh.protocol.receipt import DIGEST_SECRET_BYTES

BLOCK = 1024
"""Numbers reserved by one write. After a crash the rest of a block is lost, which costs nothing."""


class Numbered(NamedTuple):
    """A new job's id and secret, and what makes ids of its permit requests."""

    job: JobId
    secret: bytes
    number: int


class Numbers:
    """The source of this home's job numbers. ``open`` first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = b""
        self._next = 0
        self._end = 0
        self._spare: asyncio.Future[int] | None = None
        self._refilling = asyncio.Lock()

    async def open(self) -> None:
        """Take up this home's root secret and the first block."""
        root = await self._store.kept("job_root")
        if root is None:
            root = secrets.token_bytes(DIGEST_SECRET_BYTES)
            await self._store.keep("job_root", root)
        self._root = root
        self._next = await self._store.advance("job_numbers", BLOCK)
        self._end = self._next + BLOCK

    async def job(self, now_ms: int) -> Numbered:
        """The next job's id and secret."""
        if self._next == self._end:
            await self._refill()
        number = self._next
        self._next += 1
        if self._spare is None and self._end - self._next < BLOCK // 2:
            self._spare = self._reserve()
        return self.numbered(number, now_ms)

    async def block(self, count: int) -> int:
        """Reserve so many numbers durably for one caller, who remembers the first: it is returned."""
        return await self._store.advance("job_numbers", count)

    def numbered(self, number: int, at_ms: int) -> Numbered:
        """The job of a reserved number; the same number and time give the same job, also in another life."""
        job = JobId(ulid(at_ms, self._derive(b"job", number)[:ULID_RANDOM_BYTES]))
        return Numbered(job, self._derive(b"secret" + job.encode(), number), number)

    async def _refill(self) -> None:
        async with self._refilling:
            if self._next == self._end:
                start = await (self._spare or self._reserve())
                self._next, self._end, self._spare = start, start + BLOCK, None

    def _reserve(self) -> "asyncio.Future[int]":
        return asyncio.ensure_future(self._store.advance("job_numbers", BLOCK))

    def request(self, number: int, turn: int, now_ms: int) -> RequestId:
        """The id of a job's permit request; every turn of asking has its own."""
        return RequestId(ulid(now_ms, self._derive(b"request%d" % turn, number)[:ULID_RANDOM_BYTES]))

    def _derive(self, purpose: bytes, number: int) -> bytes:
        content = purpose + b"/" + str(number).encode()
        return hashlib.blake2b(content, key=self._root, digest_size=DIGEST_SECRET_BYTES).digest()
