"""What the coordinator answers, as types. Unknown fields are ignored: an older client understands a newer server.

Lists come in pages: ``cursor`` asks for the next one, and is None at the last.

Touches: nothing.
"""

from typing import Any

import msgspec

from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, NetworkId, TokenId
from mesh.protocol.values import DeviceState, Role
from mesh.sdk.prices import Tariff
from mesh.sdk.round_trips import RoundTrip


class Answer(msgspec.Struct, frozen=True):
    """Base of all answers: immutable."""


class About(Answer, frozen=True):
    """Which coordinator this is: version, public key, its clock; and how its key followed earlier ones (signed).

    ``dashboard``: whether it has the dashboard's pages; a checkout where nobody built them has none.
    """

    version: str
    key: str
    time_ms: int
    successions: tuple[str, ...] = ()
    dashboard: bool = True


class Rotated(Answer, frozen=True):
    """A key was replaced: the new one, the old one, how often by now, and until when the old one is good."""

    key: str
    old: str
    number: int
    old_until_ms: int


class Claimed(Answer, frozen=True):
    """A person signed in: the session token (a secret), who they are, and the network that they came into.

    ``state``: ``pending`` where they wait there for an admin, ``active`` where they are in.
    """

    token: str
    member: MemberId
    name: str
    network: NetworkId | None = None
    state: str | None = None


class Made(Answer, frozen=True):
    """A network was made."""

    network: NetworkId


class PairingAsked(Answer, frozen=True):
    """A machine may wait: the first half of its code, the coordinator's random number, and until when (its clock, ms).

    ``url``, ``tls_sha256`` and ``more`` are the coordinator's own word on itself: never believed, only compared.
    """

    pairing: str
    handle: str
    nonce: str
    time_ms: int
    expires_ms: int
    url: str
    tls_sha256: str | None = None
    more: tuple[str, ...] = ()


class PairingState(Answer, frozen=True):
    """What became of a machine's request: ``waiting`` or ``confirmed``; then with the network, and who said yes."""

    state: str
    network: NetworkId = NetworkId("")
    network_name: str = ""
    network_key: DeviceKey = DeviceKey("")
    by: str = ""


class PairingShown(Answer, frozen=True):
    """The machine that shows a code. ``elsewhere``: not from the same public address as you, or that cannot be told.

    Addresses are None behind a proxy. ``state``: what the device would be after a yes, ``ready`` or ``pending``.
    """

    pairing: str
    name: str
    machine: str
    key: DeviceKey
    fingerprint: str
    address: str | None
    your_address: str | None
    elsewhere: bool
    asked_ms: int
    expires_ms: int
    time_ms: int
    network: NetworkId
    network_name: str
    state: str


class PairingConfirmed(Answer, frozen=True):
    """A machine may join: the join token made for it, its name, and whether it then waits for an admin."""

    token: TokenId
    name: str
    state: str


class DeviceSession(Answer, frozen=True):
    """A read-only session of a device: its token (a secret) and when it ends."""

    token: str
    expires_ms: int = 0


class Done(Answer, frozen=True):
    """An act that answers nothing else."""


class Network(Answer, frozen=True):
    """A network that I am in; or that I asked to come into, where ``state`` is ``pending``."""

    network: NetworkId
    name: str
    role: Role | None = None
    state: str = "active"


class Networks(Answer, frozen=True):
    """The networks that I am in."""

    networks: tuple[Network, ...]
    cursor: str | None = None


class Settings(Answer, frozen=True):
    """What a network is set to. ``weights`` of the score, by name; ``permits_per_member``: None without a limit.

    ``approve_devices``: devices wait for an admin, unless an admin invited them. ``approve_people``: people wait for an
    admin, however they come. ``keep_``: for how many days job
    records and decisions are kept; 0 decisions: for good. None: the coordinator is older, and does not say.
    """

    credit_line: str
    weights: dict[str, float]
    permits_per_member: int | None = None
    approve_devices: bool = False
    keep_jobs_days: int | None = None
    keep_decisions_days: int | None = None
    tariff: Tariff | None = None
    approve_people: bool = False


class Device(Answer, frozen=True):
    """A device as its network shows it. ``held``: why it was put back to pending (``copied``)."""

    device: DeviceId
    name: str
    owner: MemberId
    state: DeviceState
    tier: int | None = None
    last_seen_ms: int | None = None
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    held: str | None = None
    round_trips: tuple[RoundTrip, ...] = ()


class Devices(Answer, frozen=True):
    """The devices of a network."""

    devices: tuple[Device, ...]
    cursor: str | None = None


class Member(Answer, frozen=True):
    """A person in a network."""

    member: MemberId
    name: str
    role: Role


class Members(Answer, frozen=True):
    """The people of a network."""

    members: tuple[Member, ...]
    cursor: str | None = None


