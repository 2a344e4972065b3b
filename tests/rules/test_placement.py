from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import DeviceId, DeviceKey, MemberId
from mesh.jobs.backlog import Backlog, on_beat, on_permit, waiting_s
from mesh.jobs.gates import GATES
from mesh.jobs.placement import Ask, DeviceFacts, place
from mesh.jobs.weights import Weights
from mesh.protocol.values import (
    Capability,
    Condition,
    Explanation,
    Gpu,
    JobSpec,
    Load,
    LoadingModel,
    ModelOffer,
    Need,
    Routing,
)
from mesh.units import GIB

ANN, BOB = MemberId("ann"), MemberId("bob")
FULL = Condition(memory_free_bytes=GIB)
SPEC = JobSpec(workload="embeddings", model="minilm", units=900)


def a_device(name="d1", *, owner=BOB, owner_role="member", speed=27_000.0, model="minilm", **changes):
    offers = (
        ModelOffer(
            "embeddings", model, speed, overhead_s=0.005, cold_load_s=1.0, warm=changes.pop("warm", True),
            memory_bytes=changes.pop("model_bytes", 0),
        ),
    )  # fmt: skip
    capability = Capability(
        "linux", "x86_64", 8, 16 * GIB, changes.pop("tier", 2), gpus=changes.pop("gpus", ()),
        phone=changes.pop("phone", False), isolation=changes.pop("isolation", "none"), offers=offers,
    )  # fmt: skip
    return DeviceFacts(
        DeviceId(name),
        DeviceKey("0" * 64),
        owner,
        owner_role,
        capability,
        changes.pop("condition", Condition()),
        **changes,
    )


def an_ask(spec=SPEC, *, role="member", device=None, cost=3330, available=None, **changes):
    asked = {name: changes.pop(name) for name in Ask._fields if name in changes}
    return Ask(msgspec.structs.replace(spec, **changes), ANN, role, device, cost, available, **asked)


def failed_gates(placement):
    return {(gate.device, gate.gate) for gate in placement.explanation.gates if not gate.passed}


def test_what_can_only_be_guessed_is_refused_for_what_waits_before_it_and_never_for_its_length():
    long = an_ask(units=10**9, effort=10**8, limit_s=60.0)
    assert place(long, [a_device()]).ranked
    assert place(long, [a_device("slow", speed=1.0), a_device("fast")]).explanation.chosen == "fast"
    assert failed_gates(place(long, [a_device(backlog_s=50.0)])) == {("d1", "load")}
    sure = an_ask(units=10**9, limit_s=60.0)
    assert failed_gates(place(sure, [a_device()])) == {("d1", "load")}


def test_where_nobody_has_a_model_yet_it_is_said_where_it_will_be_first():
    def coming(name, fraction, eta_s, **changes):
        model = LoadingModel("minilm", "downloading", fraction, eta_s)
        return a_device(name, model="other", condition=Condition(loading=(model,), **changes))

    away, blind, near, far = (
        coming("away", 0.9, 1.0, state="offline"),
        coming("blind", 0.9, None),
        coming("near", 0.4, 12.0),
        coming("far", 0.5, 40.0),
    )
    nowhere = place(an_ask(), [away, blind, far, near, a_device("never", model="other")]).nowhere(job="j")
    assert nowhere.facts["loading"] == {
        "device": "near", "model": "minilm", "stage": "downloading", "percent": 40, "eta_s": 12.0
    }  # fmt: skip
    assert nowhere.facts["retry_after_s"] == 12.0 and "downloading, 40 %, about 12 s left" in nowhere.message
    unknown = place(an_ask(), [blind]).nowhere()
    assert "eta_s" not in unknown.facts["loading"] and "left" not in unknown.message
    assert "loading" not in place(an_ask(), [away]).nowhere().facts, "more than the model is missing there"
    assert place(an_ask(), [near, a_device("there")]).explanation.chosen == "there"


def test_nobody_is_nowhere_to_run():
    placement = place(an_ask(), [])
    assert placement.ranked == () and placement.explanation.chosen is None


