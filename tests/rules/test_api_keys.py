"""API keys never may more than their maker, when they are made and whenever they are used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.networks import api_keys
from mesh.networks.api_keys import NEVER, READ, ApiKey, BadScope, BadTerms, allowed, granted, works
from mesh.networks.membership import PERMISSIONS, NotAllowed

ROLES = st.sampled_from(sorted(PERMISSIONS))
WORDS = st.sampled_from([*sorted(PERMISSIONS["admin"]), "read", "write", "", "jobs.*"])


@given(ROLES, ROLES, st.lists(WORDS, max_size=8))
def test_a_key_may_what_its_maker_may_at_mint_and_at_use(made_as, used_as, asked):
    try:
        scopes = granted(made_as, asked)
    except (BadScope, BadTerms, NotAllowed):
        return
    assert set(scopes) <= PERMISSIONS[made_as] - NEVER
    may = allowed(used_as, scopes)
    assert may <= PERMISSIONS[made_as] & PERMISSIONS[used_as] & set(scopes)
    assert not may & NEVER
    assert set(scopes) <= set(asked) | (READ if "read" in asked else set())


@pytest.mark.parametrize(
    ("role", "asked", "refusal"),
    [
        ("member", [], BadTerms),
        ("member", ["jobs.everything"], BadScope),
        ("member", ["keys.own"], BadScope),
        ("admin", ["keys.revoke_any"], BadScope),
        ("member", ["devices.approve"], NotAllowed),
        ("guest", ["ledger.read_all"], NotAllowed),
        ("member", ["read", "members.change"], NotAllowed),
    ],
)
def test_what_no_key_is_made_for(role, asked, refusal):
    with pytest.raises(refusal):
        granted(role, asked)


def test_read_is_what_the_role_may_read():
    assert set(granted("member", ["read"])) == READ & PERMISSIONS["member"]
    assert set(granted("admin", ["read"])) == READ
    assert all(permission.partition(".")[2].startswith("read") for permission in READ)


def test_a_key_ends_at_its_time_or_when_revoked():
    key = ApiKey("k", "n", "m", "ci", ("jobs.run",), created_ms=0, expires_ms=1000)
    assert works(key, 999) and not works(key, 1000)
    assert not works(ApiKey("k", "n", "m", "ci", ("jobs.run",), 0, 1000, revoked_ms=5), 6)
    assert api_keys.LIFE_S_DEFAULT <= api_keys.LIFE_S_MAX
