"""What a guest's device is told of its network over the link: whom the policy in force gives it to do with."""

from typing import NamedTuple

import msgspec
import pytest

from agents import Device, a_town, until
from coordinators import LAPTOP, NO_MODEL, Bench, Joined, Person, Wire, a_coordinator
from mesh.errors import MeshError
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate
from mesh.protocol.values import Condition
from mesh.sdk import calls
from programs.test_coordinator_pages import Looking

pytestmark = pytest.mark.anyio

ALL = "grants: [{name: everybody, sensitivity: public}]"
MEMBERS = "{name: members, role: [admin, member], owner_role: [admin, member]}"
OPEN_ONES = f"grants: [{MEMBERS}, {{name: guests on open ones, role: guest, tag: open, sensitivity: public}}]"
NOTHING = f"grants: [{MEMBERS}]"
GUESTS_WORK = f"grants: [{MEMBERS}, {{name: guests' devices work, role: member, owner_role: guest}}]"


class Place(NamedTuple):
    """Ann's and Bob's devices, of which Bob's is tagged open, and those of the guests Gil and Hal; Gil's is linked."""

    bench: Bench
    network: str
    ann: Person
    bob: Person
    gil: Person
    box: Joined
    server: Joined
    tablet: Joined
    phone: Joined
    wire: Wire

    async def policy(self, text: str, base: int) -> None:
        body = {"text": text, "base_version": base}
        answer = await self.bench.http.put(f"/v1/networks/{self.network}/policy", json=body, headers=self.ann.headers)
        assert answer.status_code == 200, answer.text

    async def role(self, person: Person, role: str) -> None:
        path = f"/v1/networks/{self.network}/members/{person.member}"
        answer = await self.bench.http.put(path, json={"role": role}, headers=self.ann.headers)
        assert answer.status_code == 200, answer.text

    async def told(self, wire: Wire | None = None) -> tuple[set[str], set[str]]:
        """Who came and who went by all that was said until now: a beat's answer comes after everything before it."""
        wire = wire or self.wire
        wire.say(link.Beat(1, Condition()))
        came, went = set[str](), set[str]()
        while not isinstance(message := await wire.hear(), link.BeatAnswer):
            assert message is not None
            if isinstance(message, link.Peers):
                news = known(message)
                came, went = (came - set(message.gone)) | news, (went - news) | set(message.gone)
        return came, went

    async def anew(self, device: Joined) -> set[str]:
        """What a device is told when it connects."""
        wire = self.bench.connect()
        wire.say(self.bench.prove(await wire.hear_a(link.Challenge), device.id, device.seed))
        peers = await wire.hear_a(link.Peers)
        assert peers.full
        return known(peers)


def known(peers: link.Peers) -> set[str]:
    return {signed.peek(one.certificate, Certificate).device for one in peers.certificates}


def policy_of(device: Device) -> int:
    state = device.agent.parts.membership.state
    return 0 if state is None else state.policy_version


async def a_place(bench: Bench) -> Place:
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
    gil = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Gil")
    hal = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Hal")
    box = await bench.device(network, ann, "box")
    server = await bench.join(await bench.invite(network, bob, tags=["open"]), "server")
    tablet, phone = await bench.device(network, gil, "tablet", NO_MODEL), await bench.device(network, hal, "phone")
    place = Place(bench, network, ann, bob, gil, box, server, tablet, phone, await bench.linked(tablet))
    await place.told()
    return place