def test_the_faster_device_wins():
    placement = place(an_ask(units=90_000), [a_device("slow", speed=5_000.0), a_device("fast")])
    assert [entry.facts.device for entry in placement.ranked] == ["fast", "slow"]
    assert placement.explanation.chosen == "fast"


def test_a_backlog_sends_the_job_elsewhere():
    devices = [a_device("long", backlog_s=3.0), a_device("idle")]
    assert place(an_ask(), devices).explanation.chosen == "idle"


def test_loading_a_model_costs_its_time():
    devices = [a_device("cold", warm=False), a_device("warm")]
    assert place(an_ask(), devices).explanation.chosen == "warm"


def test_a_model_named_in_the_last_beat_is_warm():
    devices = [a_device("cold", warm=False), a_device("warm", warm=False, condition=Condition(warm=("minilm",)))]
    assert place(an_ask(), devices).explanation.chosen == "warm"


@pytest.mark.parametrize(
    ("gate", "device", "ask"),
    [
        ("member", a_device(certified=False), an_ask()),
        ("state", a_device(condition=Condition(state="offline")), an_ask()),
        ("state", a_device(condition=Condition(state="paused")), an_ask()),
        ("state", a_device(owner=ANN, condition=Condition(state="draining")), an_ask()),
        ("contribution", a_device(condition=Condition(contributes=False)), an_ask()),
        ("policy", a_device(), an_ask(role="guest")),
        ("policy", a_device(isolation="strict"), an_ask(sensitivity="sensitive")),
        ("policy", a_device(owner_role="admin", isolation="strict"), an_ask(sensitivity="sensitive")),
        ("isolation", a_device(owner_role="admin"), an_ask(role="admin", sensitivity="sensitive")),
        ("tried", a_device(), an_ask(tried=frozenset({"d1"}))),
        ("model", a_device(model="other"), an_ask()),
        ("tier", a_device(tier=1), an_ask(need=Need(tier_min=2))),
        ("gpu", a_device(), an_ask(need=Need(gpu=True))),
        ("memory", a_device(), an_ask(need=Need(memory_bytes=17 * GIB))),
        ("memory", a_device(gpus=(Gpu("g", 2 * GIB),)), an_ask(need=Need(gpu=True, memory_bytes=4 * GIB))),
        ("memory", a_device(warm=False, condition=FULL), an_ask(need=Need(memory_bytes=2 * GIB))),
        ("memory", a_device(warm=False, condition=FULL, model_bytes=2 * GIB), an_ask()),
        ("tags", a_device(tags=("attic",)), an_ask(need=Need(tags=("attic", "gpu")))),
        ("load", a_device(condition=Condition(load=Load(depth=256))), an_ask()),
        ("load", a_device(backlog_s=500.0), an_ask(limit_s=600.0)),
        ("load", a_device(speed=1.0), an_ask(limit_s=600.0)),
        ("latency", a_device(backlog_s=0.2), an_ask(need=Need(latency_s=0.1))),
        ("routing", a_device(), an_ask(routing=Routing("device", device=DeviceId("d2")))),
        ("routing", a_device(tier=2), an_ask(routing=Routing("tier", tier=3))),
        ("cost", a_device(), an_ask(max_cost=3329)),
        ("cost", a_device(), an_ask(cost=None)),
        ("credit", a_device(), an_ask(available=3329)),
        ("permits", a_device(), an_ask(permits_left=0)),
    ],
)  # fmt: skip
def test_each_gate_alone_keeps_a_device_out_and_is_named(gate, device, ask):
    placement = place(ask, [device])
    assert failed_gates(placement) == {("d1", gate)}
    assert placement.ranked == ()
    assert [line for line in placement.explanation.would_change if gate in line]


def test_contribution_and_pausing_are_about_other_peoples_jobs():
    mine = a_device(owner=ANN, condition=Condition(state="paused", contributes=False))
    assert place(an_ask(), [mine]).explanation.chosen == "d1"


def test_ones_own_devices_cost_nothing_and_need_no_credit():
    placement = place(an_ask(max_cost=0, available=0), [a_device(owner=ANN)])
    assert [entry.cost for entry in placement.ranked] == [0]


