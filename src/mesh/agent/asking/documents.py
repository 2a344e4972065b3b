"""Documents are read page by page: drawn here, spread over devices as one job each, and put together in order.

A page that fails is that page's failure. Where nobody can do such work at all, the first page says so for all.

Touches: what ``drawing`` touches (the requester is an argument).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from mesh.agent.asking.asked import Ask, Result
from mesh.agent.asking.dividing import Run
from mesh.agent.asking.drawing import Drawer
from mesh.errors import MeshError, reason_of
from mesh.ids import JobId
from mesh.sdk import control
from mesh.sdk.documents import (
    FILES_BYTES_MAX,
    FILES_MAX,
    AttemptLine,
    FilesTooLarge,
    PageDrawn,
    PageRead,
    ReadEnd,
    ReadFiles,
)
from mesh.sdk.lines import Answer
from mesh.workloads.contract import BadInput, Payload
from mesh.workloads.known import workload_named
from mesh.workloads.pages import AT_ONCE_MAX
from mesh.workloads.process import EngineNotLoaded

PAGES_UNDER_WAY_MAX = 32
"""Pages drawn and not read yet: 160 MB at most, and work for as many lanes."""


class NoFile(BadInput):
    """There is nothing to read: name at least one image or PDF."""

    code = "input.no_file"


class PageDone(NamedTuple):
    """What became of a page (from 1) of file number ``file`` (from 0): a result, or why there is none."""

    file: int
    page: int
    done: Result | MeshError


class _Place(NamedTuple):
    file: int
    page: int


class _Opened(NamedTuple):
    """All pages, in order; a file that could not be opened is one, and says why."""

    order: list[_Place]
    unopened: dict[_Place, MeshError]


def check_files(contents: Sequence[bytes]) -> None:
    """Refuse too many files, or too much of them. Raises NoFile, FilesTooLarge."""
    if not contents:
        raise NoFile
    total = sum(len(content) for content in contents)
    if len(contents) > FILES_MAX or total > FILES_BYTES_MAX:
        raise FilesTooLarge(files=len(contents), bytes=total)


async def read_documents(run: Run, ask: Ask, contents: Sequence[bytes], tell: Callable[[PageDone, int], None]) -> None:
    """Have documents read. ``tell`` gets every page in order, as soon as it and all before it have ended, and how many
    there are.

    ``ask`` says where they may go; its payload is not looked at, its ``max_cost`` is for all pages together. Raises
    NoFile, FilesTooLarge, EngineNotLoaded, and the planning's errors where no page can be read anywhere.
    """
    check_files(contents)
    async with Drawer() as drawer:
        reading = _Reading(run, ask, contents, tell)
        try:
            await reading.all(drawer)
        except BaseExceptionGroup as failed:
            raise reason_of(failed) from None


async def _opened(drawer: Drawer, contents: Sequence[bytes]) -> _Opened:
    found = _Opened([], {})
    for file, content in enumerate(contents):
        try:
            total = await drawer.total(content)
        except EngineNotLoaded:
            raise
        except MeshError as error:
            found.unopened[_Place(file, 1)] = error
            total = 1
        found.order.extend(_Place(file, page) for page in range(1, total + 1))
    return found


class _Reading:
    """One request on its way."""

    def __init__(self, run: Run, ask: Ask, contents: Sequence[bytes], tell: Callable[[PageDone, int], None]) -> None:
        self._run, self._ask, self._contents, self._tell = run, ask, contents, tell
        self._room = asyncio.Semaphore(PAGES_UNDER_WAY_MAX)
        self._order: list[_Place] = []
        self._ended: dict[_Place, PageDone] = {}
        self._told = 0
        self._read_any = False

    async def all(self, drawer: Drawer) -> None:
        """Draw and read everything."""
        self._order, unopened = await _opened(drawer, self._contents)
        if self._ask.max_cost is not None:
            self._ask = self._ask._replace(max_cost=self._ask.max_cost // len(self._order))
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(self._order), AT_ONCE_MAX):
                await self._some(drawer, self._order[start : start + AT_ONCE_MAX], unopened, group)

    async def _some(
        self, drawer: Drawer, places: Sequence[_Place], unopened: dict[_Place, MeshError], group: asyncio.TaskGroup
    ) -> None:
        """Draw some pages, file by file, and send them on their way."""
        for file in dict.fromkeys(place.file for place in places):
            wanted = [place for place in places if place.file == file]
            if wanted[0] in unopened:
                self._end(wanted[0], unopened[wanted[0]])
                continue
            drawn: Sequence[bytes | MeshError]
            try:
                drawn = await drawer.draw(self._contents[file], wanted[0].page - 1, len(wanted))
            except EngineNotLoaded:
                raise
            except MeshError as error:
                drawn = [error] * len(wanted)
            for place, page in zip(wanted, drawn, strict=True):
                if isinstance(page, MeshError):
                    self._end(place, page)
                else:
                    await self._room.acquire()
                    group.create_task(self._read(place, page))

    async def _read(self, place: _Place, page: bytes) -> None:
        try:
            result = await self._run(self._ask._replace(payload=Payload({}, (page,))))
        except MeshError as error:
            if error.wire_kind == "nowhere" and not self._read_any:
                raise  # so it is for every page
            self._end(place, error)
        else:
            self._read_any = True
            self._end(place, result)
        finally:
            self._room.release()

    def _end(self, place: _Place, done: Result | MeshError) -> None:
        self._ended[place] = PageDone(place.file, place.page, done)
        while self._told < len(self._order) and (ended := self._ended.pop(self._order[self._told], None)) is not None:
            self._told += 1
            self._tell(ended, len(self._order))


async def answer(request: ReadFiles, ask: Ask, run: Run, say: Callable[[Answer], None]) -> ReadEnd:
    """Read files for the command line; every page is a line of its own. Raises as ``read_documents`` does."""
    told = 0

    def tell(page: PageDone, total: int) -> None:
        nonlocal told
        told += 1
        say(_line(request, page))
        say(control.Progress(JobId(""), "reading", told / total))

    await read_documents(run, ask, [file.content for file in request.files], tell)
    return ReadEnd(told)


async def pages_drawn(content: bytes) -> AsyncGenerator[PageDrawn, None]:
    """The pages of a document, for a program that keeps them. Raises FilesTooLarge, EngineNotLoaded, BadInput."""
    check_files([content])
    async with Drawer() as drawer:
        total = await drawer.total(content)
        for first in range(0, total, AT_ONCE_MAX):
            drawn = await drawer.draw(content, first, min(AT_ONCE_MAX, total - first))
            for page, found in enumerate(drawn, first + 1):
                yield PageDrawn(page, error=found.wire()) if isinstance(found, MeshError) else PageDrawn(page, found)


async def pages_of(request: ReadFiles) -> int:
    """How many pages there are to read; a file that cannot be opened counts as one. Raises as ``read_documents``."""
    contents = [file.content for file in request.files]
    check_files(contents)
    async with Drawer() as drawer:
        return len((await _opened(drawer, contents)).order)


def asked(request: ReadFiles, caller: str) -> Ask:
    """The job that each page is, but for the page."""
    return Ask(
        workload_named("ocr"), Payload({}), request.model, request.sensitivity, request.routing, request.max_cost,
        request.limit_s, need=request.need, caller=caller,
    )  # fmt: skip


def _line(request: ReadFiles, page: PageDone) -> PageRead:
    name = request.files[page.file].name
    if isinstance(page.done, MeshError):
        return PageRead(name, page.page, error=page.done.wire())
    done = page.done
    return PageRead(
        file=name,
        page=page.page,
        job=done.job,
        device=done.device,
        path=done.path,
        charge=done.charge,
        model=done.model,
        read=done.payload.manifest["pages"][0],
        attempts=tuple(AttemptLine(one.device, one.attempt, one.path, one.code) for one in done.attempts),
    )