async def test_a_policy_that_is_saved_takes_devices_out_of_a_guests_sight_and_brings_them_back(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        box, server, tablet, phone = (one.id for one in (place.box, place.server, place.tablet, place.phone))
        member = await bench.linked(place.server)
        await place.told(member)
        assert await place.anew(place.phone) == {box, server, tablet, phone}
        await place.policy(OPEN_ONES, 0)
        assert await place.told() == (set(), {box, phone})
        assert await place.told(member) == (set(), set())
        assert await place.anew(place.phone) == {server, phone}
        assert await place.anew(place.box) == {box, server, tablet, phone}
        shown = (await bench.get(f"/v1/networks/{place.network}/devices", place.gil)).json()["devices"]
        assert {one["device"] for one in shown} == {server, tablet}
        await place.policy(NOTHING, 1)
        assert await place.told() == (set(), {server})
        await place.policy(ALL, 2)
        assert await place.told() == ({box, server, phone}, set())


async def test_a_guests_open_page_looks_again_when_the_policy_or_their_role_changes(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        token = place.gil.headers["authorization"].removeprefix("Bearer ")
        page = Looking(bench, place.network, {"cookie": f"mesh={token}", "origin": "http://mesh.test"})
        for kind in ("websocket.accept", "websocket.send"):
            assert (await page.next())["type"] == kind
        await place.policy(OPEN_ONES, 0)
        await page.until("devices")
        await place.role(place.gil, "member")
        await page.until("devices")
        await page.said.put({"type": "websocket.disconnect"})


async def test_who_joins_is_renewed_or_goes_out_of_a_guests_sight_is_not_told_of(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        await place.policy(OPEN_ONES, 0)
        await place.told()
        hidden = await bench.device(place.network, place.bob, "hidden")
        assert await place.told() == (set(), set())
        opened = await bench.join(await bench.invite(place.network, place.bob, tags=["open"]), "opened")
        own = await bench.device(place.network, place.gil, "second")
        assert await place.told() == ({opened.id, own.id}, set())
        for device in (hidden, opened):
            await bench.delete(f"/v1/networks/{place.network}/devices/{device.id}", place.ann)
        assert await place.told() == (set(), {opened.id})
        await place.policy(ALL, 1)
        assert hidden.id not in (await place.told())[0]


async def test_another_role_changes_what_a_device_is_told_at_once(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        box, tablet, phone = (one.id for one in (place.box, place.tablet, place.phone))
        await place.policy(OPEN_ONES, 0)
        await place.told()
        await place.role(place.gil, "member")
        assert await place.told() == ({box, phone}, set())
        member = await bench.linked(place.server)
        await place.told(member)
        await place.role(place.gil, "guest")
        assert await place.told() == (set(), {box, phone})
        await place.role(place.bob, "guest")
        came, went = await place.told(member)
        assert (came - {tablet}, went) == (set(), {box})  # the other guests may use it


async def test_the_owners_role_counts_where_a_grant_names_it(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        await place.policy("grants: [{name: of admins, role: guest, owner_role: admin, sensitivity: public}]", 0)
        assert await place.told() == (set(), {place.server.id, place.phone.id})
        await place.role(place.bob, "admin")
        assert await place.told() == ({place.server.id}, set())


async def test_whoever_may_ask_a_guests_device_is_known_to_it(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        await place.policy(GUESTS_WORK, 0)
        assert await place.told() == (set(), {place.box.id, place.phone.id})  # Ann is an admin
        assert await place.anew(place.phone) == {place.server.id, place.phone.id}


async def test_another_tier_of_hardware_brings_a_device_into_sight(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        place = await a_place(bench)
        await place.policy("grants: [{name: big ones, role: guest, tier: 4, sensitivity: public}]", 0)
        assert await place.told() == (set(), {place.box.id, place.server.id, place.phone.id})
        box = await bench.linked(place.box)
        box.say(link.Hello("test", 1, msgspec.structs.replace(LAPTOP, tier=4)))
        assert known(await place.wire.hear_a(link.Peers)) == {place.box.id}


async def test_a_guests_agent_forgets_whom_the_policy_hides_and_runs_there_no_more(tmp_path):
    async with a_town(tmp_path) as (town, ann, _ben):
        gil = await town.person("Gil", await ann.link("member", role="guest"))
        asker, worker = await gil.device("gil-box", work=False), await ann.device("ann-box")
        assert (await asker.run("public words", sensitivity="public")).device == worker.id
        await ann.do(calls.save_policy(town.network, NOTHING, 0))
        membership = asker.agent.parts.membership
        await until(lambda: [peer.certificate.device for peer in membership.peers] == [asker.id])
        assert not membership.known(worker.key)
        assert {peer.certificate.device for peer in worker.agent.parts.membership.peers} == {asker.id, worker.id}
        with pytest.raises(MeshError) as error:
            await asker.run("nowhere now", sensitivity="public", limit_s=60.0)
        assert error.value.wire_code == "placement.nowhere"
        await ann.do(calls.save_policy(town.network, ALL, 1))
        await until(lambda: membership.known(worker.key) and all(policy_of(one) == 2 for one in (asker, worker)))
        assert (await asker.run("here again", sensitivity="public")).device == worker.id
