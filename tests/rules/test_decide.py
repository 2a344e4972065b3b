import itertools

import pytest

from mesh.ids import MemberId
from mesh.policies.decide import Asker, Target, decide, isolated

ANN, BOB = MemberId("ann"), MemberId("bob")
ROLES = ("admin", "member", "guest")


def test_every_decision_has_a_reason():
    for role, owner_role, owner, phone, sensitivity in itertools.product(
        ROLES, ROLES, (ANN, BOB), (False, True), ("public", "private", "sensitive")
    ):
        decision = decide(Asker(ANN, role), Target(owner, owner_role, phone), sensitivity)
        assert decision.reason and decision.rule


def test_sensitive_data_goes_to_no_phone_but_ones_own_named_one():
    for role, owner, pinned in itertools.product(ROLES, (ANN, BOB), (False, True)):
        allowed = decide(Asker(ANN, role), Target(owner, "admin", True), "sensitive", pinned=pinned).allowed
        assert allowed == (owner == ANN and pinned)


def test_sensitive_data_goes_to_ones_own_and_to_admins_devices_only():
    assert decide(Asker(ANN, "member"), Target(ANN, "member", False), "sensitive").allowed
    assert decide(Asker(ANN, "admin"), Target(BOB, "admin", False), "sensitive").allowed
    assert decide(Asker(ANN, "member"), Target(BOB, "admin", False), "sensitive", pinned=True).allowed
    assert not decide(Asker(ANN, "member"), Target(BOB, "admin", False), "sensitive").allowed
    assert not decide(Asker(ANN, "guest"), Target(BOB, "admin", False), "sensitive", pinned=True).allowed
    assert not decide(Asker(ANN, "member"), Target(BOB, "member", False), "sensitive").allowed
    assert not decide(Asker(ANN, "admin"), Target(BOB, "member", False), "sensitive").allowed


@pytest.mark.parametrize("sensitivity", ["private", "sensitive"])
def test_a_guest_sends_only_public_data_to_others(sensitivity):
    assert not decide(Asker(ANN, "guest"), Target(BOB, "admin", False), sensitivity).allowed
    assert decide(Asker(ANN, "guest"), Target(BOB, "member", False), "public").allowed


def test_members_and_admins_run_private_jobs_on_each_others_devices():
    for role, owner_role, phone in itertools.product(("member", "admin"), ("member", "admin"), (False, True)):
        assert decide(Asker(ANN, role), Target(BOB, owner_role, phone), "private").allowed


def test_a_guests_device_gets_public_data_only():
    for role in ("member", "admin"):
        assert not decide(Asker(ANN, role), Target(BOB, "guest", False), "private").allowed
        assert decide(Asker(ANN, role), Target(BOB, "guest", False), "public").allowed


def test_sensitive_data_of_others_needs_the_strict_level():
    for isolation in ("none", "limited", "strict"):
        assert isolated(isolation, "sensitive", own=True).allowed
        assert isolated(isolation, "private", own=False).allowed
        assert isolated(isolation, "sensitive", own=False).allowed == (isolation == "strict")
