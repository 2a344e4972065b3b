"""What other weights would change: placements as they were recorded are replayed, and nothing is changed by it."""

import msgspec
import pytest

from coordinators import LAPTOP, a_coordinator
from engines import ENGINES
from mesh.protocol import link
from mesh.protocol.values import Condition

pytestmark = pytest.mark.anyio
POWER = {"seconds": 0.1, "plugged": 0.5}
HOT = Condition(plugged_in=False, battery=1.0, thermal_headroom=0.5, cpu_busy=0.5)
COOL = Condition(plugged_in=True, thermal_headroom=1.0, cpu_busy=0.0)


async def placed(bench, count=3):
    """A quick hot device and a slow cool one of Bob's, and some jobs of Ann's that went to the quick one."""
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
    asker = await bench.device(network, ann, "lumen", msgspec.structs.replace(LAPTOP, offers=()))
    offers = LAPTOP.offers[:1]
    slow = tuple(msgspec.structs.replace(one, units_per_s=one.units_per_s / 1e4) for one in offers)
    quick = await bench.device(network, bob, "studio", msgspec.structs.replace(LAPTOP, offers=offers))
    cool = await bench.device(network, bob, "attic", msgspec.structs.replace(LAPTOP, offers=slow))
    wire = await bench.linked(asker)
    for device, condition in ((quick, HOT), (cool, COOL)):
        await bench.linked(device, condition)
    for _ in range(count):
        answer = await bench.ask(wire)
        assert isinstance(answer, link.Placed) and answer.hints[0].device == quick.id
        bench.clock.forward(0.01)
    return network, ann, bob, quick, cool


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_newest_placements_are_replayed_with_other_weights(engine, request, tmp_path):
    place = request.getfixturevalue(engine)(tmp_path)
    async with a_coordinator(tmp_path, where=place.where) as bench:
        network, ann, bob, quick, cool = await placed(bench)
        path = f"/v1/networks/{network}/settings"
        before = (await bench.get(path, ann)).json()
        same = (await bench.post(f"{path}/try", {"weights": {}}, ann)).json()
        assert (same["replayed"], same["unknown"], same["moved"]) == (3, 0, [])
        assert same["weights"] == before["weights"]
        found = (await bench.post(f"{path}/try", {"weights": POWER}, ann)).json()
        assert (found["replayed"], len(found["moved"])) == (3, 3)
        for one in found["moved"]:
            assert (one["stays"]["device"], one["goes"]["device"]) == (quick.id, cool.id)
            assert one["goes"]["total"] > one["stays"]["total"] and one["then"]["device"] == quick.id
            for score in (one["then"], one["stays"], one["goes"]):
                assert sum(score["terms"].values()) == pytest.approx(score["total"])
            assert one["goes"]["terms"]["plugged"] == pytest.approx(0.5)
        jobs = [one["job"] for one in (await bench.get(f"/v1/networks/{network}/jobs", ann)).json()["jobs"]]
        assert [one["job"] for one in found["moved"]] == jobs, "newest first"
        assert (await bench.get(path, ann)).json() == before, "nothing is saved"
        assert "network.terms" not in (await bench.get(f"/v1/networks/{network}/audit", ann)).text
        for weights in ({"seconds": 0.9}, {"luck": 0.1}, {"seconds": -0.5}):
            refused = await bench.post(f"{path}/try", {"weights": weights}, ann)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "network.bad_weights"), weights
        refused = await bench.post(f"{path}/try", {"weights": POWER}, bob)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "members.not_allowed")


async def test_what_records_do_not_tell_is_counted_and_not_made_up(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, ann, *_ = await placed(bench, 2)
        path = f"/v1/networks/{network}/settings"
        blind = {"seconds": 0.6, "rtt": 0.2, "plugged": 0.0, "thermal": 0.05, "idle": 0.075, "cost": 0.075}
        assert (await bench.http.put(path, json={"weights": blind}, headers=ann.headers)).status_code == 200
        wire = next(wire for wire in bench.wires)
        assert isinstance(await bench.ask(wire), link.Placed)
        found = (await bench.post(f"{path}/try", {"weights": {"seconds": 0.1, "plugged": 0.5}}, ann)).json()
        assert (found["replayed"], found["unknown"], len(found["moved"])) == (2, 1, 2)
