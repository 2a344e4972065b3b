"""The requester's own process that draws documents as pages, so that the agent itself never decodes a file.

It starts with the first file and ends with the last; a file that kills it costs that page alone.

Touches: processes (through ``workloads``).
"""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from mesh.errors import MeshError, from_wire
from mesh.units import GIB
from mesh.workloads import engines
from mesh.workloads.child import EngineFailed
from mesh.workloads.contract import Model, Payload
from mesh.workloads.pages import Drawn, Pages, TooCostly
from mesh.workloads.pictures import Unreadable
from mesh.workloads.process import (
    EngineCrashed,
    EngineNotLoaded,
    EngineOutOfMemory,
    EngineProcess,
    JobTimedOut,
    engine_process,
)

PAGE_LIMIT_S = 15.0
"""One page, on a busy machine; plain ones take 0.05 to 0.3 s."""

MEMORY_BYTES = GIB + GIB // 2
"""The largest picture that may be decoded takes 0.5 GB with its grey copy."""

COSTLY_MAX = 3
"""After so many pages that had to be stopped, the rest of their file is not tried."""

_PAGES = Pages()


class Batch(NamedTuple):
    """Pages that were drawn, in order, each a PNG or why there is none; ``total``: pages of the document."""

    total: int
    pages: list[bytes | MeshError]


class Drawer:
    """Draws pages, a few at a time. Use as an async context manager: leaving it leaves no process behind."""

    def __init__(self, page_limit_s: float = PAGE_LIMIT_S) -> None:
        self._page_limit_s = page_limit_s
        self._stack = AsyncExitStack()
        self._process: EngineProcess | None = None

    async def __aenter__(self) -> Self:
        if missing := engines.missing("pages"):
            raise EngineNotLoaded(
                "Files cannot be prepared for OCR here. Install Mesh with its `ocr` extra, then try again.",
                missing=missing,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def total(self, content: bytes) -> int:
        """Pages of a document. Raises BadInput for what is none."""
        return (await self._draw(content, 0, 0)).total

    async def draw(self, content: bytes, first: int, count: int) -> list[bytes | MeshError]:
        """Draw ``count`` pages from number ``first`` (from 0). Raises BadInput where the file cannot be opened."""
        try:
            return (await self._draw(content, first, count)).pages
        except TooCostly:
            if count == 1:
                raise
        # which one it was is found one by one
        pages: list[bytes | MeshError] = []
        costly: list[TooCostly] = []
        for place in range(first, first + count):
            if len(costly) >= COSTLY_MAX:
                pages.append(costly[-1])
                continue
            try:
                pages += (await self._draw(content, place, 1)).pages
            except TooCostly as error:
                costly.append(error)
                pages.append(error)
        return pages

    async def _draw(self, content: bytes, first: int, count: int) -> Batch:
        payload = Payload({"first": first, "count": count}, (content,))
        _PAGES.check(payload)
        try:
            process = await self._ready()
            done = await process.run(payload, limit_s=self._page_limit_s * max(1, min(count, 2)))
        except (EngineCrashed, EngineOutOfMemory, JobTimedOut) as error:
            await self._end()
            raise TooCostly(reason=error.wire_code) from error
        except MeshError as error:
            if error.wire_code == EngineFailed.code:  # nobody foresaw what this file provokes
                raise Unreadable(reason=str(error.facts.get("problem", ""))) from error
            raise
        _PAGES.check_result(payload, done.payload)
        drawn = msgspec.convert(done.payload.manifest, Drawn)
        blobs = iter(done.payload.blobs)
        return Batch(
            drawn.total, [next(blobs) if page.error is None else from_wire(page.error) for page in drawn.pages]
        )

    async def _ready(self) -> EngineProcess:
        if self._process is not None and self._process.alive:
            return self._process
        await self._end()
        model = Model(_PAGES.default_model, {}, {})
        process = engine_process(_PAGES.name, model, memory_limit_bytes=MEMORY_BYTES)
        self._process = await self._stack.enter_async_context(process)
        serving = asyncio.ensure_future(self._process.serve())
        self._stack.push_async_callback(_ended, serving)
        return self._process

    async def _end(self) -> None:
        self._process = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


async def _ended(serving: "asyncio.Future[None]") -> None:
    """Stop listening to a process; it is killed and waited for."""
    serving.cancel()
    await asyncio.wait([serving])
