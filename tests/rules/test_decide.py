import itertools

import pytest

from mesh.ids import DeviceId, MemberId
from mesh.policies.decide import DEFAULT_POLICY, Asked, Place, isolated
from mesh.policies.decide import decide as decide_by

ANN, BOB = MemberId("ann"), MemberId("bob")
ROLES = ("admin", "member", "guest")


def asker(member, role):
    return member, role


def target(owner, owner_role, phone):
    return owner, owner_role, phone


def decide(who, where, sensitivity, *, pinned=False):
    """By the default policy."""
    asked = Asked(*who, "embeddings", "small", sensitivity)
    owner, owner_role, phone = where
    return decide_by(DEFAULT_POLICY, asked, Place(DeviceId("box"), owner, owner_role, phone=phone, named=pinned))


def test_every_decision_has_a_reason():
    for role, owner_role, owner, phone, sensitivity in itertools.product(
        ROLES, ROLES, (ANN, BOB), (False, True), ("public", "private", "sensitive")
    ):
        decision = decide(asker(ANN, role), target(owner, owner_role, phone), sensitivity)
        assert decision.reason and decision.rule


def test_sensitive_data_goes_to_no_phone_but_ones_own_named_one():
    for role, owner, pinned in itertools.product(ROLES, (ANN, BOB), (False, True)):
        allowed = decide(asker(ANN, role), target(owner, "admin", True), "sensitive", pinned=pinned).allowed
        assert allowed == (owner == ANN and pinned)


def test_sensitive_data_goes_to_ones_own_and_to_admins_devices_only():
    assert decide(asker(ANN, "member"), target(ANN, "member", False), "sensitive").allowed
    assert decide(asker(ANN, "admin"), target(BOB, "admin", False), "sensitive").allowed
    assert decide(asker(ANN, "member"), target(BOB, "admin", False), "sensitive", pinned=True).allowed
    assert not decide(asker(ANN, "member"), target(BOB, "admin", False), "sensitive").allowed
    assert not decide(asker(ANN, "guest"), target(BOB, "admin", False), "sensitive", pinned=True).allowed
    assert not decide(asker(ANN, "member"), target(BOB, "member", False), "sensitive").allowed
    assert not decide(asker(ANN, "admin"), target(BOB, "member", False), "sensitive").allowed


@pytest.mark.parametrize("sensitivity", ["private", "sensitive"])
def test_a_guest_sends_only_public_data_to_others(sensitivity):
    assert not decide(asker(ANN, "guest"), target(BOB, "admin", False), sensitivity).allowed
    assert decide(asker(ANN, "guest"), target(BOB, "member", False), "public").allowed


def test_members_and_admins_run_private_jobs_on_each_others_devices():
    for role, owner_role, phone in itertools.product(("member", "admin"), ("member", "admin"), (False, True)):
        assert decide(asker(ANN, role), target(BOB, owner_role, phone), "private").allowed


def test_a_guests_device_gets_public_data_only():
    for role in ("member", "admin"):
        assert not decide(asker(ANN, role), target(BOB, "guest", False), "private").allowed
        assert decide(asker(ANN, role), target(BOB, "guest", False), "public").allowed


def test_sensitive_data_of_others_needs_the_strict_level():
    for isolation in ("none", "limited", "strict"):
        assert isolated(isolation, "sensitive", own=True).allowed
        assert isolated(isolation, "private", own=False).allowed
        assert isolated(isolation, "sensitive", own=False).allowed == (isolation == "strict")
