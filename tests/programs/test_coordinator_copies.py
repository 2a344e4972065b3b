"""Copied and restored homes are held, both are told, and an admin decides; tagged and ephemeral devices."""

import pytest

from coordinators import NO_MODEL, a_coordinator
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate, State
from waiting import until

pytestmark = pytest.mark.anyio


async def greeted(bench, device, installation, start):
    """A link of a home's start; returns it with the Welcome."""
    wire = bench.connect()
    wire.say(bench.prove(await wire.hear_a(link.Challenge), device.id, device.seed))
    welcome = await wire.hear_a(link.Welcome)
    wire.say(link.Hello("test", installation, start=start))
    return wire, welcome


async def taken(bench, device, installation, start):
    """A start that the coordinator takes for the newest."""
    wire, welcome = await greeted(bench, device, installation, start)
    kept = bench.coordinator.parts.snapshot.device(device.id)
    await until(lambda: kept.kept.started == (installation, start))
    return wire, welcome


async def state_of(bench, network, person, device):
    listed = (await bench.get(f"/v1/networks/{network}/devices", person)).json()["devices"]
    return next((one["state"], one["held"]) for one in listed if one["device"] == device.id)


async def home(bench):
    ann = await bench.claim()
    network = await bench.network(ann)
    return ann, network, await bench.device(network, ann, "laptop"), await bench.device(network, ann, "server")


@pytest.mark.parametrize(("installation", "start"), [(4, "x"), (5, "y")], ids=["restored", "started as often"])
async def test_a_home_that_is_not_the_newest_is_held_and_everybody_else_cuts_it(tmp_path, installation, start):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, server = await home(bench)
        told = []
        bench.coordinator.admissions.join(told.append)
        other = await bench.linked(server)
        first, welcome = await taken(bench, laptop, 5, "x")
        assert welcome.certificate
        second, _ = await greeted(bench, laptop, installation, start)
        assert (await first.hear_a(link.Problem)).error["code"] == "link.replaced"
        problem = (await second.hear_a(link.Problem)).error
        assert problem["code"] == "device.copied"
        assert "mesh device approve" in problem["message"] and "mesh device join" in problem["message"]
        state = signed.peek((await other.hear_a(link.StateUpdate)).state, State)
        assert state.revoked == (laptop.key,), "live sessions with it are cut"
        assert [(one.key, one.networks) for one in told[-1].admissions] == [(laptop.key, ())], "and the relay's"
        assert await state_of(bench, network, ann, laptop) == ("pending", "copied")
        assert (await bench.ask(second)).error["code"] == "device.pending"
        first, welcome = await greeted(bench, laptop, 5, "x")
        assert (welcome.device_state, welcome.certificate) == ("pending", None)
        assert (await first.hear_a(link.Problem)).error["code"] == "device.copied", "the other one hears it too"
    async with a_coordinator(tmp_path, bench.clock) as bench:
        assert bench.coordinator.parts.snapshot.device(laptop.id).kept.held == "copied"


async def test_an_admin_lets_one_of_the_copies_in_and_the_other_is_noticed_again(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, server = await home(bench)
        other = await bench.linked(server)
        await taken(bench, laptop, 5, "x")
        wire, _ = await greeted(bench, laptop, 4, "y")
        await wire.hear_a(link.Problem)
        await other.hear_a(link.StateUpdate)
        answer = await bench.post(f"/v1/networks/{network}/devices/{laptop.id}/approve", {}, ann)
        assert answer.status_code == 200
        assert (await wire.hear_a(link.CertificateUpdate)).certificate
        state = signed.peek((await other.hear_a(link.StateUpdate)).state, State)
        assert state.revoked == ()
        wire, welcome = await taken(bench, laptop, 5, "z")
        assert welcome.certificate
        assert (await state_of(bench, network, ann, laptop))[1] is None
        wire, _ = await greeted(bench, laptop, 4, "y")
        assert (await wire.hear_a(link.Problem)).error["code"] == "device.copied"


async def test_restarts_and_reconnections_of_one_home_are_no_copies(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann, network, laptop, _ = await home(bench)
        for installation, start in ((1, "a"), (1, "a"), (2, "b"), (9, "c"), (9, "c")):
            await taken(bench, laptop, installation, start)
            assert (await state_of(bench, network, ann, laptop))[1] is None
    async with a_coordinator(tmp_path, bench.clock) as bench:
        wire, welcome = await taken(bench, laptop, 9, "c")
        assert welcome.certificate
        wire, _ = await greeted(bench, laptop, 8, "c")
        assert (await wire.hear_a(link.Problem)).error["code"] == "device.copied", "the count outlives the coordinator"


async def test_tags_of_a_link_are_its_devices_and_in_their_certificates(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann, tags=["gpu", "attic", "gpu"], uses=2)
        device = await bench.join(invite, "box")
        certificate = signed.verify(device.answer["certificate"], Certificate, device.answer["network_key"], network)
        assert certificate.tags == ("attic", "gpu")
        listed = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert listed[0]["tags"] == ["attic", "gpu"] and not listed[0]["ephemeral"]
        tokens = (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
        assert tokens[0]["tags"] == ["attic", "gpu"]
        for bad in (["a b"], ["[red]"], ["x" * 64], [f"t{number}" for number in range(9)]):
            answer = await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "device", "tags": bad}, ann)
            assert answer.json()["error"]["code"] == "token.bad_tag"


async def test_an_ephemeral_device_goes_by_itself_and_others_stay(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        guest = await bench.join(await bench.invite(network, ann, ephemeral=True), "runner", NO_MODEL)
        never = await bench.join(await bench.invite(network, ann, ephemeral=True), "never")
        stays = await bench.device(network, ann, "laptop")
        wire = await bench.linked(guest)
        bench.clock.forward(29 * 60)
        await bench.beat(wire)
        await bench.coordinator.upkeep.once()
        assert len((await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]) == 3
        bench.clock.forward(2 * 60)
        await bench.coordinator.upkeep.once()
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert [one["device"] for one in devices] == [guest.id, stays.id], f"{never.id} never came"
        bench.clock.forward(3600)
        await bench.coordinator.upkeep.once()
        assert bench.coordinator.parts.snapshot.device(guest.id) is not None, "linked devices stay"
        wire.hang_up()
        await until(lambda: bench.coordinator.live.of(guest.id) is None)
        bench.clock.forward(31 * 60)
        await bench.coordinator.upkeep.once()
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert [one["device"] for one in devices] == [stays.id]
