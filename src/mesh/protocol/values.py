"""What travels and rules may know: job specs, capabilities, loads, usage.

Rules import this module and nothing else of ``protocol``. All structs are frozen; unknown fields are ignored when they
are decoded, so that an older program understands a newer one.

Touches: nothing.
"""

from typing import Literal

import msgspec

from mesh.ids import DeviceId, DeviceKey, MemberId

Sensitivity = Literal["public", "private", "sensitive"]
Role = Literal["admin", "member", "guest"]
DeviceState = Literal["pending", "ready", "busy", "paused", "draining", "offline", "revoked"]
PathKind = Literal["local", "direct", "relayed"]
AddressKind = Literal["loopback", "private", "public"]
RoutingMode = Literal["auto", "device", "tier", "local"]
Isolation = Literal["strict", "limited", "none"]
Phones = Literal["any", "charging", "never"]
Unit = Literal["byte", "page", "second"]

TEXT_UNITS_PER_KB = 1000
"""Text is counted in UTF-8 bytes and priced per kilobyte of 1000 bytes."""


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of everything here: immutable, compared by content, defaults left off the wire."""


class Routing(Value, frozen=True):
    """Where a job may go: anywhere eligible, one device, at least a tier, or preferably this LAN."""

    mode: RoutingMode = "auto"
    device: DeviceId | None = None
    tier: int | None = None


class Need(Value, frozen=True):
    """What a device must have for a job: least tier (0 to 4), a GPU, free memory in bytes, all of these tags.

    ``latency_s``: the first result is expected within so many seconds, or the device is not asked; None for no limit.
    """

    tier_min: int = 0
    gpu: bool = False
    memory_bytes: int = 0
    tags: tuple[str, ...] = ()
    latency_s: float | None = None


class JobSpec(Value, frozen=True):
    """What is asked, without its payload: all that the coordinator learns of a job.

    ``units`` is the requester's own count of the input (bytes of text, pages, seconds). ``max_cost`` in micro-credits,
    None for no limit of the requester's own. ``limit_s``: seconds the job may run after it started. ``input_bytes``:
    what travels to the worker; 0 where it is not told. ``effort``: a guess, in units, at what its time grows with,
    where ``units`` are only the most that it may come to; 0 where the units tell.
    """

    workload: str
    model: str
    units: int
    sensitivity: Sensitivity = "private"
    routing: Routing = Routing()
    need: Need = Need()
    max_cost: int | None = None
    limit_s: float = 600.0
    input_bytes: int = 0
    effort: int = 0

    @property
    def work(self) -> int:
        """Units that its time is reckoned by."""
        return self.effort or self.units

    @property
    def guessed(self) -> bool:
        """Whether nobody can know beforehand how long it takes: then its length alone is no reason to refuse it."""
        return self.effort > 0


class ModelOffer(Value, frozen=True):
    """One (workload, model) that a device can run.

    ``units_per_s`` was measured on that device; ``overhead_s`` is the fixed part of a job; ``cold_load_s`` is what
    loading takes, paid only while not ``warm``. ``digest`` is the model's manifest digest from the catalogue;
    ``memory_bytes`` what its process takes once loaded, 0 where it was not measured.
    """

    workload: str
    model: str
    units_per_s: float
    overhead_s: float = 0.0
    cold_load_s: float = 0.0
    warm: bool = False
    digest: str = ""
    memory_bytes: int = 0


class Gpu(Value, frozen=True):
    """A GPU by name with its memory in bytes."""

    name: str
    memory_bytes: int


class Capability(Value, frozen=True):
    """What a device is, as it measured itself. Sent at join and whenever it changes."""

    system: str
    arch: str
    cores: int
    memory_bytes: int
    tier: int
    gpus: tuple[Gpu, ...] = ()
    npu: bool = False
    phone: bool = False
    isolation: Isolation = "none"
    offers: tuple[ModelOffer, ...] = ()


class Load(Value, frozen=True):
    """A worker's queue: a growing sequence number, jobs queued or running, and their work in seconds."""

    sequence: int = 0
    depth: int = 0
    work_s: float = 0.0


class LoadingModel(Value, frozen=True):
    """A model on its way to being offered: stage, fraction of it that is done (0..1), seconds left (None: unknown)."""

    model: str
    stage: str
    fraction: float
    eta_s: float | None = None


class Condition(Value, frozen=True):
    """How a device is right now; sent in every beat. Fractions are 0..1; None means unknown (mains, cool).

    ``memory_free_bytes``: what a further model could use. ``loading``: models that it cannot run yet, and will soon.
    """

    state: DeviceState = "ready"
    load: Load = Load()
    warm: tuple[str, ...] = ()
    cpu_busy: float | None = None
    battery: float | None = None
    plugged_in: bool | None = None
    thermal_headroom: float | None = None
    contributes: bool = True
    limit: str = ""
    """Why it does not contribute, as a code (``devices.contribution``); what others use of it is in ``cpu_busy``."""
    gpu_busy: float | None = None
    memory_free_bytes: int | None = None
    loading: tuple[LoadingModel, ...] = ()


