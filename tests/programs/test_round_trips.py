"""How far devices are from each other: told by one of the two, and shown to whom the two are, and to admins."""

import math

import pytest

from coordinators import a_coordinator, a_job, an_id
from mesh.cli.device import round_trip
from mesh.protocol import link
from mesh.sdk.answers import Device
from mesh.sdk.round_trips import RoundTrip
from programs.test_guests_peers import OPEN_ONES, a_place

pytestmark = pytest.mark.anyio


async def seen_by(place, person):
    """(device, other) → round trip, by both answers that tell it; they tell the same."""
    told = []
    for noun in ("devices", "picture"):
        shown = (await place.bench.get(f"/v1/networks/{place.network}/{noun}", person)).json()["devices"]
        told.append({(one["device"], trip["device"]): trip["rtt_ms"] for one in shown for trip in one["round_trips"]})
    assert told[0] == told[1]
    return told[0]


async def test_a_round_trip_that_was_told_is_shown_to_the_owners_of_both_ends_and_to_admins(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        cat = await bench.sign_in(await bench.invite(place.network, place.ann, "member"), "Cat")
        box, server, tablet, phone = (one.id for one in (place.box, place.server, place.tablet, place.phone))
        elsewhere = await bench.device(await bench.network(place.ann, "other"), place.ann, "elsewhere")
        assert await seen_by(place, place.ann) == {}
        asking, serving = await bench.linked(place.box), await bench.linked(place.server)
        strange = [(box, 1.0), (elsewhere.id, 1.0), (an_id(), 1.0), (phone, -1.0), (phone, math.nan), (phone, 1e9)]
        told = [(server, 12.34567), (tablet, 3.0), *strange, (phone, None)]
        await bench.ask(asking, paths=tuple(link.PathSeen(*one) for one in told))
        to_server = {(box, server): 12.346, (server, box): 12.346}
        to_tablet = {(box, tablet): 3.0, (tablet, box): 3.0}
        assert await seen_by(place, place.ann) == to_server | to_tablet
        assert await seen_by(place, place.bob) == to_server
        assert await seen_by(place, place.gil) == to_tablet
        assert await seen_by(place, cat) == {}
        await place.policy(OPEN_ONES, 0)
        assert await seen_by(place, place.gil) == {}, "a guest does not see what is out of sight, by no way round"
        serving.say(link.EstimateRequest(an_id(), a_job(), (link.PathSeen(box, 8.0),)))
        await serving.hear_a(link.Estimated)
        assert await seen_by(place, place.bob) == {(box, server): 8.0, (server, box): 8.0}, "the newest counts"
        await bench.delete(f"/v1/networks/{place.network}/devices/{box}", place.ann)
        assert await seen_by(place, place.ann) == {}


async def test_of_many_round_trips_the_newest_are_kept(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        many = [(await bench.device(place.network, place.ann, f"many-{number}")).id for number in range(20)]
        asking = await bench.linked(place.box)
        for at, device in enumerate(many):
            bench.clock.forward(1)
            await bench.ask(asking, paths=(link.PathSeen(device, float(at)),))
        shown = (await bench.get(f"/v1/networks/{place.network}/devices", place.ann)).json()["devices"]
        (box,) = (one for one in shown if one["device"] == place.box.id)
        assert [one["device"] for one in box["round_trips"]] == many[:3:-1]


def test_the_list_says_how_far_each_device_is_from_this_one_or_from_the_nearest():
    names = {"A": "atlas", "S": "studio"}
    trips = (RoundTrip("S", 2.84, 1), RoundTrip("A", 48.0, 1), RoundTrip("X", 90.0, 1))
    device = Device("D", "lumen", "M", "ready", round_trips=trips)
    assert round_trip(device, names, "A") == "48.0 ms to atlas"
    assert round_trip(device, names, "X") == "90.0 ms to X", "what the list does not name"
    assert round_trip(device, names, None) == round_trip(device, names, "Z") == "2.8 ms to studio"
    assert round_trip(Device("D", "lumen", "M", "ready"), names, "A") == ""