def test_ones_own_equal_device_beats_a_paid_one_whatever_the_draw():
    devices = [a_device("other"), a_device("mine", owner=ANN)]
    assert {place(an_ask(), devices, draw=draw).explanation.chosen for draw in range(50)} == {"mine"}


def test_near_ties_are_shared_by_the_draw():
    devices = [a_device(f"d{number}") for number in range(5)]
    chosen = [place(an_ask(), devices, draw=draw).explanation.chosen for draw in range(1000)]
    assert all(150 <= chosen.count(DeviceId(f"d{number}")) <= 250 for number in range(5))


def test_one_draw_gives_one_order():
    devices = [a_device(f"d{number}") for number in range(5)]
    assert place(an_ask(), devices, draw=77) == place(an_ask(), list(reversed(devices)), draw=77)._replace(
        explanation=place(an_ask(), devices, draw=77).explanation
    )


def test_every_gate_of_every_device_is_listed():
    placement = place(an_ask(), [a_device("d1"), a_device("d2", tier=0)])
    per_device = [[gate.gate for gate in placement.explanation.gates if gate.device == name] for name in ("d1", "d2")]
    assert per_device[0] == per_device[1] == list(GATES) and len(set(GATES)) == len(GATES)


def test_a_device_that_claims_to_be_done_before_it_began_breaks_no_score():
    liar = a_device("liar", backlog_s=-5.0, rtt_s=-5.0)
    offer = msgspec.structs.replace(liar.capability.offers[0], overhead_s=-1e9, units_per_s=-1.0, cold_load_s=-1e9)
    liar = liar._replace(capability=msgspec.structs.replace(liar.capability, offers=(offer,)))
    placement = place(an_ask(), [liar, a_device("honest")])
    assert placement.explanation.chosen == "honest"
    assert all(0 <= term <= 0.5 for entry in placement.ranked for term in entry.score.terms.values())


def test_the_explanation_of_a_thousand_devices_fits_a_message_and_names_every_gate_of_each():
    devices = [a_device(f"d{number:025}", model="other" if number % 2 else "minilm") for number in range(1000)]
    explanation = place(an_ask(need=Need(gpu=True)), devices).explanation
    packed = msgspec.json.encode(explanation)
    assert len(packed) < 64 * 1024
    read = msgspec.json.decode(packed, type=Explanation)
    assert len(read.gates) == 1000 * len(GATES)
    assert len(read.refused) == sum(not gate.passed for gate in read.gates) == 1500


def test_a_job_that_prefers_its_lan_goes_to_a_slower_device_in_it_and_elsewhere_if_there_is_none():
    ask = an_ask(routing=Routing("local"), home="192.0.2.1")
    far, close = a_device("far", speed=1e6), a_device("close", speed=5e3, home="192.0.2.1")
    placement = place(ask, [far, close])
    assert placement.explanation.chosen == "close"
    assert [sum(score.terms.values()) == score.total for score in placement.explanation.scores] == [True, True]
    assert place(ask, [far]).explanation.chosen == "far"
    assert "preferred" in placement.explanation.would_change[0]


def test_a_near_device_is_expected_to_answer_sooner_than_an_unknown_one_and_a_measured_path_counts_more():
    ask = an_ask(home="192.0.2.1", input_bytes=10_000_000)
    near, far = a_device("near", home="192.0.2.1"), a_device("far", home="198.51.100.1")
    slow = a_device("slow", home="192.0.2.1", rtt_s=0.3, rate_bytes_s=1e5)
    seconds = {entry.facts.device: entry.expected_s for entry in place(ask, [near, far, slow]).ranked}
    assert seconds["near"] < seconds["far"] < seconds["slow"]
    assert seconds["slow"] > 100


def test_the_weights_of_a_network_decide():
    devices = [a_device("quick", condition=Condition(plugged_in=False)), a_device("plugged", speed=5_000.0)]
    assert place(an_ask(units=90_000), devices).explanation.chosen == "quick"
    only_mains = Weights(0, 0, 1, 0, 0, 0)
    assert place(an_ask(units=90_000), devices, weights=only_mains).explanation.chosen == "plugged"


