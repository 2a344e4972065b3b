"""What the command line and the agent of the same home say to each other, and the client's end of it.

A Unix socket in MESH_HOME (0600 in 0700, peer's user checked), a JSON object per line: some on the way, an answer last.

Touches: the agent's Unix socket.
"""

import os
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from mesh.devices.contribution import Terms
from mesh.devices.facts import NetworkFacts
from mesh.errors import MeshError, from_wire
from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, NetworkId
from mesh.protocol.values import (
    Capability,
    Condition,
    Explanation,
    Need,
    PathKind,
    Routing,
    Sensitivity,
)
from mesh.sdk.batches import AnyBatchAnswer, AnyBatchRequest, Batch
from mesh.sdk.documents import AnyDocumentAnswer, AnyDocumentRequest, PageDrawn, PageRead, ReadFiles
from mesh.sdk.documents import AttemptLine as AttemptLine
from mesh.sdk.documents import PartLine as PartLine
from mesh.sdk.forecasts import Estimated as Estimated
from mesh.sdk.forecasts import Waiting as Waiting
from mesh.sdk.keys import AnyKeyAnswer, AnyKeyRequest
from mesh.sdk.lines import Answer as Answer
from mesh.sdk.lines import Request as Request
from mesh.sdk.models import AnyModelRequest
from mesh.sdk.peers import Peer as Peer
from mesh.sdk.peers import Peers as Peers
from mesh.sdk.peers import Ping as Ping
from mesh.sdk.sharing import AnySharingAnswer, AnySharingRequest
from mesh.sdk.spoken import Begun as Begun
from mesh.sdk.spoken import Joined as Joined
from mesh.sdk.spoken import Said as Said

LINE_BYTES_MAX = 64 * 1024 * 1024
"""10,000 embeddings in base64 are 20 MB; three times that bounds what either side keeps of a line."""
NAME_BYTES_MAX = 100
"""Socket names are at most 107 bytes on Linux, 103 on macOS."""
CONNECT_S = 2.0
"""A local socket answers at once or nobody listens."""


class AgentAway(MeshError):
    """No agent runs for this home. Start it with `mesh up`."""

    code = "agent.away"
    kind = "unavailable"


class ControlBroken(MeshError):
    """The agent of this home said something unexpected. Restart it: `mesh up` runs the version that is installed."""

    code = "agent.control_broken"


class GetStatus(Request, frozen=True):
    """Who and how the agent is. Answered by ``Status``."""


class Run(Request, frozen=True):
    """Run a job: ``manifest`` and ``blobs`` are the workload's payload. ``Progress`` lines may come before ``Ran``.

    ``stream``: ``Begun`` and ``Said`` lines come before it too. After the first ``Said`` the job is not tried again: a
    ``Refusal`` with ``stream.broken`` then says how far it got. ``resume``: it goes on elsewhere instead, after a
    ``Joined`` line.
    """

    workload: str
    manifest: dict[str, Any]
    blobs: tuple[bytes, ...] = ()
    model: str | None = None
    """None: the workload's default model."""
    sensitivity: Sensitivity = "private"
    routing: Routing = Routing()
    max_cost: int | None = None
    limit_s: float = 600.0
    stream: bool = False
    resume: bool = False
    need: Need = Need()
    wait: bool = False
    """Where no device may run it now: wait for one. ``Waiting`` lines say why, until it goes on."""


class Estimate(Request, frozen=True):
    """Ask what a job, or all pages of documents, would cost and where it would go, without running it.

    Answered by ``Estimated``.
    """

    job: Run | ReadFiles


class PingDevice(Request, frozen=True):
    """Send ``count`` pings to a device (id or name). Answered by that many ``Ping``, then ``Ok``."""

    device: str
    count: int = 4
    interval_s: float = 1.0


class GetPeers(Request, frozen=True):
    """Devices that this agent knows. Answered by ``Peers``."""


class GetModels(Request, frozen=True):
    """What this device offers itself. Answered by ``Models``."""


class CheckNetwork(Request, frozen=True):
    """Measure the network around this device; takes some seconds where something is silent. Answered by ``Network``."""


class SetState(Request, frozen=True):
    """Pause (take only the owner's jobs), drain (finish and take nothing), or ready again. Answered by ``Status``."""

    state: Literal["ready", "paused", "draining"]


class SetTerms(Request, frozen=True):
    """What others may have of this device from now on. Answered by ``Status``."""

    terms: Terms


class Cancel(Request, frozen=True):
    """Cancel a job that this agent asked for. Answered by ``Ok``."""

    job: JobId


class RotateKey(Request, frozen=True):
    """Replace this device's key. Answered by ``KeyRotated``."""


class OpenPage(Request, frozen=True):
    """Make a link that opens the agent's own page in a browser of this machine, once. Answered by ``PageOpened``."""


class Stop(Request, frozen=True):
    """Ask the agent to leave orderly. Answered by ``Ok``."""


class Ok(Answer, frozen=True):
    """It is done."""


class Refusal(Answer, frozen=True):
    """It failed; ``error`` is a MeshError's wire form."""

    error: dict[str, Any]


