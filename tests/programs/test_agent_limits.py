"""A device that asks for more than its day allows: refused, and for an admin to look at, once a day."""

import pytest

from agents import a_town
from mesh.errors import MeshError
from mesh.protocol.values import Routing
from mesh.sdk import credit, review

pytestmark = pytest.mark.anyio


async def test_a_reached_limit_waits_for_an_admins_eye_until_it_is_cleared(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        box, desk = await ann.device("box"), await ben.device("desk", work=False)
        there = Routing("device", device=box.id)
        await desk.run("one", routing=there)
        assert (await ann.do(review.listing(town.network))).items == ()
        await ann.do(credit.set_terms(town.network, ben.member, {"day_limit": 1}))
        for _ in range(2):
            with pytest.raises(MeshError):
                await desk.run("two", routing=there, limit_s=5.0)
        (item,) = (await ann.do(review.listing(town.network))).items
        assert (item.kind, item.device, item.owner) == ("mark", desk.id, ben.member)
        assert (item.facts["kind"], item.facts["times"], item.acts) == ("limit", 1, ("clear",))
        await ann.do(review.decide(town.network, item.item, "clear"))
        assert (await ann.do(review.listing(town.network))).items == ()
        await ann.do(credit.set_terms(town.network, ben.member, {"day_limit": None}))
        await desk.run("three", routing=there)  # such a mark keeps nobody from anything
