import pytest

from mesh.devices.capability import detect_tier, offer_of
from mesh.devices.contribution import contributes
from mesh.devices.presence import seen_state
from mesh.protocol.values import Capability, Condition, Gpu, ModelOffer
from mesh.units import GIB

LAPTOP = Capability(system="linux", arch="x86_64", cores=8, memory_bytes=16 * GIB, tier=2)
PHONE = Capability(system="android", arch="aarch64", cores=8, memory_bytes=8 * GIB, tier=0, phone=True)


@pytest.mark.parametrize(
    ("phone", "npu", "gpu_bytes", "tier"),
    [
        (True, False, 0, 0),
        (True, True, 0, 1),
        (True, True, 64 * GIB, 1),
        (False, True, 0, 2),
        (False, False, 1 * GIB, 2),
        (False, False, 8 * GIB, 3),
        (False, False, 16 * GIB, 3),
        (False, False, 24 * GIB, 4),
    ],
)
def test_the_tier_follows_from_the_hardware(phone, npu, gpu_bytes, tier):
    gpus = [Gpu("gpu", gpu_bytes)] if gpu_bytes else []
    assert detect_tier(phone=phone, npu=npu, gpus=gpus) == tier


def test_an_offer_is_for_one_workload_and_one_model():
    offer = ModelOffer("embeddings", "minilm", 27_000.0)
    assert offer_of(Capability("linux", "x", 1, 1, 2, offers=(offer,)), "embeddings", "minilm") is offer
    assert offer_of(Capability("linux", "x", 1, 1, 2, offers=(offer,)), "embeddings", "other") is None
    assert offer_of(LAPTOP, "embeddings", "minilm") is None


def test_a_device_is_offline_after_twenty_seconds_of_silence():
    seen = {"last_beat_ms": 100_000, "started_ms": 0, "linked": True}
    assert seen_state("ready", now_ms=120_000, **seen) == "ready"
    assert seen_state("ready", now_ms=120_001, **seen) == "offline"


def test_a_closed_link_is_offline_at_once():
    assert seen_state("ready", last_beat_ms=100_000, now_ms=100_001, started_ms=0, linked=False) == "offline"


def test_devices_from_before_a_restart_have_thirty_seconds_to_come_back():
    seen = {"last_beat_ms": 90_000, "started_ms": 100_000, "linked": False}
    assert seen_state("ready", now_ms=130_000, **seen) == "ready"
    assert seen_state("ready", now_ms=130_001, **seen) == "offline"


def test_a_device_that_never_beat_is_offline():
    assert seen_state("ready", last_beat_ms=None, now_ms=5, started_ms=0, linked=True) == "offline"


@pytest.mark.parametrize("state", ["pending", "revoked"])
def test_what_an_admin_decided_outlives_silence(state):
    assert seen_state(state, last_beat_ms=None, now_ms=10**9, started_ms=0, linked=False) == state


def test_a_laptop_contributes_until_its_owner_says_no_or_it_is_hot():
    assert contributes(LAPTOP, Condition()).willing
    assert not contributes(LAPTOP, Condition(contributes=False)).willing
    assert not contributes(LAPTOP, Condition(thermal_headroom=0.05)).willing


def test_a_phone_contributes_only_on_its_charger_with_half_a_battery():
    assert contributes(PHONE, Condition(plugged_in=True, battery=0.8)).willing
    assert not contributes(PHONE, Condition(plugged_in=False, battery=0.8)).willing
    assert not contributes(PHONE, Condition(plugged_in=True, battery=0.3)).willing
    assert not contributes(PHONE, Condition()).willing
