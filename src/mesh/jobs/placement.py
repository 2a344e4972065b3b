"""Placement: which device does a job, and why. Gates say who can; a score says who is best.

One pure function for the coordinator (all devices of a network) and for an agent (its owner's devices). Every gate of
every device and every term of every score is part of the answer.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mesh.devices.capability import offer_of
from mesh.devices.contribution import contributes
from mesh.errors import MeshError
from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.policies.decide import Asker, Target, decide
from mesh.protocol.values import (
    Capability,
    Condition,
    DeviceScore,
    Explanation,
    GateResult,
    JobSpec,
    ModelOffer,
    Role,
)

CANDIDATES_ONE_JOB = 3
"""A permit for one job: the first does the work, two are spares (scheduling, section 3: k)."""
NEAR_TIE = 0.10
"""Totals within a tenth of the best are shuffled, so that equal devices are used equally often."""
SCALE_S = 0.010
"""Differences of expected time well below 10 ms are noise of the measurement and must not decide."""
RTT_SCALE_S = 0.200
"""A round trip of 200 ms or more scores 0: interactive use has become impossible there."""
RTT_UNKNOWN_S = 0.020
"""What an unmeasured path counts as: between a LAN and a continent."""
UNKNOWN_FEATURE = 0.5
"""A feature that a device does not report is neither held for nor against it."""
RATE_UNKNOWN_BYTES_S = 2_500_000.0
"""20 Mbit/s: the uplink of an ordinary home line."""
FIRST_BYTE_FACTOR = 2.5
"""First-byte p95 of a device without history: half of scheduling's cold factor of 5 times the service time."""
EXPLAIN_ALL_MAX = 16
"""With more devices than this only failed gates are listed: an explanation must not outgrow a message."""
_GRID = float(1 << 20)
"""Terms are whole multiples of 2^-20: their sum is exact in floating point in every order."""


class NowhereToRun(MeshError):
    """No device can run this job now. `mesh job why` lists the gate that each device failed."""

    code = "placement.nowhere"
    kind = "nowhere"


class Weights(NamedTuple):
    """What the score weighs; they sum to 1. The defaults are the product's."""

    seconds: float = 0.50
    rtt: float = 0.15
    plugged: float = 0.10
    thermal: float = 0.10
    idle: float = 0.075
    cost: float = 0.075


DEFAULT_WEIGHTS = Weights()


class DeviceFacts(NamedTuple):
    """All that placement knows of a device. ``backlog_s`` is drained to now; None is unknown, or without limit.

    ``rtt_s`` and ``rate_bytes_s`` are of the path from the requester; ``certified`` says that its membership
    certificate is good; ``condition.state`` is the state as its observer sees it (``devices.presence``).
    """

    device: DeviceId
    key: DeviceKey
    owner: MemberId
    owner_role: Role
    capability: Capability
    condition: Condition
    certified: bool = True
    backlog_s: float = 0.0
    rtt_s: float | None = None
    rate_bytes_s: float | None = None


class Ask(NamedTuple):
    """A job to place: who asks, from which device, what it costs elsewhere, and the credits that are free for it.

    ``cost`` is the most that the job can cost on somebody else's device, in micro-credits; on one's own it is 0.
    ``available`` None: the network sets no floor.
    """

    spec: JobSpec
    member: MemberId
    role: Role
    device: DeviceId | None
    cost: int
    available: int | None = None


class Ranked(NamedTuple):
    """An eligible device, what the job costs there, and how fast it should be."""

    facts: DeviceFacts
    cost: int
    service_s: float
    expected_s: float
    score: DeviceScore


class Placement(NamedTuple):
    """The eligible devices, best first, and the explanation."""

    ranked: tuple[Ranked, ...]
    explanation: Explanation


