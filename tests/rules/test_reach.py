"""Which devices somebody could ever have a job on: the same as asking the policy about every job there could be."""

from itertools import product

import pytest

from mesh.ids import DeviceId, MemberId
from mesh.policies.decide import DEFAULT_POLICY, Asked, Place, decide
from mesh.policies.reach import reachable
from mesh.protocol.values import Grant, Policy

GIL, BOB = MemberId("gil"), MemberId("bob")
GRANTS = [
    Grant("of members", roles=("member",)),
    Grant("by name", members=(GIL,), workloads=("ocr",), named=True),
    Grant("another's", members=(BOB,)),
    Grant("at night", roles=("guest",), sensitivities=("public",), hours=((0, 60),)),
    Grant("one device", roles=("guest",), devices=(DeviceId("one"),)),
    Grant("tagged", roles=("guest",), tags=("lab",), models=("minilm",)),
    Grant("big ones", roles=("guest",), tier_min=3),
    Grant("of admins", roles=("guest",), owner_roles=("admin",)),
    Grant("no phones", roles=("guest",), phones="never"),
    Grant("phones on the charger", roles=("guest",), phones="charging"),
    Grant("sensitive alone", roles=("guest",), sensitivities=("sensitive",)),
]
PLACES = [
    Place(DeviceId(name), MemberId(owner), role, tags, tier, phone)
    for name, owner, role, tags, tier, phone in product(
        ("one", "two"), ("gil", "bob"), ("admin", "member"), ((), ("lab",)), (1, 3), (True, False)
    )
]


def ever(policy: Policy, place: Place) -> bool:
    asked = [
        Asked(GIL, "guest", workload, model, sensitivity, minute)
        for workload, model, sensitivity, minute in product(
            ("ocr", "chat"), ("minilm", "other"), ("public", "private", "sensitive"), (30, 600)
        )
    ]
    return any(
        decide(policy, one, place._replace(named=named, charging=charging)).allowed
        for one, named, charging in product(asked, (True, False), (True, False))
    )


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.name)
def test_a_device_is_reachable_where_some_job_would_be_allowed(grant: Grant) -> None:
    policy = Policy((grant,))
    for place in PLACES:
        assert reachable(policy, GIL, "guest", place) == ever(policy, place), place


def test_by_default_guests_reach_every_device() -> None:
    assert all(reachable(DEFAULT_POLICY, GIL, "guest", place) for place in PLACES)
    assert not any(reachable(Policy(()), GIL, "guest", place) for place in PLACES if place.owner != GIL)
