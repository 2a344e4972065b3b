"""The code of a machine that asks to come in: what it binds, how it is typed, when it ends."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import DeviceKey
from mesh.networks import codes
from mesh.networks import pairing as rules
from mesh.networks.pairing import (
    BadCode,
    Pairing,
    PairingClosed,
    PairingExpired,
    PairingRefused,
    PairingUsed,
    PairingWithdrawn,
    Sides,
    TooManyWait,
    TooManyWrong,
)

KEY, OTHER = DeviceKey("11" * 32), DeviceKey("22" * 32)
SIDES = Sides(KEY, OTHER, "33" * 32, "attic", "44" * 32)
SAID = {"handle": "KXPT", "coordinator_nonce": "55" * 32, "nonce": "66" * 32}
WAITING = Pairing(
    id="id",
    handle="KXPT",
    key=KEY,
    name="attic",
    machine="linux",
    address="192.0.2.9",
    secret_hash="44" * 32,
    commitment="77" * 32,
    coordinator_nonce="55" * 32,
    created_ms=1000,
    expires_ms=601_000,
)


def test_both_sides_compute_the_same_half_from_the_same_facts():
    assert rules.check(SIDES, **SAID) == rules.check(msgspec.structs.replace(SIDES), **SAID)


@pytest.mark.parametrize("fact", Sides.__struct_fields__)
def test_another_key_certificate_name_or_secret_is_another_code(fact):
    assert rules.check(msgspec.structs.replace(SIDES, **{fact: "88" * 32}), **SAID) != rules.check(SIDES, **SAID)


@pytest.mark.parametrize("said", SAID)
def test_another_handle_or_random_number_is_another_code(said):
    assert rules.check(SIDES, **{**SAID, said: "99" * 32}) != rules.check(SIDES, **SAID)


def test_a_machine_commits_to_its_number_with_its_key():
    assert codes.commitment(KEY, "66" * 32) != codes.commitment(KEY, "67" * 32)
    assert codes.commitment(KEY, "66" * 32) != codes.commitment(OTHER, "66" * 32)


@given(st.binary(min_size=5, max_size=5))
def test_a_code_is_read_however_it_is_typed(randomness):
    code = codes.symbols(randomness, 8)
    shown = rules.shown_code(code[:4], code[4:])
    assert rules.parse_code(shown) == (code[:4], code[4:])
    sloppy = shown.lower().replace("0", "o").replace("1", "l").replace("-", " ")
    assert rules.parse_code(f"  {sloppy}\t") == (code[:4], code[4:])
    assert not set("ILOU") & set(code), "letters that are taken for others are in no code"


@pytest.mark.parametrize("text", ["", "KXPT", "KXPT-9R4", "KXPT-9R4MM", "KXPT-9R4U", "KXPT-9R4é", "K" * 4096])
def test_what_is_no_code_is_refused(text):
    with pytest.raises(BadCode):
        rules.parse_code(text)


def test_a_code_works_for_ten_minutes_to_the_millisecond():
    assert codes.ended(WAITING, 600_999) is None
    assert isinstance(codes.ended(WAITING, 601_000), PairingExpired)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("confirmed", PairingUsed),
        ("refused", PairingRefused),
        ("closed", PairingClosed),
        ("withdrawn", PairingWithdrawn),
    ],
)
def test_what_became_of_it_is_told_for_good(outcome, error):
    for now_ms in (2000, 700_000):
        assert isinstance(codes.ended(msgspec.structs.replace(WAITING, outcome=outcome), now_ms), error)


def test_the_fifth_wrong_half_closes_a_machines_code():
    pairing = WAITING
    for _ in range(4):
        pairing = codes.wrongly_typed(pairing)
        assert pairing.outcome is None
    assert codes.wrongly_typed(pairing).outcome == "closed"


def test_a_member_has_five_tries_in_ten_minutes():
    tries = (0, 1, 2, 3)
    assert codes.may_try(tries, 4, Pairing.REFUSALS) == tries
    with pytest.raises(TooManyWrong):
        codes.may_try((*tries, 4), 599_999, Pairing.REFUSALS)
    assert codes.may_try((*tries, 4), 600_001, Pairing.REFUSALS) == (2, 3, 4)


def test_so_many_machines_wait_at_most():
    far = [f"10.0.{number // 250}.{number % 250}" for number in range(255)]
    codes.may_wait(far, "1.1.1.1", Pairing.REFUSALS)
    with pytest.raises(TooManyWait):
        codes.may_wait([*far, None], "1.1.1.1", Pairing.REFUSALS)


@pytest.mark.parametrize(
    ("others", "mine"),
    [("1.1.1.1", "1.1.1.1"), ("1.1.1.1", "::ffff:1.1.1.1"), ("2a00:1::1", "2a00:1::2"), ("127.0.0.1", "127.0.0.1")],
)
def test_one_address_or_household_keeps_nobody_else_out(others, mine):
    codes.may_wait([others] * 7, mine, Pairing.REFUSALS)
    with pytest.raises(TooManyWait):
        codes.may_wait([others] * 8, mine, Pairing.REFUSALS)
    codes.may_wait([others] * 8, "8.8.8.8", Pairing.REFUSALS)
    codes.may_wait([others] * 8, None, Pairing.REFUSALS)


@pytest.mark.parametrize(
    ("machine", "person", "elsewhere"),
    [
        ("1.1.1.1", "1.1.1.1", False),
        ("1.1.1.1", "1.1.1.2", True),
        ("::ffff:1.1.1.1", "1.1.1.1", False),
        ("2a00:1::1", "2a00:1::ffff", False),
        ("2a00:1::1", "2a00:1:0:1::1", True),
        ("192.168.1.2", "10.0.0.7", False),
        ("127.0.0.1", "192.168.1.2", False),
        ("192.168.1.2", "1.1.1.1", True),
        (None, "1.1.1.1", True),
        ("1.1.1.1", None, True),
        ("nonsense", "1.1.1.1", True),
    ],
)
def test_elsewhere_is_another_public_address_or_one_that_cannot_be_told(machine, person, elsewhere):
    assert codes.is_elsewhere(machine, person) is elsewhere


def test_a_fingerprint_can_be_read_aloud_and_differs():
    assert len(rules.fingerprint(KEY)) == 24 and rules.fingerprint(KEY) != rules.fingerprint(OTHER)