class JobAttempt(Answer, frozen=True):
    """One attempt of a job: how it ended (``code`` empty: used), what was paid, and on which evidence.

    ``reason``: why its requester sent it there: ``first`` of the permit, the least expected ``finish``, ``retry``,
    ``backup`` (another took long) or ``canary`` (to see whether a device works again). ``expected_s``: seconds to the
    result as it expected then, ``wait_s`` of them behind other work; ``other_s`` of the next best device (``other``).
    """

    attempt: int
    worker: DeviceId
    state: str
    pay: int = 0
    owed: int = 0
    units: int = 0
    how: str | None = None
    code: str = ""
    path: str = ""
    started_ms: int | None = None
    finished_ms: int | None = None
    reason: str = ""
    expected_s: float = 0.0
    wait_s: float = 0.0
    other: str = ""
    other_s: float = 0.0


class Job(Answer, frozen=True):
    """A job's record: never its payload. Amounts in micro-credits, times in milliseconds since 1970 UTC.

    ``own``: it ran on a device of the same owner, at price 0. ``code`` is empty unless it failed.
    """

    job: JobId
    state: str
    workload: str
    model: str
    created_ms: int
    requester: DeviceId
    member: MemberId
    sensitivity: str
    device: DeviceId | None = None
    own: bool = False
    units: int = 0
    charge: int = 0
    code: str = ""
    finished_ms: int | None = None
    attempts: tuple[JobAttempt, ...] = ()


class Jobs(Answer, frozen=True):
    """A page of job records, newest first; ``cursor`` asks for the next page."""

    jobs: tuple[Job, ...]
    cursor: str | None = None


class Balance(Answer, frozen=True):
    """One's credits in a network, in micro-credits. ``free``: what may still be spent; None without a limit."""

    balance: int
    pending: int = 0
    held: int = 0
    lowest: int | None = None
    free: int | None = None


class LedgerLine(Answer, frozen=True):
    """One entry of the ledger. Amounts in micro-credits; ``balance``: its account's after it, in one person's lines.

    The price was ``price_micro`` for every ``price_per`` units, by that version of the tariff. ``receipt``: SHA-256 of
    the signed fact that it rests on. ``sealed_number``: its place in the chain, once it has one.
    """

    posting: str
    time_ms: int
    kind: str
    account: str
    member: MemberId | None
    amount: int
    balance: int | None = None
    counterparty: MemberId | None = None
    job: JobId | None = None
    attempt: int | None = None
    requester: DeviceId | None = None
    worker: DeviceId | None = None
    tariff_version: int | None = None
    units: int | None = None
    price_micro: int | None = None
    price_per: int | None = None
    permit: str | None = None
    receipt: str | None = None
    approver: MemberId | None = None
    reason: str | None = None
    sealed_number: int | None = None


class MadeApiKey(Answer, frozen=True):
    """An API key was made; ``key`` is its secret, shown this once."""

    key_id: str
    key: str
    name: str
    scopes: tuple[str, ...]
    expires_ms: int


class ApiKeyShown(Answer, frozen=True):
    """An API key as its network lists it, without its secret. ``state``: open or expired; ``used_ms`` to the hour."""

    key_id: str
    name: str
    member: MemberId
    scopes: tuple[str, ...]
    state: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None


class ApiKeys(Answer, frozen=True):
    """The API keys of a network."""

    keys: tuple[ApiKeyShown, ...]
    cursor: str | None = None


class SessionShown(Answer, frozen=True):
    """One place where a person is signed in. ``label``: its own; ``current``: this one; ``by_code``: it may less."""

    session: str
    label: str | None
    created_ms: int
    expires_ms: int
    current: bool
    by_code: bool = False


class SignInLink(Answer, frozen=True):
    """A link that signs its maker in elsewhere, once; a secret until then."""

    link: str
    expires_ms: int


class Sessions(Answer, frozen=True):
    """Where a person is signed in."""

    sessions: tuple[SessionShown, ...]
    cursor: str | None = None


class Ledger(Answer, frozen=True):
    """A page of ledger lines, newest first."""

    lines: tuple[LedgerLine, ...]
    cursor: str | None = None


class LedgerHead(Answer, frozen=True):
    """How far a ledger is sealed: the last number, the hash up to it, when, and the network's signature on that."""

    number: int
    hash: str
    sealed_ms: int
    signed: str


class Verified(Answer, frozen=True):
    """What the check of the whole ledger found. ``total`` is the sum of all entries: 0, or something is wrong.

    ``sealed``: up to which posting it is chained; ``unsealed``: what came since. ``at``: the hash at the number asked.
    """

    ok: bool
    total: int = 0
    postings: int = 0
    entries: int = 0
    sealed: int = 0
    unsealed: int = 0
    head: LedgerHead | None = None
    at: str | None = None
    invariants: tuple[str, ...] = ()
    problems: tuple[Any, ...] = ()
