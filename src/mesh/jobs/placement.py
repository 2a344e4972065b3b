"""Placement: which device does a job, and why. Gates say who can; a score says who is best.

One pure function for the coordinator (all devices of a network) and for an agent (its owner's devices). Every gate of
every device is part of the answer, and every term of the best scores.

Touches: nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mesh.devices.capability import offer_of
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.jobs import loading
from mesh.jobs.facts import Ask, DeviceFacts, Timing, service_s, timing
from mesh.jobs.gates import GATES, Failed, Gates, loading_of
from mesh.jobs.series import CANDIDATES_SERIES
from mesh.jobs.weights import DEFAULT_WEIGHTS, Weights
from mesh.protocol.values import DeviceScore, Explanation, GateFailure, LoadingModel

__all__ = ["Ask", "DeviceFacts", "NowhereToRun", "Placement", "Ranked", "Weights", "place", "service_s"]

CANDIDATES_ONE_JOB = 3
"""A permit for one job: the first does the work, two are spares (scheduling, section 3: k)."""
NEAR_TIE = 0.10
"""Totals within a tenth of the best are shuffled, so that equal devices are used equally often."""
SCALE_S = 0.010
"""Differences of expected time well below 10 ms are noise of the measurement and must not decide."""
RTT_SCALE_S = 0.200
"""A round trip of 200 ms or more scores 0: interactive use has become impossible there."""
UNKNOWN_FEATURE = 0.5
"""A feature that a device does not report is neither held for nor against it."""
FIRST_BYTE_FACTOR = 2.5
"""First-byte p95 of a device without history: half of scheduling's cold factor of 5 times the service time."""
SCORES_LISTED = 32
"""An explanation lists the best scores only: all of a thousand devices' would be 200 KB for every permit."""
OPENED_LISTED = 8
"""What would have made a device eligible is said for so many reasons; more is not read."""
NEAR_TERM = "local"
"""The term of a job that prefers its LAN: 1 for a device in it, which no other terms together outweigh."""
RANKED_MAX = 64
"""How many of the best are handed on: a permit names four."""
_GRID = 1 << 20
"""Terms are whole multiples of 2^-20: their sum is exact in floating point in every order."""

_Row = tuple[bool, int, DeviceId, bool, int, tuple[int, ...]]
"""What sorts: not in the LAN asked for, total * -1, device; then: costs something, its place, terms."""


class NowhereToRun(MeshError):
    """No device can run this job now. `mesh job why` lists the gate that each device failed."""

    code = "placement.nowhere"
    kind = "nowhere"


class Ranked(NamedTuple):
    """An eligible device, what the job costs there, and how fast it should be.

    ``terms`` are the score's, in 2^-20ths, in the order of ``Weights``; ``preferred``: it is in the LAN asked for.
    """

    facts: DeviceFacts
    cost: int
    timing: Timing
    terms: tuple[int, ...]
    total: int
    preferred: bool

    @property
    def service_s(self) -> float:
        """Seconds of work."""
        return self.timing.service_s

    @property
    def expected_s(self) -> float:
        """Seconds until the first result."""
        return self.timing.expected_s

    @property
    def score(self) -> DeviceScore:
        """Its terms and their sum, for people."""
        terms = {name: term / _GRID for name, term in zip(Weights._fields, self.terms, strict=True)}
        if self.preferred:
            terms[NEAR_TERM] = 1.0
        return DeviceScore(self.facts.device, terms, sum(terms.values()))


class Placement(NamedTuple):
    """The eligible devices, best first (64 at most), and the explanation.

    ``coming``: where there are none, the device that lacks nothing but the model, and will have it first.
    """

    ranked: tuple[Ranked, ...]
    explanation: Explanation
    coming: tuple[DeviceId, LoadingModel] | None = None

    def nowhere(self, **about: Any) -> NowhereToRun:
        """What to say where nobody is eligible; a model that is being made ready is named, with when to ask again."""
        if self.coming is None:
            return NowhereToRun(**about)
        device, model = self.coming
        return NowhereToRun(
            f"No device can run this job now: {model.model} is being made ready on one ({loading.words(model)}). "
            "Try again then.",
            loading=loading.facts(device, model),
            retry_after_s=loading.retry_s(model),
            **about,
        )


def place(ask: Ask, devices: Sequence[DeviceFacts], *, weights: Weights = DEFAULT_WEIGHTS, draw: int = 0) -> Placement:
    """Rank the devices that pass every gate, best first; near ties are shuffled by ``draw``, any number >= 0."""
    gates = Gates(ask)
    eligible: list[tuple[DeviceFacts, Timing]] = []
    failures: dict[tuple[str, str], list[int]] = {}
    only: dict[tuple[str, str], list[int]] = {}
    workload, model = ask.spec.workload, ask.spec.model
    for at, facts in enumerate(devices):
        offer = offer_of(facts.capability, workload, model)
        expected = None if offer is None else timing(ask, facts, offer)
        failed: Failed = gates.failed(facts, offer, expected)
        if failed:
            for gate in failed:
                failures.setdefault(gate, []).append(at)
            if len(failed) == 1:
                only.setdefault(failed[0], []).append(at)
        elif expected is not None:
            eligible.append((facts, expected))
    ranked = _ranked(ask, eligible, weights, draw)
    explanation = Explanation(
        asked=GATES,
        devices=tuple([facts.device for facts in devices]),
        failed=tuple([GateFailure(gate, reason, tuple(places)) for (gate, reason), places in failures.items()]),
        scores=tuple([entry.score for entry in ranked[:SCORES_LISTED]]),
        chosen=ranked[0].facts.device if ranked else None,
        would_change=(*_closer(ranked, weights), *_opened(devices, only)),
        weights=weights._asdict(),
    )
    if ranked:
        return Placement(tuple(ranked), explanation)
    lacking = [devices[at] for (gate, _), places in only.items() if gate == "model" for at in places]
    coming = [(facts.device, one) for facts in lacking if (one := loading_of(facts, model)) is not None]
    return Placement((), explanation, loading.soonest(coming))