class Usage(Value, frozen=True):
    """Work that was done, in the unit of its workload (see ``mesh.credits.tariff``)."""

    units: int


class Candidate(Value, frozen=True):
    """A device that a permit names, with the most that may be earned there (micro-credits)."""

    device: DeviceId
    key: DeviceKey
    owner: MemberId
    cap: int


class Hint(Value, frozen=True):
    """What the coordinator knows of a candidate, unsigned: where it is and how fast it should answer."""

    device: DeviceId
    service_s: float
    first_byte_s: float
    load: Load = Load()
    addresses: tuple[str, ...] = ()
    relay: str | None = None


class GateResult(Value, frozen=True):
    """One yes/no reason about one device. ``reason`` is words for people made of codes and numbers."""

    device: DeviceId
    gate: str
    passed: bool
    reason: str = ""


PATHS_MAX = 64
"""Measured paths of one question that are looked at; a device has fewer connections at a time."""


class DeviceScore(Value, frozen=True):
    """How an eligible device ranked: weighted terms that sum to ``total`` (higher is better)."""

    device: DeviceId
    terms: dict[str, float]
    total: float


class GateFailure(Value, frozen=True):
    """A gate that devices did not pass for one reason; ``devices`` are their places in ``Explanation.devices``."""

    gate: str
    reason: str
    devices: tuple[int, ...]


class Choice(Value, frozen=True):
    """Why the requester sent an attempt where it did: what it expected of that device at that moment.

    ``expected_s``: seconds to the result; ``wait_s``: the part of it that other work takes. ``reason`` is a code:
    ``first`` (the permit's order), ``finish`` (the least expected finish), ``backup``, ``canary``, ``retry``.
    ``other``: the device that was next best, with the seconds expected of it; empty where there was none.
    """

    device: DeviceId
    attempt: int
    expected_s: float = 0.0
    wait_s: float = 0.0
    reason: str = ""
    other: str = ""
    other_s: float = 0.0


class Explanation(Value, frozen=True):
    """Why a job goes where it goes: the gates of every device, the best scores, and what would have changed it.

    Every gate in ``asked`` was asked of every device in ``devices``; only those that failed are written out, so that a
    thousand devices fit a message. ``choices`` are the requester's own, one per attempt. ``weights``: what the score
    weighed then, so that it can be told what other weights would have chosen (empty in old records).
    """

    asked: tuple[str, ...] = ()
    devices: tuple[DeviceId, ...] = ()
    failed: tuple[GateFailure, ...] = ()
    scores: tuple[DeviceScore, ...] = ()
    chosen: DeviceId | None = None
    would_change: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    weights: dict[str, float] = {}

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate of every device, written out; the reason of one that was passed is empty."""
        reasons = {(at, failure.gate): failure.reason for failure in self.failed for at in failure.devices}
        return tuple(
            GateResult(device, gate, (at, gate) not in reasons, reasons.get((at, gate), ""))
            for at, device in enumerate(self.devices)
            for gate in self.asked
        )

    @property
    def passed(self) -> frozenset[DeviceId]:
        """The devices that passed every gate."""
        failed = {at for failure in self.failed for at in failure.devices}
        return frozenset([device for at, device in enumerate(self.devices) if at not in failed])

    @property
    def refused(self) -> tuple[GateResult, ...]:
        """The gates that were not passed, by device."""
        failed = sorted((at, number) for number, failure in enumerate(self.failed) for at in failure.devices)
        return tuple(
            GateResult(self.devices[at], self.failed[number].gate, False, self.failed[number].reason)
            for at, number in failed
        )


class Grant(Value, frozen=True):
    """Who may run what, where, with which data, and when: what is empty or at its default is not restricted.

    Members, owners and devices are ids. ``named``: only where the requester named this very device. ``hours`` are
    minutes of the day (from, until; over midnight where until is not later), ``days`` as ``mon``, both in UTC.
    """

    name: str
    roles: tuple[Role, ...] = ()
    members: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    devices: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    owner_roles: tuple[Role, ...] = ()
    tier_min: int = 0
    named: bool = False
    phones: Phones = "any"
    hours: tuple[tuple[int, int], ...] = ()
    days: tuple[str, ...] = ()


class Policy(Value, frozen=True):
    """A network's grants: what none of them allows is denied."""

    grants: tuple[Grant, ...] = ()


class Priced(Value, frozen=True):
    """What a workload costs: ``micro`` micro-credits for every ``per`` units."""

    workload: str
    micro: int
    per: int


class Prices(Value, frozen=True):
    """A version of a network's tariff. Permits granted before it keep the version that they name."""

    version: int
    prices: tuple[Priced, ...] = ()