class Status(Answer, frozen=True):
    """The agent in one object. ``gateway`` is its URL without a path; the key is in gateway.json, never here."""

    device: DeviceId
    name: str
    network: NetworkId
    member: MemberId
    software: str
    link: Literal["up", "down"]
    condition: Condition
    capability: Capability | None = None
    gateway: str | None = None
    epoch: int = 0
    peers: int = 0
    jobs_running: int = 0
    outbox: int = 0
    """Facts that the coordinator has not acknowledged yet."""
    set_aside: int = 0
    """Facts and records that the coordinator refused for good: they are reported no more."""
    started_ms: int = 0
    relay: str | None = None
    """The relay through which this device is reached."""
    observed: tuple[str, ...] = ()
    """The addresses under which the world sees this device."""
    jobs_here: int = 0
    """Jobs that wait or run on this device, whoever asked."""
    terms: Terms = Terms()
    """What others may have of this device."""
    limit: str = ""
    """Why it does not work for others now, in words for its owner; empty when it does."""
    set_by: Literal["owner", "admin"] | None = None
    """Who paused or drains it."""
    notice: str = ""
    """Why this device takes no part yet, in words: it waits for approval, or its home was copied."""
    wrong_models: tuple[str, ...] = ()
    """What is wrong in the catalogue of its owner, each with line, model and field."""


class Progress(Answer, frozen=True):
    """How far a job is."""

    job: JobId
    stage: str
    fraction: float


class Ran(Answer, frozen=True):
    """A job's result. ``charge`` in micro-credits; ``units`` as the requester counted them.

    A large one may have been cut into several jobs: ``parts`` are all of them in order, ``job`` and what belongs to it
    is the first, ``charge`` and ``units`` are of all.
    """

    job: JobId
    device: DeviceId
    path: PathKind
    charge: int
    units: int
    model: str
    manifest: dict[str, Any]
    blobs: tuple[bytes, ...] = ()
    attempts: tuple[AttemptLine, ...] = ()
    explanation: Explanation = Explanation()
    joined: tuple[Joined, ...] = ()
    """Where its stream went on elsewhere; ``job`` is the last one then, and ``charge`` that of all."""
    parts: tuple[PartLine, ...] = ()


class Models(Answer, frozen=True):
    """The capability that this device reports."""

    capability: Capability


class KeyRotated(Answer, frozen=True):
    """The new key, the old one, how often it was replaced by now, and until when the old one is good."""

    key: DeviceKey
    old: DeviceKey
    number: int
    old_until_ms: int


class PageOpened(Answer, frozen=True):
    """The link (its fragment is a one-time secret), and for how many seconds it waits."""

    url: str
    life_s: float


class Network(Answer, frozen=True):
    """What was measured. It names addresses and URLs: for this device's owner alone."""

    facts: NetworkFacts


AnyRequest = (
    GetStatus
    | Run
    | Estimate
    | PingDevice
    | GetPeers
    | GetModels
    | CheckNetwork
    | SetState
    | SetTerms
    | Cancel
    | RotateKey
    | OpenPage
    | Stop
    | AnyBatchRequest
    | AnyKeyRequest
    | AnyDocumentRequest
    | AnyModelRequest
    | AnySharingRequest
)
AnyAnswer = (
    Ok
    | Refusal
    | Status
    | Progress
    | Begun
    | Said
    | Joined
    | Waiting
    | Ran
    | Estimated
    | Ping
    | Peers
    | Models
    | Network
    | KeyRotated
    | PageOpened
    | AnyBatchAnswer
    | AnyKeyAnswer
    | AnyDocumentAnswer
    | AnySharingAnswer
)

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyRequest)
_answers: msgspec.json.Decoder[Any] = msgspec.json.Decoder(AnyAnswer)


def encode(line: Request | Answer) -> bytes:
    """A request or an answer as one line."""
    return _encoder.encode(line) + b"\n"


def decode_request(line: bytes) -> AnyRequest:
    """Read a request. Raises ControlBroken."""
    try:
        return _requests.decode(line)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlBroken("The agent does not understand this request. Update Mesh.") from error


def decode_answer(line: bytes) -> AnyAnswer:
    """Read an answer. Raises ControlBroken."""
    try:
        return _answers.decode(line)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlBroken from error


def stream(path: Path, request: Request, timeout_s: float) -> Generator[AnyAnswer, None, None]:
    """Ask the agent whose socket is at ``path``; yield every line, the last one last.

    ``timeout_s`` bounds the silence between two lines. A ``Refusal`` is raised as the error it carries. Raises
    AgentAway, ControlBroken.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise AgentAway("No agent can run on this system yet: it needs Unix sockets.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_S)
        try:
            with reachable(path) as name:
                connection.connect(name)
        except OSError as error:
            raise AgentAway from error
        connection.settimeout(timeout_s)
        try:
            connection.sendall(encode(request))
            with connection.makefile("rb", buffering=256 * 1024) as lines:
                yield from _until_last(lines)
        except TimeoutError as error:
            raise ControlBroken("The agent of this home does not answer. Look at agent.log in MESH_HOME.") from error
        except OSError as error:
            raise AgentAway("The agent of this home stopped. Start it with `mesh up`.") from error


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name of the socket that fits into an address: deep homes go through a handle on their folder (Linux)."""
    if len(os.fsencode(path)) <= NAME_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(path: Path, request: Request, timeout_s: float) -> AnyAnswer:
    """Ask and return only the last line. Raises as ``stream`` does."""
    answer: AnyAnswer = Ok()
    for line in stream(path, request, timeout_s):
        answer = line
    return answer


def _until_last(lines: Any) -> Iterator[AnyAnswer]:
    while True:
        line = lines.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise AgentAway("The agent of this home stopped in the middle. Start it with `mesh up`.")
        answer = decode_answer(line)
        if isinstance(answer, Refusal):
            raise from_wire(answer.error)
        yield answer
        more = isinstance(answer, Progress | Ping | PageRead | PageDrawn | Begun | Said | Joined | Waiting)
        if not more and not (isinstance(answer, Batch) and not answer.last):
            return