def _ranked(ask: Ask, eligible: Sequence[tuple[DeviceFacts, Timing]], weights: Weights, draw: int) -> list[Ranked]:
    """Score, sort and shuffle near ties. Ids break exact ties, so that one draw always gives one order."""
    if not eligible:
        return []
    best_s = min([expected.expected_s for _, expected in eligible])
    local, elsewhere = ask.spec.routing.mode == "local", ask.cost or 0
    paid = elsewhere > 0 and any(facts.owner != ask.member for facts, _ in eligible)
    of_seconds, of_rtt = weights.seconds * _GRID * (best_s + SCALE_S), weights.rtt * _GRID
    of_plugged, of_thermal, of_idle, of_cost = (int(weight * _GRID + 0.5) for weight in weights[2:])
    rows: list[_Row] = []
    for at, (facts, expected) in enumerate(eligible):
        condition, own = facts.condition, facts.owner == ask.member
        busy, headroom = condition.cpu_busy, condition.thermal_headroom
        terms = (
            int(of_seconds / (expected.expected_s + SCALE_S) + 0.5),
            int(of_rtt * (1 - expected.rtt_s / RTT_SCALE_S) + 0.5) if expected.rtt_s < RTT_SCALE_S else 0,
            0 if condition.plugged_in is False else of_plugged,
            of_thermal if headroom is None else int(of_thermal * min(max(headroom, 0.0), 1.0) + 0.5),
            int(of_idle * (UNKNOWN_FEATURE if busy is None else 1 - min(max(busy, 0.0), 1.0)) + 0.5),
            0 if paid and not own else of_cost,
        )
        rows.append((not (local and expected.near), -sum(terms), facts.device, paid and not own, at, terms))
    rows.sort()
    ranked = []
    for other, total, _, costs, at, parts in _near_ties_shuffled(rows, draw)[:RANKED_MAX]:
        facts, expected = eligible[at]
        ranked.append(Ranked(facts, elsewhere if costs else 0, expected, parts, -total, local and not other))
    return ranked


def _near_ties_shuffled(rows: list[_Row], draw: int) -> list[_Row]:
    """Shuffle the head of the ranking: totals near the best at the best's price. A coin never decides who pays."""
    other, total, _, costs, *_ = rows[0]
    least = total * (1 - NEAR_TIE)
    tied = [row for row in rows if row[1] <= least and row[3] == costs and row[0] == other]
    for place_at in range(min(CANDIDATES_SERIES, len(tied) - 1)):  # the others of the ranking are not used
        draw, offset = divmod(draw, len(tied) - place_at)
        swap = place_at + offset
        tied[place_at], tied[swap] = tied[swap], tied[place_at]
    chosen = {row[4] for row in tied}
    return tied + [row for row in rows if row[4] not in chosen]


def _closer(ranked: Sequence[Ranked], weights: Weights) -> tuple[str, ...]:
    """What would have put the second device first, each change alone: or nothing but the draw."""
    if len(ranked) < 2:
        return ()
    first, second = ranked[0], ranked[1]
    name = second.facts.device
    if first.preferred and not second.preferred:
        return (f"{name} would be first if this LAN were not preferred",)
    alike = first.cost == second.cost
    if second.total >= first.total or (alike and second.total >= first.total * (1 - NEAR_TIE)):
        return (f"{name} is within {NEAR_TIE:.0%} of the first: a draw decided",)
    lead = (first.total - second.total) / _GRID
    terms = [term / _GRID for term in second.terms]
    wishes = []
    for feature, weight, term in zip(Weights._fields, weights, terms, strict=True):
        if weight and term + lead <= weight:
            wishes.append(f"{name} would be first {_wish(feature, second, (term + lead) / weight, first)}")
    if wishes:
        return tuple(wishes)
    return (f"{name} would be first only if several things changed: it lags by {lead:.4f} in all",)


def _wish(feature: str, entry: Ranked, needed: float, first: Ranked) -> str:
    """How one feature, 0 to 1, would reach what is ``needed``, in its own unit."""
    if feature == "seconds":
        best_s = min(first.expected_s, entry.expected_s)
        within = max(0.0, (best_s + SCALE_S) / needed - SCALE_S)
        return f"with its first result within {within:.4g} s instead of {entry.expected_s:.4g} s"
    if feature == "rtt":
        return f"with a round trip of at most {(1 - needed) * RTT_SCALE_S * 1000:.0f} ms"
    if feature == "plugged":
        return "if it were plugged in"
    if feature == "thermal":
        return f"with a thermal headroom of at least {needed:.2f}"
    if feature == "idle":
        return f"with its processor at most {1 - needed:.0%} busy"
    return f"if it cost at most {1 - needed:.0%} of the dearest"


def _opened(devices: Sequence[DeviceFacts], only: dict[tuple[str, str], list[int]]) -> list[str]:
    """Devices that failed one gate alone, by gate and reason."""
    said = []
    for (gate, reason), places in list(only.items())[:OPENED_LISTED]:
        others = f" and {len(places) - 1} more" if len(places) > 1 else ""
        who = f"{devices[places[0]].device}{others}"
        said.append(f"{who} would be eligible on passing the gate {gate}: {reason}")
    return said
