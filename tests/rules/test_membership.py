import pytest

from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.networks import membership
from mesh.networks.membership import LastAdmin, NotAllowed, NotMember, change_role, require

ANN, BOB = MemberId("ann"), MemberId("bob")


def test_an_admin_does_all_that_a_member_does_and_a_member_all_that_a_guest_does():
    assert membership.GUEST <= membership.MEMBER < membership.ADMIN


def test_a_stranger_is_told_nothing_about_the_network():
    with pytest.raises(NotMember):
        require(None, "network.read")


def test_a_guest_invites_nobody_and_is_told_which_permission_was_missing():
    with pytest.raises(NotAllowed) as refused:
        require("guest", "members.invite")
    assert refused.value.facts == {"permission": "members.invite", "role": "guest"}


@pytest.mark.parametrize("role", ["member", "guest", None])
def test_the_last_admin_can_neither_leave_nor_be_demoted(role):
    with pytest.raises(LastAdmin):
        change_role({ANN: "admin", BOB: "member"}, ANN, role)


def test_one_of_two_admins_may_go():
    assert change_role({ANN: "admin", BOB: "admin"}, ANN, None) == {BOB: "admin"}


def test_a_promotion_changes_only_who_is_promoted():
    assert change_role({ANN: "admin", BOB: "guest"}, BOB, "admin") == {ANN: "admin", BOB: "admin"}


def test_nobody_can_change_a_role_that_does_not_exist():
    with pytest.raises(MeshError):
        change_role({ANN: "admin"}, BOB, "member")