def place(ask: Ask, devices: Sequence[DeviceFacts], *, weights: Weights = DEFAULT_WEIGHTS, draw: int = 0) -> Placement:
    """Rank the devices that pass every gate, best first; near ties are shuffled by ``draw``, any number >= 0."""
    gates: list[GateResult] = []
    eligible: list[tuple[DeviceFacts, ModelOffer]] = []
    failed_once: list[tuple[DeviceFacts, GateResult]] = []
    for facts in devices:
        offer = offer_of(facts.capability, ask.spec.workload, ask.spec.model)
        results = _gates(ask, facts, offer)
        failed = [result for result in results if not result.passed]
        gates += results if len(devices) <= EXPLAIN_ALL_MAX else failed
        if offer is not None and not failed:
            eligible.append((facts, offer))
        elif len(failed) == 1:
            failed_once.append((facts, failed[0]))
    ranked = _ranked(ask, eligible, weights, draw)
    explanation = Explanation(
        gates=tuple(gates),
        scores=tuple(entry.score for entry in ranked),
        chosen=ranked[0].facts.device if ranked else None,
        would_change=(*_closer(ranked), *(_opened(facts, gate) for facts, gate in failed_once[:EXPLAIN_ALL_MAX])),
    )
    return Placement(tuple(ranked), explanation)


def service_s(offer: ModelOffer, units: int) -> float:
    """Seconds that a device works on ``units``, by its own measurement, once the model is warm."""
    return max(0.0, offer.overhead_s) + units / max(offer.units_per_s, 1e-6)


def _gates(ask: Ask, facts: DeviceFacts, offer: ModelOffer | None) -> list[GateResult]:
    """Every gate of one device, in the order in which a person would ask."""
    spec, need, device = ask.spec, ask.spec.need, facts.device
    capability, state = facts.capability, facts.condition.state
    own = facts.owner == ask.member
    decision = decide(
        Asker(ask.member, ask.role), Target(facts.owner, facts.owner_role, capability.phone), spec.sensitivity
    )
    willing = (True, "one's own device") if own else contributes(capability, facts.condition)
    cost = 0 if own else ask.cost
    memory = max((gpu.memory_bytes for gpu in capability.gpus), default=0) if need.gpu else capability.memory_bytes
    routed, route = _route(spec, facts)
    affordable = spec.max_cost is None or cost <= spec.max_cost
    covered = ask.available is None or cost <= ask.available
    open_states = ("ready", "busy", "paused") if own else ("ready", "busy")
    return [
        GateResult(device, "member", facts.certified, "" if facts.certified else "no valid membership certificate"),
        GateResult(device, "state", state in open_states, state),
        GateResult(device, "contribution", willing[0], willing[1]),
        GateResult(device, "policy", decision.allowed, decision.reason),
        GateResult(device, "model", offer is not None, "" if offer else f"does not offer {spec.workload} {spec.model}"),
        GateResult(
            device, "tier", capability.tier >= need.tier_min, f"tier {capability.tier}, needs at least {need.tier_min}"
        ),
        GateResult(device, "gpu", not need.gpu or bool(capability.gpus), "needs a GPU" if need.gpu else ""),
        GateResult(device, "memory", memory >= need.memory_bytes, f"{memory} bytes, needs {need.memory_bytes}"),
        GateResult(device, "routing", routed, route),
        GateResult(device, "cost", affordable, f"costs {cost}, limit {spec.max_cost}" if not affordable else ""),
        GateResult(device, "credit", covered, f"costs {cost}, free credits {ask.available}" if not covered else ""),
    ]


def _route(spec: JobSpec, facts: DeviceFacts) -> tuple[bool, str]:
    """Whether the routing that was asked for admits a device. ``local`` prefers a path and excludes none."""
    routing = spec.routing
    if routing.mode == "device":
        return facts.device == routing.device, "" if facts.device == routing.device else "another device was asked for"
    if routing.mode == "tier" and facts.capability.tier < (routing.tier or 0):
        return False, f"tier {facts.capability.tier}, tier {routing.tier} was asked for"
    return True, ""


