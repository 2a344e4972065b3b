"""Messages of the link between a device (or relay) and its coordinator: JSON over one WebSocket.

Order: ``Challenge`` ← coordinator, ``Prove`` → coordinator, ``Welcome`` ← coordinator, ``Hello`` → coordinator; then
anything at any time. Unknown fields are ignored; an unknown tag is answered with ``Problem`` and otherwise ignored.
Before ``Welcome`` each message must come within 5 s; the device's is 4 KiB at most, the coordinator's 16 KiB: it
holds how its key followed others.

Touches: nothing.
"""

from typing import Any, Literal

import msgspec

from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, JobId, NetworkId, PermitId, RequestId
from mesh.protocol.papers import PeerCertificate
from mesh.protocol.values import Capability, Choice, Condition, DeviceState, Explanation, Hint, JobSpec, Sensitivity

LINK_PATH = "/v1/link"
LINK_VERSION = 1
HANDSHAKE_BYTES_MAX = 4 * 1024
CHALLENGE_BYTES_MAX = 16 * 1024
"""The coordinator's first word with the longest chain of its keys: 16 statements of 650 bytes."""
HANDSHAKE_S = 5.0
MESSAGE_BYTES_MAX = 1024 * 1024
"""Longest message after the handshake: Peers of 1,000 devices is about 700 KiB."""
BEAT_S = 5.0
"""A device beats this often; ``devices.presence`` says what their absence means."""
REPORT_FACTS_MAX = 64
NONCE_BYTES = 32


class LinkError(MeshError):
    """The link carried something that is not a message of this protocol. Update Mesh on the device or coordinator."""

    code = "link.protocol"
    kind = "invalid"


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="t", tag=str.lower):
    """Base of all link messages."""


# --- coordinator → device ---------------------------------------------------------------------------------------------


class Challenge(Message, frozen=True):
    """First word of the coordinator: who it says it is, and its nonce (hex)."""

    coordinator: DeviceKey
    nonce: str
    version: int = LINK_VERSION
    successions: tuple[str, ...] = ()
    """How the coordinator's key followed earlier ones, for devices that know one of those."""


class Welcome(Message, frozen=True):
    """The coordinator's own proof (a signed LinkProof), the time, and what the device must hold."""

    proof: str
    time_ms: int
    network: NetworkId
    state: str | None = None
    certificate: str | None = None
    device_state: DeviceState = "ready"
    successions: tuple[str, ...] = ()
    """How the network's key followed earlier ones: the whole chain that is kept, longer than what State carries."""


class BeatAnswer(Message, frozen=True):
    """The answer to a beat: the coordinator's clock, and the beat's own number."""

    number: int
    time_ms: int


class Placed(Message, frozen=True):
    """Where a job may run. ``permit`` None: on the requester's own devices in ``hints``, by certificates alone."""

    request: RequestId
    permit: str | None
    hints: tuple[Hint, ...]
    explanation: Explanation = Explanation()


class Refused(Message, frozen=True):
    """No permit: the error's wire form, the gates that failed, and when to try again (None: when something changed)."""

    request: RequestId
    error: dict[str, Any]
    explanation: Explanation = Explanation()
    retry_after_s: float | None = None


class Estimated(Message, frozen=True):
    """Cost at most, by which tariff (0: not told), where first, and why. ``device`` None: nowhere, by ``error``."""

    request: RequestId
    device: DeviceId | None = None
    cost: int = 0
    expected_s: float = 0.0
    explanation: Explanation = Explanation()
    error: dict[str, Any] | None = None
    tariff: int = 0


