"""Roles and leaving: what a person loses, and that there is always an admin."""

import pytest

from coordinators import NO_MODEL, Person, a_coordinator
from mesh.protocol import link, signed
from mesh.protocol.papers import State

pytestmark = pytest.mark.anyio


async def put(bench, path, body, person: Person):
    return await bench.http.put(path, json=body, headers=person.headers)


def code(answer):
    return answer.json()["error"]["code"]


async def test_the_last_admin_stays_until_there_is_another(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        path = f"/v1/networks/{network}/members"
        assert code(await put(bench, f"{path}/{ann.member}", {"role": "member"}, ann)) == "members.last_admin"
        assert code(await bench.delete(f"{path}/{ann.member}", ann)) == "members.last_admin"
        assert code(await put(bench, f"{path}/{bob.member}", {"role": "admin"}, bob)) == "members.not_allowed"
        assert code(await bench.delete(f"{path}/{ann.member}", bob)) == "members.not_allowed"
        assert code(await put(bench, f"{path}/{bob.member}", {"role": "boss"}, ann)) == "request.invalid"
        assert (await put(bench, f"{path}/{bob.member}", {"role": "admin"}, ann)).status_code == 200
        assert (await bench.delete(f"{path}/{ann.member}", ann)).status_code == 200
        people = (await bench.get(path, bob)).json()["members"]
        assert [(person["name"], person["role"]) for person in people] == [("Bob", "admin")]
        assert code(await bench.get(path, ann)) == "members.not_member"


async def test_who_goes_takes_their_devices_and_links_along(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        laptop = await bench.device(network, ann, "laptop", NO_MODEL)
        server = await bench.device(network, bob, "server")
        unused = await bench.invite(network, bob)
        staying, leaving = await bench.linked(laptop), await bench.linked(server)
        assert (await bench.delete(f"/v1/networks/{network}/members/{bob.member}", ann)).status_code == 200
        assert (await leaving.hear_a(link.Removed)).code == "device.removed"
        state = signed.peek((await staying.hear_a(link.StateUpdate)).state, State)
        assert state.revoked == (server.key,)
        _, answer = await bench.ask_to_join(unused, "another")
        assert code(answer) == "token.revoked"
        devices = (await bench.get(f"/v1/networks/{network}/devices", ann)).json()["devices"]
        assert [device["name"] for device in devices] == ["laptop"]
    async with a_coordinator(tmp_path, bench.clock) as bench:
        assert bench.coordinator.parts.snapshot.role(network, bob.member) is None
        assert bench.coordinator.parts.snapshot.device(server.id) is None


async def test_another_role_counts_from_the_next_job_on_and_others_hear_of_it(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        asking = await bench.linked(await bench.device(network, bob, "tablet", NO_MODEL))
        working = await bench.linked(await bench.device(network, ann, "server"))
        assert isinstance(await bench.ask(asking), link.Placed)
        await put(bench, f"/v1/networks/{network}/members/{bob.member}", {"role": "guest"}, ann)
        peers = await working.hear_a(link.Peers)
        while peers.full or peers.own:
            peers = await working.hear_a(link.Peers)
        assert [one.role for one in peers.certificates] == ["guest"]
        assert isinstance(await bench.ask(asking), link.Refused)
