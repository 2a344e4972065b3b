"""Mesh for Python programs: one object for a home's network, its jobs through the local agent, its credits.

    from mesh.sdk import Mesh

    with Mesh() as mesh:
        vectors = mesh.embed(["boats in the dark"]).vectors
        for piece in mesh.chat("Name three harbours.").texts():
            print(piece, end="")

What needs people and credits is asked of the coordinator, as the person who is signed in at the home; jobs go through
the agent that runs there (`mesh up`). ``asynchronous.AsyncMesh`` is the same for asyncio. Every failure is a MeshError
with a stable code.

Touches: files of the home; sockets (through the clients).
"""

import sys
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceId, JobId, NetworkId
from mesh.protocol.values import PathKind, Role, Routing, Sensitivity
from mesh.sdk import answers, batch_documents, batch_input, calls, control, documents
from mesh.sdk import batches as said
from mesh.sdk.calls import TokenTerms
from mesh.sdk.client import Coordinator
from mesh.sdk.home import Home
from mesh.sdk.naming import UnknownDevice, device_named

ANSWER_S = 60.0
SILENCE_S = 660.0
"""A job may be silent for as long as it may take (ten minutes), and some seconds more."""
DAY_S = 86400.0


class WhichNetwork(MeshError):
    """This home knows several networks, or none. Give the network's id or name: `Mesh(network=...)`."""

    code = "sdk.which_network"
    kind = "invalid"


class NotEnded(MeshError):
    """The answer has not ended yet. Read it to its end first: `for piece in answer.texts()`."""

    code = "sdk.not_ended"
    kind = "conflict"


class Done(NamedTuple):
    """A job that is done: where it ran, over which path, what it cost (micro-credits), and its result."""

    job: JobId
    device: DeviceId
    path: PathKind
    charge: int
    model: str
    manifest: Mapping[str, Any]
    blobs: tuple[bytes, ...] = ()
    joined: tuple[control.Joined, ...] = ()
    """Where a chat's answer broke off and another device went on with it."""

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors of a result of embeddings: one list of floats per text, in their order."""
        width, values = int(self.manifest["dim"]), array("f", self.blobs[0])
        if sys.byteorder == "big":
            values.byteswap()
        return [values[start : start + width].tolist() for start in range(0, len(values), width)]

    @property
    def text(self) -> str:
        """The text of a result that has one: of a chat, or of a page that was read."""
        return str(self.manifest["text"])


class Asked(NamedTuple):
    """How a job is to be done; all of it may be left out. ``device``: a name or an id. ``max_cost``: micro-credits.

    ``resume``: a chat's answer that breaks off goes on at another device; ``Done.joined`` says where.
    """

    model: str | None = None
    device: str | None = None
    sensitivity: Sensitivity = "private"
    max_cost: int | None = None
    resume: bool = False


class Answer:
    """A chat's answer while it is made. ``texts`` gives it piece by piece; ``done`` is the whole, after the last."""

    def __init__(self, lines: Generator[control.AnyAnswer, None, None]) -> None:
        self._lines = lines
        self._done: Done | None = None

    def texts(self) -> Generator[str, None, None]:
        """The text as it comes; closing it early cancels the job. Raises the job's errors."""
        try:
            for line in self._lines:
                if isinstance(line, control.Said):
                    yield line.text
                elif isinstance(line, control.Ran):
                    self._done = _done(line)
        finally:
            self._lines.close()

    @property
    def done(self) -> Done:
        """The whole answer. Raises NotEnded before its end."""
        if self._done is None:
            raise NotEnded
        return self._done


