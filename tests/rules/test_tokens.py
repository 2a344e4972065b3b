import msgspec
import pytest

from mesh.ids import DeviceKey, MemberId, NetworkId, TokenId
from mesh.networks.tokens import (
    JoinToken,
    TermsRefused,
    TokenExpired,
    TokenRevoked,
    TokenUnknown,
    TokenUsed,
    TokenWrongPurpose,
    WrongNetwork,
    check_network,
    check_terms,
    comes_in_approved,
    redeem,
)

INVITE = JoinToken(
    id=TokenId("t"), purpose="device", expires_ms=1000, uses_max=2, network=NetworkId("n"), maker=MemberId("ann")
)


def test_each_use_is_counted_and_nothing_else_changes():
    assert redeem(INVITE, purpose="device", now_ms=999) == msgspec.structs.replace(INVITE, uses=1)


def test_the_last_use_is_the_last():
    token = redeem(redeem(INVITE, purpose="device", now_ms=0), purpose="device", now_ms=0)
    with pytest.raises(TokenUsed):
        redeem(token, purpose="device", now_ms=0)


def test_a_token_ends_at_the_very_millisecond_it_names():
    with pytest.raises(TokenExpired):
        redeem(INVITE, purpose="device", now_ms=1000)


def test_a_withdrawn_token_says_so_even_when_it_is_also_expired():
    with pytest.raises(TokenRevoked):
        redeem(msgspec.structs.replace(INVITE, revoked=True), purpose="device", now_ms=5000)


def test_an_unknown_secret_finds_no_token():
    with pytest.raises(TokenUnknown):
        redeem(None, purpose="device", now_ms=0)


def test_a_device_link_signs_nobody_in():
    with pytest.raises(TokenWrongPurpose):
        redeem(INVITE, purpose="member", now_ms=0)


@pytest.mark.parametrize(
    ("uses", "life_s"), [(0, 60), (-1, 60), (10_001, 60), (1, 0), (1, 91 * 86400), (1, float("nan"))]
)
def test_terms_outside_the_limits_are_refused(uses, life_s):
    with pytest.raises(TermsRefused):
        check_terms(uses=uses, life_s=life_s)


def test_every_refusal_has_its_own_code_and_a_next_step():
    errors = [TokenUnknown, TokenExpired, TokenUsed, TokenRevoked, TokenWrongPurpose, TermsRefused]
    assert len({error.code for error in errors}) == len(errors)
    assert all(len(str(error()).split(". ")) >= 2 for error in errors)


def test_a_link_leads_into_the_network_whose_key_it_names():
    one, other = DeviceKey("a" * 64), DeviceKey("b" * 64)
    check_network(pinned=one, key=one)
    check_network(pinned=None, key=one)
    with pytest.raises(WrongNetwork):
        check_network(pinned=one, key=other)


@pytest.mark.parametrize(
    ("maker", "waits_by_link", "network_asks", "approved"),
    [
        ("member", False, False, True),
        ("member", False, True, False),
        ("guest", False, True, False),
        (None, False, True, False),
        ("admin", False, True, True),
        ("admin", True, True, False),
        ("admin", True, False, False),
        ("member", True, False, False),
    ],
)
def test_an_admins_link_is_the_approval_that_a_network_asks_for(maker, waits_by_link, network_asks, approved):
    token = msgspec.structs.replace(INVITE, approved=not waits_by_link)
    assert comes_in_approved(token, maker=maker, network_asks=network_asks) is approved
