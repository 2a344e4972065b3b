"""A device called something else: by whom, what all others hear of it, and that jobs find it by its new name."""

import asyncio

import httpx2
import pytest

from agents import a_town, until
from coordinators import a_coordinator, an_id
from engines import ENGINES
from mesh.protocol import link, signed
from mesh.protocol.papers import Certificate
from mesh.sdk import calls

pytestmark = pytest.mark.anyio


@pytest.fixture(params=ENGINES)
def place(request, tmp_path):
    return request.getfixturevalue(request.param)(tmp_path)


async def rename(bench, network, person, device, name):
    """The error's code, or None."""
    path = f"/v1/networks/{network}/devices/{device}/name"
    answer = await bench.http.put(path, json={"name": name}, headers=person.headers)
    return None if answer.status_code == 200 else answer.json()["error"]["code"]


async def names(bench, network, person):
    listed = (await bench.get(f"/v1/networks/{network}/devices", person)).json()["devices"]
    return {one["device"]: one["name"] for one in listed}


async def decided(bench, network, person):
    found = (await bench.get(f"/v1/networks/{network}/decisions", person)).json()["decisions"]
    return [(one["kind"], one["subject"], one["by"]) for one in found]


def called(certificate):
    return signed.peek(certificate, Certificate).name


async def test_its_owner_and_admins_rename_a_device_and_everybody_hears_of_it(tmp_path, place):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        laptop, server = await bench.device(network, ann, "laptop"), await bench.device(network, bob, "server")
        near, far = await bench.linked(laptop), await bench.linked(server)
        assert await rename(bench, network, bob, server.id, "cellar") is None
        assert called((await far.hear_a(link.CertificateUpdate)).certificate) == "cellar"
        while (told := await near.hear_a(link.Peers)).full or not told.certificates:
            pass
        assert called(told.certificates[0].certificate) == "cellar"
        assert await decided(bench, network, ann) == [], "one's own device is nobody's decision"
        assert await rename(bench, network, bob, laptop.id, "mine") == "members.not_allowed"
        assert await rename(bench, network, bob, server.id, "laptop") == "name.taken"
        assert await rename(bench, network, ann, an_id(), "mine") == "device.not_found"
        for bad in ("", "x" * 64):
            assert await rename(bench, network, bob, server.id, bad) == "request.invalid"
        for bad in ("A", "-a", "a b", "a\n", "süd"):
            assert await rename(bench, network, bob, server.id, bad) == "name.invalid"
        assert await rename(bench, network, ann, server.id, "attic") is None
        assert await rename(bench, network, ann, server.id, "attic") is None, "twice is once"
        assert await decided(bench, network, ann) == [("device.rename", server.id, ann.member)]
        again = await bench.device(network, bob, "server")
        assert await names(bench, network, ann) == {laptop.id: "laptop", server.id: "attic", again.id: "server"}
    async with a_coordinator(tmp_path, bench.clock, where=place.where) as bench:
        seen = bench.coordinator.parts.snapshot.device(server.id)
        assert (seen.kept.name, called(seen.certificate.signed)) == ("attic", "attic")


async def test_one_that_waits_for_approval_is_approved_under_its_new_name(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        phone = await bench.join(await bench.invite(network, ann, approve=True), "phone")
        assert phone.answer["state"] == "pending"
        assert await rename(bench, network, ann, phone.id, "pocket") is None
        approved = await bench.post(f"/v1/networks/{network}/devices/{phone.id}/approve", {}, ann)
        assert approved.status_code == 200, approved.text
        assert called(bench.coordinator.parts.snapshot.device(phone.id).certificate.signed) == "pocket"
        assert (await bench.delete(f"/v1/networks/{network}/devices/{phone.id}", ann)).status_code == 200
        assert await rename(bench, network, ann, phone.id, "gone") == "device.not_found"


async def test_jobs_find_a_device_by_its_new_name_and_it_keeps_it(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        worker = await ben.device("ben-box")
        asker = await ann.device("ann-box", work=False, start=False)
        await asker.start(gateway=True)
        await ben.do(calls.rename_device(town.network, worker.id, "cellar"))
        await until(lambda: asker.agent.parts.membership.find("cellar") is not None)
        await until(lambda: worker.agent.parts.membership.name == "cellar")

        def ask(name):
            headers = {"authorization": f"Bearer {asker.ready.key}"}
            body = {"model": f"device:{name}/auto", "input": "a"}
            return httpx2.post(f"{asker.ready.gateway}/v1/embeddings", json=body, headers=headers, timeout=30)

        found = await asyncio.to_thread(ask, "cellar")
        assert found.status_code == 200 and found.headers["x-mesh-device"] == worker.id, found.text
        lost = await asyncio.to_thread(ask, "ben-box")
        assert (lost.status_code, lost.json()["error"]["code"]) == (404, "device.unknown")
        await worker.stop()
        await worker.start()
        assert worker.agent.parts.membership.name == "cellar"
