"""Placement against an oracle that is written the slow way, and the load it gives to equal devices."""

import random
from fractions import Fraction

import msgspec
import pytest

from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.jobs.backlog import Backlog, on_beat, on_permit, waiting_s
from mesh.jobs.placement import NEAR_TIE, Ask, DeviceFacts, place
from mesh.jobs.spec import BadSpec, check_spec
from mesh.jobs.weights import DEFAULT_WEIGHTS, BadWeights, Weights, changed
from mesh.protocol.values import Capability, Condition, Gpu, JobSpec, Load, ModelOffer, Need, Routing

GIB = 1 << 30
PEOPLE = ("ann", "bob", "cem")


def an_offer(pick):
    return ModelOffer(
        pick(["embeddings", "embeddings", "ocr"]),
        pick(["minilm", "minilm", "eng"]),
        pick([1.0, 100.0, 27_000.0]),
        cold_load_s=pick([0.0, 2.0]),
        warm=pick([True, False]),
        memory_bytes=pick([0, GIB]),
    )


def a_device(pick, at):
    capability = Capability(
        "linux", "x86_64", 4, pick([GIB, 16 * GIB]), pick([2, 0, 1, 2, 3, 4]),
        gpus=pick([(), (Gpu("g", 4 * GIB),)]), phone=pick([False, False, True]),
        isolation=pick(["strict", "limited", "none"]),
        offers=tuple(an_offer(pick) for _ in range(pick([2, 0, 1, 2]))),
    )  # fmt: skip
    condition = Condition(
        state=pick(["ready", "ready", "ready", "busy", "paused", "draining", "offline"]),
        load=Load(depth=pick([0, 0, 3, 256])),
        cpu_busy=pick([None, 0.0, 0.3, 1.0]),
        battery=pick([None, 0.2, 0.9]),
        plugged_in=pick([None, True, False]),
        thermal_headroom=pick([None, 0.0, 0.5, 1.0]),
        contributes=pick([True, True, True, False]),
        memory_free_bytes=pick([None, GIB // 2, 8 * GIB]),
    )
    return DeviceFacts(
        DeviceId(f"d{at:02}"), DeviceKey("0" * 64),
        MemberId(pick(["bob", *PEOPLE])), pick(["admin", "member", "guest"]), capability,
        condition, certified=pick([True, True, True, False]), backlog_s=pick([0.0, 0.5, 0.5, 500.0]),
        rtt_s=pick([None, 0.0, 0.01, 3.0]), tags=pick([(), ("attic",)]), home=pick([None, "192.0.2.1", "192.0.2.2"]),
        quarantined=pick([False, False, False, True]),
    )  # fmt: skip


def an_ask(pick):
    auto = Routing()
    routes = [auto, auto, auto, Routing("local"), Routing("tier", tier=2), Routing("device", device=DeviceId("d00"))]
    tags = Need(tags=("attic",))
    needs = [Need(), Need(), Need(), Need(2), Need(gpu=True), Need(memory_bytes=2 * GIB), tags, Need(latency_s=1.0)]
    spec = JobSpec(
        "embeddings", "minilm", pick([1, 900, 10**6]), sensitivity=pick(["public", "private", "sensitive"]),
        routing=pick(routes), need=pick(needs), max_cost=pick([None, None, 5, 20]), limit_s=pick([60.0, 600.0]),
    )  # fmt: skip
    return Ask(
        spec, MemberId(pick(PEOPLE)), pick(["admin", "member", "guest"]), pick([None, DeviceId("d00")]),
        pick([10, None, 10]), available=pick([None, None, 9, 10]), home=pick([None, "192.0.2.1"]),
        tried=pick([frozenset(), frozenset({DeviceId("d01")})]), permits_left=pick([None, None, 0, 1]),
        apart=pick([frozenset(), frozenset({MemberId("bob")})]),
    )  # fmt: skip


def cases(seed, count=150):
    """Seeded asks and networks; in half of them most gates are open, so that there is something to rank."""
    chance = random.Random(seed)
    for _ in range(count):
        free = chance.random() < 0.5
        pick = chance.choice

        def mild(options, chance=chance):
            return options[0] if chance.random() < 0.85 else chance.choice(options)

        usual = mild if free else pick
        yield an_ask(usual), [a_device(usual, at) for at in range(chance.randrange(8))], chance


def the_offer(ask, facts):
    for offer in facts.capability.offers:
        if (offer.workload, offer.model) == (ask.spec.workload, ask.spec.model):
            return offer
    return None


def the_seconds(ask, facts):
    """(wait, loading, work, round trip, all), or None where the model is not offered."""
    offer = the_offer(ask, facts)
    if offer is None:
        return None
    loading = 0.0 if offer.warm else offer.cold_load_s
    work = ask.spec.units / offer.units_per_s
    if facts.device == ask.device:
        return facts.backlog_s, loading, work, 0.0, facts.backlog_s + loading + work
    lan = facts.home is not None and facts.home == ask.home
    trip = facts.rtt_s if facts.rtt_s is not None else (0.002 if lan else 0.02)
    moving = ask.spec.units / (12.5e6 if lan else 2.5e6)
    return facts.backlog_s, loading, work, trip, facts.backlog_s + loading + moving + work + trip


def the_policy(ask, facts, own, named):
    if ask.spec.sensitivity == "sensitive":
        if facts.capability.phone:
            return own and named
        if own:
            return True
        return facts.owner_role == "admin" and (ask.role == "admin" or (ask.role == "member" and named))
    if own or ask.spec.sensitivity == "public":
        return True
    return ask.role != "guest" and facts.owner_role != "guest"


def the_memory(ask, facts, seconds):
    need, capability = ask.spec.need, facts.capability
    if need.gpu:
        return max([gpu.memory_bytes for gpu in capability.gpus], default=0) >= need.memory_bytes
    if capability.memory_bytes < need.memory_bytes:
        return False
    if seconds is None or seconds[1] == 0 or facts.condition.memory_free_bytes is None:
        return seconds is None or seconds[1] == 0 or capability.memory_bytes >= the_offer(ask, facts).memory_bytes
    return min(facts.condition.memory_free_bytes, capability.memory_bytes) >= max(
        need.memory_bytes, the_offer(ask, facts).memory_bytes
    )


def the_willing(facts):
    condition = facts.condition
    cool = condition.thermal_headroom is None or condition.thermal_headroom >= 0.1
    charged = condition.plugged_in and (condition.battery is None or condition.battery >= 0.5)
    return condition.contributes and cool and (not facts.capability.phone or bool(charged))


def the_gates(ask, facts):
    """Gate → whether this device passes it."""
    spec, need, capability = ask.spec, ask.spec.need, facts.capability
    own, named = facts.owner == ask.member, spec.routing == Routing("device", device=facts.device)
    seconds = the_seconds(ask, facts)
    in_time = seconds is None or 1.25 * seconds[0] + seconds[1] + seconds[2] <= spec.limit_s
    priced = own or ask.cost is not None
    return {
        "member": facts.certified,
        "state": facts.condition.state in (["ready", "busy", "paused"] if own else ["ready", "busy"]),
        "tried": facts.device not in ask.tried,
        "apart": own or facts.owner not in ask.apart,
        "quarantine": own or not facts.quarantined,
        "contribution": own or the_willing(facts),
        "policy": the_policy(ask, facts, own, named),
        "isolation": own or spec.sensitivity != "sensitive" or capability.isolation == "strict",
        "model": the_offer(ask, facts) is not None,
        "tier": capability.tier >= need.tier_min,
        "gpu": not need.gpu or len(capability.gpus) > 0,
        "memory": the_memory(ask, facts, seconds),
        "tags": set(need.tags) <= set(facts.tags),
        "load": seconds is None or (facts.condition.load.depth < 256 and in_time),
        "latency": seconds is None or need.latency_s is None or seconds[4] <= need.latency_s,
        "routing": spec.routing.mode in ("auto", "local")
        or named
        or (spec.routing.mode == "tier" and capability.tier >= spec.routing.tier),
        "cost": own or (priced and (spec.max_cost is None or ask.cost <= spec.max_cost)),
        "credit": own or not priced or ask.available is None or ask.cost <= ask.available,
        "permits": own or not priced or ask.permits_left is None or ask.permits_left > 0,
    }


def the_total(ask, facts, eligible):
    """The score by the product's table, in fractions, and whether the device is in the LAN that is preferred."""
    seconds, condition = the_seconds(ask, facts), facts.condition
    best = min(the_seconds(ask, other)[4] for other in eligible)
    paid = any(other.owner != ask.member for other in eligible)
    features = (
        (best + 0.01) / (seconds[4] + 0.01),
        max(0.0, 1 - seconds[3] / 0.2),
        0.0 if condition.plugged_in is False else 1.0,
        1.0 if condition.thermal_headroom is None else condition.thermal_headroom,
        0.5 if condition.cpu_busy is None else 1 - condition.cpu_busy,
        0.0 if paid and facts.owner != ask.member else 1.0,
    )
    total = sum(Fraction(weight) * Fraction(feature) for weight, feature in zip(DEFAULT_WEIGHTS, features, strict=True))
    lan = facts.device == ask.device or (facts.home is not None and facts.home == ask.home)
    return ask.spec.routing.mode == "local" and lan, float(total)


@pytest.mark.parametrize("seed", range(8))
def test_the_gates_are_the_oracles(seed):
    for ask, network, _ in cases(seed):
        explanation = place(ask, network).explanation
        found = {(gate.device, gate.gate): gate.passed for gate in explanation.gates}
        expected = {(one.device, gate): ok for one in network for gate, ok in the_gates(ask, one).items()}
        assert found == expected
        assert all(gate.reason for gate in explanation.gates if not gate.passed)


@pytest.mark.parametrize("seed", range(8))
def test_the_eligible_are_ranked_as_the_oracle_ranks_them(seed):
    ranked_pairs = 0
    for ask, network, chance in cases(seed):
        ranked_pairs += ranked_as_the_oracle(ask, network, chance.getrandbits(64)) > 1
    assert ranked_pairs > 20


def ranked_as_the_oracle(ask, network, draw):
    placement = place(ask, network, draw=draw)
    eligible = [one for one in network if all(the_gates(ask, one).values())]
    totals = {one.device: the_total(ask, one, eligible) for one in eligible}
    ranked = [(entry.facts.device, entry.preferred, entry.total / 2**20) for entry in placement.ranked]
    assert {device: (local, pytest.approx(total, abs=1e-5)) for device, local, total in ranked} == totals
    if not ranked:
        return 0
    best = max((local, total) for _, local, total in ranked)
    cost = next(entry.cost for entry in placement.ranked if (entry.preferred, entry.total / 2**20) == best)
    first = placement.ranked[0]
    assert first.preferred == best[0] and first.total / 2**20 >= (1 - NEAR_TIE) * best[1] - 1e-9
    tied = [one for one in placement.ranked if one.preferred == best[0] and one.cost == cost]
    tied = [one for one in tied if one.total / 2**20 >= (1 - NEAR_TIE) * best[1]]
    rest = [(entry.preferred, entry.total) for entry in placement.ranked if entry not in tied]
    assert rest == sorted(rest, reverse=True)
    for score in placement.explanation.scores:
        assert sum(score.terms.values()) == score.total
    return len(ranked)


def test_the_order_in_which_devices_are_known_changes_nothing():
    for ask, network, chance in cases(99):
        other = list(network)
        chance.shuffle(other)
        assert place(ask, network, draw=7).ranked == place(ask, other, draw=7).ranked


def gini(loads):
    ordered, count = sorted(loads), len(loads)
    return sum((2 * at - count - 1) * load for at, load in enumerate(ordered, start=1)) / (count * sum(ordered))


@pytest.mark.parametrize("busy", [0.3, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_equal_devices_do_equal_work(seed, busy):
    """One-job permits on eight equal devices, beats every 5 s: the Gini of their work stays below 0.1."""
    chance, service_s, count = random.Random(seed), 0.3, 8
    laptop = Capability("linux", "x", 4, GIB, 2, offers=(ModelOffer("w", "m", 1.0, warm=True),))
    laptop = msgspec.structs.replace(laptop, offers=(ModelOffer("w", "m", 1 / service_s, warm=True),))
    ends, work, known = [0.0] * count, [0.0] * count, [Backlog()] * count
    now, next_beat = 0.0, [chance.random() * 5 for _ in range(count)]
    for _ in range(2000):
        now += chance.expovariate(busy * count / service_s)
        now_ms = int(now * 1000)
        for at in range(count):
            if next_beat[at] <= now:
                known[at] = on_beat(Load(work_s=max(0.0, ends[at] - now)), now_ms)
                next_beat[at] += 5
        facts = [
            DeviceFacts(
                DeviceId(f"d{at}"), DeviceKey("0" * 64), MemberId("bob"), "member", laptop, Condition(),
                backlog_s=waiting_s(known[at], now_ms),
            )
            for at in range(count)
        ]  # fmt: skip
        ask = Ask(JobSpec("w", "m", 1), MemberId("ann"), "member", None, 10)
        first = place(ask, facts, draw=chance.getrandbits(64)).ranked[0]
        at = int(first.facts.device[1:])
        known[at] = on_permit(known[at], first.service_s, now_ms)
        took = service_s * chance.lognormvariate(0, 0.3)
        ends[at] = max(ends[at], now) + took
        work[at] += took
    assert gini(work) < 0.1


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("units", {"units": -1}),
        ("units", {"units": 10**13}),
        ("limit_s", {"limit_s": 0.0}),
        ("limit_s", {"limit_s": -1.0}),
        ("limit_s", {"limit_s": float("nan")}),
        ("limit_s", {"limit_s": 1e9}),
        ("max_cost", {"max_cost": -1}),
        ("max_cost", {"max_cost": 2**60}),
        ("workload", {"workload": ""}),
        ("workload", {"workload": "x" * 64}),
        ("model", {"model": "x" * 64}),
        ("input_bytes", {"input_bytes": -1}),
        ("need.tier_min", {"need": Need(5)}),
        ("need.tier_min", {"need": Need(-1)}),
        ("need.memory_bytes", {"need": Need(memory_bytes=-1)}),
        ("need.memory_bytes", {"need": Need(memory_bytes=1 << 60)}),
        ("need.tags", {"need": Need(tags=("",))}),
        ("need.tags", {"need": Need(tags=tuple("abcdefghijklmnopq"))}),
        ("need.latency_s", {"need": Need(latency_s=0.0)}),
        ("need.latency_s", {"need": Need(latency_s=float("nan"))}),
        ("routing.device", {"routing": Routing("device")}),
        ("routing.device", {"routing": Routing("auto", device=DeviceId("d"))}),
        ("routing.tier", {"routing": Routing("tier")}),
        ("routing.tier", {"routing": Routing("tier", tier=5)}),
        ("routing.tier", {"routing": Routing("local", tier=1)}),
    ],
)
def test_what_no_device_can_do_is_refused_by_name(what, changes):
    spec = JobSpec("embeddings", "minilm", 900)
    check_spec(spec)
    with pytest.raises(BadSpec) as refused:
        check_spec(msgspec.structs.replace(spec, **changes))
    assert refused.value.facts["what"] == what


def test_weights_of_a_network_must_be_known_and_sum_to_one():
    assert changed(DEFAULT_WEIGHTS, {"seconds": 0.4, "cost": 0.175}) == Weights(0.4, cost=0.175)
    for changes in ({"speed": 1.0}, {"rtt": 0.2}, {"rtt": -0.1, "seconds": 0.75}, {"rtt": float("nan")}, {"rtt": 2.0}):
        with pytest.raises(BadWeights):
            changed(DEFAULT_WEIGHTS, changes)