def _ranked(ask: Ask, eligible: Sequence[tuple[DeviceFacts, ModelOffer]], weights: Weights, draw: int) -> list[Ranked]:
    """Score, sort and shuffle near ties. Ids break exact ties, so that one draw always gives one order."""
    if not eligible:
        return []
    timed = [(facts, offer, *_expected(ask, facts, offer)) for facts, offer in eligible]
    best_s = min(expected for *_, expected in timed)
    dearest = max(0 if facts.owner == ask.member else ask.cost for facts, _ in eligible)
    ranked = []
    for facts, _, service, expected in timed:
        cost = 0 if facts.owner == ask.member else ask.cost
        condition, rtt = facts.condition, _rtt_s(ask, facts)
        features = Weights(
            seconds=(best_s + SCALE_S) / (expected + SCALE_S),
            rtt=1 - min(rtt / RTT_SCALE_S, 1.0),
            plugged=0.0 if condition.plugged_in is False else 1.0,
            thermal=1.0 if condition.thermal_headroom is None else _unit(condition.thermal_headroom),
            idle=UNKNOWN_FEATURE if condition.cpu_busy is None else 1 - _unit(condition.cpu_busy),
            cost=1 - cost / dearest if dearest else 1.0,
        )
        terms = {
            name: round(weight * feature * _GRID) / _GRID
            for name, weight, feature in zip(Weights._fields, weights, features, strict=True)
        }
        ranked.append(Ranked(facts, cost, service, expected, DeviceScore(facts.device, terms, sum(terms.values()))))
    ranked.sort(key=lambda entry: (-entry.score.total, entry.facts.device))
    return _shuffle_near_ties(ranked, draw)


def _expected(ask: Ask, facts: DeviceFacts, offer: ModelOffer) -> tuple[float, float]:
    """Service time, and seconds to the first result: waiting, loading, moving the input, working, one round trip."""
    service = service_s(offer, ask.spec.units)
    cold = 0.0 if offer.warm or offer.model in facts.condition.warm else max(0.0, offer.cold_load_s)
    moved = 0.0 if facts.device == ask.device else ask.spec.units / (facts.rate_bytes_s or RATE_UNKNOWN_BYTES_S)
    return service, max(0.0, facts.backlog_s) + cold + moved + service + _rtt_s(ask, facts)


def _rtt_s(ask: Ask, facts: DeviceFacts) -> float:
    if facts.device == ask.device:
        return 0.0
    return RTT_UNKNOWN_S if facts.rtt_s is None else max(0.0, facts.rtt_s)


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _shuffle_near_ties(ranked: list[Ranked], draw: int) -> list[Ranked]:
    """Shuffle the head of the ranking: totals near the best at the best's price. A coin never decides who pays."""
    best = ranked[0]
    least = best.score.total * (1 - NEAR_TIE)
    near: list[Ranked] = []
    rest: list[Ranked] = []
    for entry in ranked:
        (near if entry.score.total >= least and entry.cost == best.cost else rest).append(entry)
    for place_at in range(min(CANDIDATES_ONE_JOB, len(near) - 1)):  # the others of the ranking are not used
        draw, offset = divmod(draw, len(near) - place_at)
        swap = place_at + offset
        near[place_at], near[swap] = near[swap], near[place_at]
    return near + rest


def _closer(ranked: Sequence[Ranked]) -> tuple[str, ...]:
    """What would have put the second device first: its largest lag, or nothing but the draw."""
    if len(ranked) < 2:
        return ()
    first, second = ranked[0].score, ranked[1].score
    lead = first.total - second.total
    if lead <= first.total * NEAR_TIE and ranked[0].cost == ranked[1].cost:
        return (f"{second.device} is within {NEAR_TIE:.0%} of the first: a draw decided",)
    term = max(first.terms, key=lambda name: first.terms[name] - second.terms[name])
    return (f"{second.device} would win if its {term} term rose by more than {lead:.4f}",)


def _opened(facts: DeviceFacts, gate: GateResult) -> str:
    return f"{facts.device} would be eligible if it passed the gate {gate.gate}: {gate.reason}"