class Mesh:
    """A home's network, for programs that wait for each answer. Close it, or use it as a context manager."""

    def __init__(self, home: Path | str | None = None, network: str | None = None) -> None:
        """``home``: MESH_HOME as a path; else the usual place. ``network``: an id or name; needed with several."""
        self._home = Home(Path(home)) if home is not None else _usual_home()
        self._named = network
        self._client: Coordinator | None = None
        self._network: NetworkId | None = None

    # --- networks and people ------------------------------------------------------------------------------------------

    def networks(self) -> tuple[answers.Network, ...]:
        """The networks that I am in."""
        return self._coordinator.do(calls.networks()).networks

    def create_network(self, name: str) -> NetworkId:
        """Make a network; I become its admin."""
        return self._coordinator.do(calls.create_network(name)).network

    def members(self) -> tuple[answers.Member, ...]:
        """The people of the network."""
        return self._coordinator.do(calls.members(self.network)).members

    def invite_member(self, name: str | None = None, role: Role = "member", expires_s: float = DAY_S) -> str:
        """A link by which one person joins the network. It is a secret, and works once."""
        return self._mint(TokenTerms("member", role=role, name=name, expires_s=expires_s))

    def invite_device(self, *, uses: int = 1, expires_s: float = DAY_S, tags: Sequence[str] = ()) -> str:
        """A link by which so many devices of mine join (`mesh device join LINK --name NAME`). It is a secret."""
        return self._mint(TokenTerms("device", uses=uses, expires_s=expires_s, tags=tuple(tags)))

    def devices(self) -> tuple[answers.Device, ...]:
        """The devices of the network, with their states."""
        return self._coordinator.do(calls.devices(self.network)).devices

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def embed(self, texts: Sequence[str], how: Asked = Asked()) -> Done:
        """Texts to vectors: read ``vectors`` of what is returned. Raises the job's errors."""
        return self.submit("embeddings", {"texts": list(texts)}, how)

    def submit(self, workload: str, manifest: Mapping[str, Any], how: Asked = Asked(), *blobs: bytes) -> Done:
        """Have a job of any workload done; ``manifest`` and ``blobs`` are its input. Raises the job's errors."""
        answer = control.ask(self._home.control_socket, self._run(workload, manifest, how, *blobs), SILENCE_S)
        assert isinstance(answer, control.Ran)
        return _done(answer)

    def chat(self, messages: str | Sequence[Mapping[str, str]], how: Asked = Asked(), **settings: Any) -> Answer:
        """Begin an answer: to one text, or to messages (``role`` and ``content`` each).

        ``settings``: ``max_tokens``, ``temperature``, ``top_p``, ``seed``, ``stop``, ``json``.
        """
        listed = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(one) for one in messages]
        )
        request = self._run("chat", {"messages": listed, **settings}, how)
        request = msgspec.structs.replace(request, stream=True, resume=how.resume)
        return Answer(control.stream(self._home.control_socket, request, SILENCE_S))

    def ocr(
        self, files: Sequence[Path | str | documents.NamedFile], how: Asked = Asked()
    ) -> Iterator[documents.PageRead]:
        """Read images and PDFs: page after page in order, each with its text (``read``) or the ``error`` that it met.

        ``files``: paths, or names with their content. Raises FilesTooLarge, and what keeps all of it from being read.
        """
        named = tuple(map(batch_documents.named_file, files))
        if len(named) > documents.FILES_MAX or sum(len(one.content) for one in named) > documents.FILES_BYTES_MAX:
            raise documents.FilesTooLarge
        request = documents.ReadFiles(named, how.model, how.sensitivity, self._routing(how), how.max_cost)
        lines = control.stream(self._home.control_socket, request, SILENCE_S)
        try:
            for line in lines:
                if isinstance(line, documents.PageRead):
                    yield line
        finally:
            lines.close()

    def jobs(self, limit: int = 20) -> tuple[answers.Job, ...]:
        """Records of jobs that I may see, newest first; never what was asked or answered."""
        return self._coordinator.do(calls.jobs(self.network, limit)).jobs

    def why(self, job: JobId) -> dict[str, Any]:
        """Why a job went where it went: gates, scores, attempts, and what would have changed it."""
        return self._coordinator.do(calls.why(self.network, job))

    # --- batches ------------------------------------------------------------------------------------------------------

    def submit_batch(
        self, lines: Iterable[batch_documents.Document], workload: str = "embeddings", how: Asked = Asked(),
        name: str | None = None,
    ) -> said.Batch:  # fmt: skip
        """Hand in many lines at once, texts or objects as in `mesh batch submit`; each becomes a job, over restarts.

        With ``workload`` "ocr" they are documents: paths, ``{"id", "file"}``, or names with their content. Each page is
        a line, ``NAME:PAGE`` of a PDF; pages are drawn now, by the agent, and one that cannot be fails alone.
        ``name``: submitting the same again under it begins nothing new. ``how.max_cost`` is for all lines together.
        Raises EmptyBatch, BadLine and more.
        """
        if workload == "ocr":
            brought = batch_documents.bring_documents(self._home, lines)
        else:
            raws = (batch_input.Raw(number, msgspec.json.encode(line)) for number, line in enumerate(lines, 1))
            brought = batch_input.bring(self._home.batches, batch_input.from_json(raws))
        request = said.SubmitBatch(
            *(brought, workload, name, how.model, how.sensitivity, self._routing(how), how.max_cost)
        )
        answer = control.ask(self._home.control_socket, request, ANSWER_S)
        assert isinstance(answer, said.Batch)
        return answer

    def batches(self) -> tuple[said.Batch, ...]:
        """The batches of this device, newest first."""
        answer = control.ask(self._home.control_socket, said.GetBatches(), ANSWER_S)
        assert isinstance(answer, said.Batches)
        return answer.batches

    def batch(self, batch: str) -> said.Batch:
        """One batch as it is now, by its id or name."""
        answer = control.ask(self._home.control_socket, said.GetBatch(batch), ANSWER_S)
        assert isinstance(answer, said.Batch)
        return answer

    def batch_results(self, batch: str) -> Iterator[said.ResultLine]:
        """The lines of a batch that are done, in the order of its input."""
        after: int | None = -1
        while after is not None:
            page = control.ask(self._home.control_socket, said.GetResults(batch, after), ANSWER_S)
            assert isinstance(page, said.Results)
            yield from page.results
            after = page.next

    # --- credits ------------------------------------------------------------------------------------------------------

    def balance(self) -> answers.Balance:
        """My credits in the network, in micro-credits."""
        return self._coordinator.do(calls.balance(self.network))

    def ledger(self, limit: int = 50) -> tuple[answers.LedgerLine, ...]:
        """Lines of the ledger that I may see, newest first."""
        return self._coordinator.do(calls.ledger(self.network, limit)).lines

    def status(self) -> control.Status:
        """How the agent of this home is. Raises AgentAway where none runs."""
        answer = control.ask(self._home.control_socket, control.GetStatus(), ANSWER_S)
        assert isinstance(answer, control.Status)
        return answer

    # --- what is behind it --------------------------------------------------------------------------------------------

    @property
    def network(self) -> NetworkId:
        """The network that is meant. Raises WhichNetwork."""
        if self._network is None:
            self._network = self._find_network()
        return self._network

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _coordinator(self) -> Coordinator:
        if self._client is None:
            self._client = Coordinator.of(self._home)
        return self._client

    def _find_network(self) -> NetworkId:
        record = self._home.read()
        if self._named is None and record.device is not None:
            return record.device.network
        if self._named is None and record.network is not None:
            return record.network
        found = [one.network for one in self.networks() if self._named in (None, one.network, one.name)]
        if len(found) != 1:
            raise WhichNetwork
        return found[0]

    def _mint(self, terms: TokenTerms) -> str:
        return self._coordinator.do(calls.mint(self.network, terms)).link

    def _run(self, workload: str, manifest: Mapping[str, Any], how: Asked, *blobs: bytes) -> control.Run:
        return control.Run(
            workload=workload,
            manifest=dict(manifest),
            blobs=blobs,
            model=how.model,
            sensitivity=how.sensitivity,
            routing=self._routing(how),
            max_cost=how.max_cost,
        )

    def _routing(self, how: Asked) -> Routing:
        return Routing() if how.device is None else Routing("device", self._device(how.device))

    def _device(self, named: str) -> DeviceId:
        """The device that a name or id means, as the agent knows it. Raises UnknownDevice."""
        status = self.status()
        if named in (status.device, status.name):
            return status.device
        answer = control.ask(self._home.control_socket, control.GetPeers(), ANSWER_S)
        if not isinstance(answer, control.Peers):
            raise UnknownDevice
        return device_named(answer.peers, named)


def _usual_home() -> Home:
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("mesh", appauthor=False)))


def _done(ran: control.Ran) -> Done:
    return Done(ran.job, ran.device, ran.path, ran.charge, ran.model, ran.manifest, ran.blobs, ran.joined)