class Reported(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact of a batch that was refused: its place in the batch and the error code. It must not be sent again."""

    index: int
    code: str


class ReportAck(Message, frozen=True):
    """A batch of facts is committed; what is not in ``refused`` was taken (or was known already).

    ``head``: the signed head of the network's ledger, for the device to keep.
    """

    batch: int
    refused: tuple[Reported, ...] = ()
    head: str | None = None


class StateUpdate(Message, frozen=True):
    """A new signed State."""

    state: str


class CertificateUpdate(Message, frozen=True):
    """The device's own certificate, renewed."""

    certificate: str


class KeyTaken(Message, frozen=True):
    """The device's next key counts from now on. ``certificate``: its first for that key; None for one not let in."""

    key: DeviceKey
    certificate: str | None = None


class OwnDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Placement facts of a device of the same owner, so that one person's devices work without the coordinator."""

    device: DeviceId
    capability: Capability
    condition: Condition = Condition()
    online: bool = False
    tags: tuple[str, ...] = ()


class Peers(Message, frozen=True):
    """Certificates that this device may see. ``full`` replaces all it knew; else added or changed, and ``gone``."""

    certificates: tuple[PeerCertificate, ...] = ()
    own: tuple[OwnDevice, ...] = ()
    gone: tuple[DeviceId, ...] = ()
    full: bool = False


class Close(Message, frozen=True):
    """The requester says it is done with a permit: write its tombstone and answer ``NoMore``."""

    permit: PermitId


class Cancel(Message, frozen=True):
    """Stop a job that this device asked for (or works on)."""

    job: JobId


class Check(Message, frozen=True):
    """This attempt was drawn: do it again on an engine of your own, and answer with a ``Judged`` until then."""

    check: str
    job: JobId
    attempt: int
    worker: DeviceId
    until_ms: int


class Drain(Message, frozen=True):
    """Finish what was taken, take nothing new. ``pause``: take nothing new of other people only; ``resume``: all again.

    ``by``: an admin's word stands beside the owner's, and the stricter counts.
    """

    resume: bool = False
    pause: bool = False
    by: Literal["owner", "admin"] = "owner"


class Removed(Message, frozen=True):
    """This device no longer belongs to the network; the link closes after it. ``code`` says why."""

    code: str


class Admission(msgspec.Struct, frozen=True):
    """A device key and the numbers of the networks it is in (numbers mean nothing outside this relay)."""

    key: DeviceKey
    networks: tuple[int, ...]


class Admissions(Message, frozen=True):
    """For relays: who may connect, and which networks each shares. An empty ``networks`` removes a key."""

    admissions: tuple[Admission, ...]
    full: bool = False


class Problem(Message, frozen=True):
    """Something this side could not do with a message; an error's wire form."""

    error: dict[str, Any]


# --- device → coordinator ---------------------------------------------------------------------------------------------


class Prove(Message, frozen=True):
    """The device's answer to the challenge: its id, its nonce (hex), its signed LinkProof."""

    device: DeviceId
    nonce: str
    proof: str
    version: int = LINK_VERSION
    succession: str | None = None
    """The proof is signed by the device's next key: the statement that makes it so may not have been heard before."""


class NewKey(Message, frozen=True):
    """The device replaces its key: a ``Succession`` that both keys have signed. Answered by ``KeyTaken``."""

    succession: str


class Hello(Message, frozen=True):
    """What the device is and runs. Sent once after Welcome, and again whenever it changes.

    ``installation`` grows at each start of the agent, ``start`` is a random word of that start: a lower number than
    before, or the same number with another word, is a restored or copied home.
    """

    software: str
    installation: int
    capability: Capability | None = None
    epoch: int = 0
    relay: str | None = None
    """The URL of the relay through which this device is reached; relays give their own URL."""
    addresses: tuple[str, ...] = ()
    """What its own end listens on: told to nearby devices only."""
    observed: tuple[str, ...] = ()
    """Signed ``Observed`` papers, one per observer: only these make a public address one that others may try."""
    observer: str | None = None
    """Of a relay: where it observes addresses (UDP host:port)."""
    start: str = ""


class Beat(Message, frozen=True):
    """Every 5 s: a growing number and the device's condition."""

    number: int
    condition: Condition


class PathSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a device reaches another one, as it measured it: a round trip, and what went there per second."""

    device: DeviceId
    rtt_ms: float | None = None
    rate_bytes_s: float | None = None


class PermitRequest(Message, frozen=True):
    """Ask where a job may run, or a series of them. The same ``request`` again gives the same permit.

    ``job`` None asks for a series of ``jobs`` jobs like ``spec``, each of about its units. ``exclude``: devices that
    just failed this job. ``paths``: the requester's live connections.
    """

    request: RequestId
    job: JobId | None
    spec: JobSpec
    exclude: tuple[DeviceId, ...] = ()
    jobs: int = 1
    paths: tuple[PathSeen, ...] = ()


class EstimateRequest(Message, frozen=True):
    """Ask what a job would cost and who would do it, without asking for a permit. Nothing is kept of it."""

    request: RequestId
    spec: JobSpec
    paths: tuple[PathSeen, ...] = ()


class Started(Message, frozen=True):
    """An attempt runs on this worker, or (``ended``) does not any more: for people who watch; settles nothing."""

    job: JobId
    attempt: int
    requester: DeviceId
    workload: str = ""
    model: str = ""
    sensitivity: Sensitivity = "private"
    units: int = 0
    ended: bool = False


class AttemptReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the requester saw one attempt end: unsigned, for the job's page. ``code`` is empty when it was used."""

    device: DeviceId
    attempt: int
    started_ms: int
    finished_ms: int
    path: str = ""
    code: str = ""


class JobReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job's record as its requester saw it. ``own``: it ran on the owner's own device, at price 0."""

    job: JobId
    spec: JobSpec
    attempts: tuple[AttemptReport, ...]
    device: DeviceId | None = None
    units: int = 0
    own: bool = False
    code: str = ""
    explanation: Explanation | None = None
    choices: tuple[Choice, ...] = ()
    """Why each attempt went where it went, as the requester chose."""


class Report(Message, frozen=True):
    """A batch from the outbox: signed facts (compact JWS) and job records. Repeated until acknowledged.

    In ``ReportAck.refused`` an index counts ``facts`` first, then ``jobs``.
    """

    batch: int
    facts: tuple[str, ...] = ()
    jobs: tuple[JobReport, ...] = ()


class CancelJob(Message, frozen=True):
    """The requester gave up a job: its permit may be closed as soon as its attempts are answered."""

    job: JobId


class Judged(Message, frozen=True):
    """The answer to a ``Check``: the signed ``Verdict``."""

    verdict: str


FromCoordinator = (
    Challenge | Welcome | BeatAnswer | Placed | Refused | Estimated | ReportAck | StateUpdate | CertificateUpdate
    | KeyTaken | Peers | Close | Cancel | Check | Drain | Removed | Admissions | Problem
)  # fmt: skip
FromDevice = (
    Prove | NewKey | Hello | Beat | PermitRequest | EstimateRequest | Started | Report | CancelJob | Judged | Problem
)

_encoder = msgspec.json.Encoder()
_from_coordinator: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromCoordinator)
_from_device: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FromDevice)


def encode(message: Message) -> bytes:
    """A message as JSON bytes (one WebSocket text message)."""
    return _encoder.encode(message)


def decode_from_device(raw: bytes | str) -> FromDevice:
    """Read a device's message. Raises LinkError."""
    return _decode(_from_device, raw)  # type: ignore[no-any-return]


def decode_from_coordinator(raw: bytes | str) -> FromCoordinator:
    """Read the coordinator's message. Raises LinkError."""
    return _decode(_from_coordinator, raw)  # type: ignore[no-any-return]


def _decode(decoder: "msgspec.json.Decoder[Any]", raw: bytes | str) -> Any:
    if len(raw) > MESSAGE_BYTES_MAX:
        raise LinkError("A link message is too long.", bytes=len(raw))
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec.ValidationError is a DecodeError; its text may quote the value, so only its kind goes on.
        raise LinkError(reason=type(error).__name__) from error
