"""What the coordinator answers to its dashboard's pages, as types: beside the answers that programs ask for too.

Touches: nothing.
"""

from mesh.ids import DeviceId, JobId, MemberId
from mesh.protocol.values import Capability, Condition, DeviceState, Role
from mesh.sdk.answers import Answer, JobAttempt, Network
from mesh.sdk.applicants import Asked
from mesh.sdk.round_trips import RoundTrip


class Me(Answer, frozen=True):
    """Who is signed in, and in which networks they are. ``operator``: the installation is theirs.

    ``asked``: where they wait for an admin, or were not let in. ``deletion_due_ms``: when their account goes, if they
    asked for that.
    """

    member: MemberId
    name: str
    operator: bool
    networks: tuple[Network, ...]
    url: str
    deletion_due_ms: int | None = None
    asked: tuple[Asked, ...] = ()


class LinkSeen(Answer, frozen=True):
    """What a link is for (``signin``, or a token's purpose), who made it, and into which network it leads.

    ``address``: of the one person who may use it; ``proven``: the link came in a letter to it. ``waits``: who comes by
    it waits for an admin.
    """

    purpose: str
    name: str | None
    maker: str | None
    expires_ms: int
    role: Role | None = None
    network: str | None = None
    approved: bool | None = None
    address: str | None = None
    proven: bool = False
    waits: bool = False


class QrCode(Answer, frozen=True):
    """A QR code, row by row: 1 is dark."""

    rows: tuple[str, ...]


class StateSince(Answer, frozen=True):
    """A device's state, from a moment on."""

    state: str
    since_ms: int


class DeviceSeen(Answer, frozen=True):
    """A device with all that is known of it. ``limit``: why it does not work for others now, as a code."""

    device: DeviceId
    name: str
    owner: MemberId
    state: DeviceState
    history: tuple[StateSince, ...]
    key: str
    tags: tuple[str, ...]
    held: str | None
    ephemeral: bool
    joined_ms: int
    last_seen_ms: int | None
    certificate_until_ms: int | None
    capability: Capability | None
    condition: Condition
    contributes: bool
    limit: str
    round_trips: tuple[RoundTrip, ...] = ()


class Stitch(Answer, frozen=True):
    """An attempt in the picture. Of other people's jobs only that a device works: the rest is null, empty or 0."""

    job: JobId | None
    attempt: int
    requester: DeviceId | None
    member: MemberId | None
    worker: DeviceId
    workload: str
    units: int
    path: str
    code: str
    started_ms: int
    finished_ms: int | None


class Picture(Answer, frozen=True):
    """A network for a stretch of time, by the coordinator's clock."""

    now_ms: int
    since_ms: int
    devices: tuple[DeviceSeen, ...]
    stitches: tuple[Stitch, ...]


class Gate(Answer, frozen=True):
    """A condition that a device passed or not, and why not."""

    device: DeviceId
    gate: str
    passed: bool
    reason: str


class Score(Answer, frozen=True):
    """What a device was worth to a job: the terms sum to the total."""

    device: DeviceId
    terms: dict[str, float]
    total: float


class Why(Answer, frozen=True):
    """Why a job went where it went."""

    job: JobId
    gates: tuple[Gate, ...]
    scores: tuple[Score, ...]
    chosen: DeviceId | None
    attempts: tuple[JobAttempt, ...]
    would_change: tuple[str, ...]


class MemberCredit(Answer, frozen=True):
    """A member's money in micro-credits, with what an admin set for them."""

    balance: int
    pending: int
    held: int
    lowest: int | None
    free: int | None
    floor: int | None
    day_limit: int | None


class Account(Answer, frozen=True):
    """An account with its amount in micro-credits; ``member`` None for the system's own."""

    kind: str
    member: MemberId | None
    amount: int
    held: int


class Accounts(Answer, frozen=True):
    """Every account of a network: their amounts sum to zero."""

    accounts: tuple[Account, ...]


class Alive(Answer, frozen=True):
    """The process lives."""

    ok: bool


class GoTo(Answer, frozen=True):
    """Where the browser is to go now: the provider's own page."""

    url: str
