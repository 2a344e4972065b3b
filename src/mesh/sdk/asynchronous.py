"""The same as ``Mesh``, for programs on asyncio: every call is awaited and leaves the loop free.

    async with AsyncMesh() as mesh:
        vectors = (await mesh.embed(["boats in the dark"])).vectors
        async for piece in (await mesh.chat("Name three harbours.")).texts():
            print(piece, end="")

Touches: threads; what ``mesh`` touches.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from mesh.ids import JobId, NetworkId
from mesh.protocol.values import Role
from mesh.sdk import answers, batch_documents, control, documents
from mesh.sdk import batches as said
from mesh.sdk.mesh import DAY_S, Answer, Asked, Done, Mesh

T = TypeVar("T")
_END = object()


class AsyncAnswer:
    """A chat's answer while it is made. ``texts`` gives it piece by piece; ``done`` is the whole, after the last."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def texts(self) -> AsyncIterator[str]:
        """The text as it comes; closing it early (``aclose``) cancels the job. Raises the job's errors."""
        texts = self._answer.texts()
        try:
            async for text in _awaited(texts):
                yield text
        finally:
            with suppress(ValueError):  # a thread still waits in it: it ends with the next line
                texts.close()

    @property
    def done(self) -> Done:
        """The whole answer. Raises NotEnded before its end."""
        return self._answer.done


class AsyncMesh:
    """A home's network. Close it, or use it as an asynchronous context manager."""

    def __init__(self, home: Path | str | None = None, network: str | None = None) -> None:
        """``home``: MESH_HOME as a path; else the usual place. ``network``: an id or name; needed with several."""
        self._mesh = Mesh(home, network)

    async def networks(self) -> tuple[answers.Network, ...]:
        """The networks that I am in."""
        return await asyncio.to_thread(self._mesh.networks)

    async def create_network(self, name: str) -> NetworkId:
        """Make a network; I become its admin."""
        return await asyncio.to_thread(self._mesh.create_network, name)

    async def members(self) -> tuple[answers.Member, ...]:
        """The people of the network."""
        return await asyncio.to_thread(self._mesh.members)

    async def invite_member(self, name: str | None = None, role: Role = "member", expires_s: float = DAY_S) -> str:
        """A link by which one person joins the network. It is a secret, and works once."""
        return await asyncio.to_thread(self._mesh.invite_member, name, role, expires_s)

    async def invite_device(self, *, uses: int = 1, expires_s: float = DAY_S, tags: Sequence[str] = ()) -> str:
        """A link by which so many devices of mine join. It is a secret."""
        return await asyncio.to_thread(self._mesh.invite_device, uses=uses, expires_s=expires_s, tags=tags)

    async def devices(self) -> tuple[answers.Device, ...]:
        """The devices of the network, with their states."""
        return await asyncio.to_thread(self._mesh.devices)

    async def embed(self, texts: Sequence[str], how: Asked = Asked()) -> Done:
        """Texts to vectors: read ``vectors`` of what is returned. Raises the job's errors."""
        return await asyncio.to_thread(self._mesh.embed, texts, how)

    async def submit(self, workload: str, manifest: Mapping[str, Any], how: Asked = Asked(), *blobs: bytes) -> Done:
        """Have a job of any workload done. Raises the job's errors."""
        return await asyncio.to_thread(self._mesh.submit, workload, manifest, how, *blobs)

    async def chat(
        self, messages: str | Sequence[Mapping[str, str]], how: Asked = Asked(), **settings: Any
    ) -> AsyncAnswer:
        """Begin an answer: to one text, or to messages (``role`` and ``content`` each)."""
        return AsyncAnswer(await asyncio.to_thread(lambda: self._mesh.chat(messages, how, **settings)))

    async def ocr(
        self, files: Sequence[Path | str | documents.NamedFile], how: Asked = Asked()
    ) -> AsyncIterator[documents.PageRead]:
        """Read images and PDFs: page after page in order, each with its text or the error that it met."""
        async for page in _awaited(self._mesh.ocr(files, how)):
            yield page

    async def jobs(self, limit: int = 20) -> tuple[answers.Job, ...]:
        """Records of jobs that I may see, newest first."""
        return await asyncio.to_thread(self._mesh.jobs, limit)

    async def why(self, job: JobId) -> dict[str, Any]:
        """Why a job went where it went."""
        return await asyncio.to_thread(self._mesh.why, job)

    async def submit_batch(
        self, lines: Iterable[batch_documents.Document], workload: str = "embeddings", how: Asked = Asked(),
        name: str | None = None,
    ) -> said.Batch:  # fmt: skip
        """Hand in many lines at once, or the pages of documents; each becomes a job, over restarts."""
        return await asyncio.to_thread(self._mesh.submit_batch, lines, workload, how, name)

    async def batches(self) -> tuple[said.Batch, ...]:
        """The batches of this device, newest first."""
        return await asyncio.to_thread(self._mesh.batches)

    async def batch(self, batch: str) -> said.Batch:
        """One batch as it is now, by its id or name."""
        return await asyncio.to_thread(self._mesh.batch, batch)

    async def batch_results(self, batch: str) -> AsyncIterator[said.ResultLine]:
        """The lines of a batch that are done, in the order of its input."""
        async for line in _awaited(self._mesh.batch_results(batch)):
            yield line

    async def balance(self) -> answers.Balance:
        """My credits in the network, in micro-credits."""
        return await asyncio.to_thread(self._mesh.balance)

    async def ledger(self, limit: int = 50) -> tuple[answers.LedgerLine, ...]:
        """Lines of the ledger that I may see, newest first."""
        return await asyncio.to_thread(self._mesh.ledger, limit)

    async def status(self) -> control.Status:
        """How the agent of this home is. Raises AgentAway where none runs."""
        return await asyncio.to_thread(self._mesh.status)

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._mesh.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _awaited(items: Iterator[T]) -> AsyncIterator[T]:
    """Items of a generator that waits for each, each waited for in a thread."""
    while True:
        item: Any = await asyncio.to_thread(next, items, _END)
        if item is _END:
            return
        yield item