def test_what_would_change_it_comes_true():
    quick, slow = a_device("quick"), a_device("slow", backlog_s=0.5)
    wish = next(line for line in place(an_ask(), [quick, slow]).explanation.would_change if "first result" in line)
    within_s = float(wish.split("within ")[1].split(" s")[0])
    expected_s = {entry.facts.device: entry.expected_s for entry in place(an_ask(), [quick, slow]).ranked}
    helped = slow._replace(backlog_s=0.5 - (expected_s["slow"] - within_s) - 0.001)
    totals = {entry.facts.device: entry.total for entry in place(an_ask(), [quick, helped]).ranked}
    assert totals["slow"] >= totals["quick"]


def test_backlog_drains_until_the_moment_of_the_ask():
    waiting = a_device(backlog_s=3.0, backlog_ms=10_000)
    assert place(an_ask(now_ms=11_000), [waiting]).ranked[0].timing.wait_s == 2.0
    assert place(an_ask(now_ms=20_000), [waiting]).ranked[0].timing.wait_s == 0.0
    assert place(an_ask(now_ms=9_000), [waiting]).ranked[0].timing.wait_s == 3.0


unit = st.floats(0, 1)
conditions = st.builds(
    Condition,
    state=st.sampled_from(["ready", "busy"]),
    cpu_busy=st.none() | unit,
    plugged_in=st.sampled_from([None, True, False]),
    thermal_headroom=st.none() | st.floats(0.2, 1),
)


@dataclass
class Case:
    devices: list
    draw: int


cases = st.builds(
    Case,
    devices=st.lists(
        st.builds(
            lambda owner, speed, condition, backlog, rtt: a_device(
                owner=owner, speed=speed, condition=condition, backlog_s=backlog, rtt_s=rtt
            ),
            st.sampled_from([ANN, BOB]),
            st.floats(0.1, 1e7),
            conditions,
            st.floats(0, 1e4),
            st.none() | st.floats(0, 10),
        ),
        max_size=8,
    ).map(lambda devices: [facts._replace(device=DeviceId(f"d{at}")) for at, facts in enumerate(devices)]),
    draw=st.integers(0, 2**64),
)


@given(cases, st.integers(1, 10**9), st.integers(0, 10**9))
def test_terms_are_between_0_and_their_weight_and_sum_exactly_to_the_total(case, units, cost):
    placement = place(an_ask(units=units, cost=cost, limit_s=1e12), case.devices, draw=case.draw)
    weights = {"seconds": 0.5, "rtt": 0.15, "plugged": 0.1, "thermal": 0.1, "idle": 0.075, "cost": 0.075}
    assert len(placement.ranked) == len(case.devices)
    for entry in placement.ranked:
        assert sum(entry.score.terms.values()) == entry.score.total
        assert sum(reversed(entry.score.terms.values())) == entry.score.total
        assert all(0 <= term <= weights[name] + 1e-6 for name, term in entry.score.terms.items())
    totals = [entry.score.total for entry in placement.ranked]
    assert not totals or totals[0] >= 0.9 * max(totals)


@given(cases, st.integers(0, 2**64))
def test_a_draw_never_makes_somebody_pay(case, draw):
    placement, undrawn = place(an_ask(), case.devices, draw=draw), place(an_ask(), case.devices)
    if placement.ranked:
        best = max(undrawn.ranked, key=lambda entry: entry.score.total)
        assert placement.ranked[0].cost == best.cost


def test_work_drains_at_one_second_per_second():
    backlog = on_permit(on_permit(on_beat(Load(work_s=1.0), 0), 0.5, 500), 0.5, 500)
    assert waiting_s(backlog, 500) == 1.5
    assert waiting_s(backlog, 1500) == 0.5
    assert waiting_s(backlog, 9000) == 0.0


def test_a_beat_replaces_what_was_promised():
    assert on_beat(Load(work_s=0.25), 7) == Backlog(0.25, 7)


def test_a_clock_that_steps_back_adds_no_work():
    assert waiting_s(Backlog(1.0, 5000), 0) == 1.0
