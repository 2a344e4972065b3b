"""An invite opened by somebody who is known: they come in as who they are; and what guests see of devices."""

from pathlib import Path
from typing import Any

import pytest

from coordinators import NO_MODEL, Bench, Person, a_coordinator
from engines import ENGINES
from mesh.protocol.links import JoinLink

pytestmark = pytest.mark.anyio


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


async def accept(bench: Bench, person: Person, invite: JoinLink) -> Any:
    answer = await bench.post("/v1/me/networks", {"secret": invite.secret}, person)
    bench.clock.forward(0.001)
    return answer


async def people(bench: Bench, network: str, person: Person) -> dict[str, str]:
    listed = (await bench.get(f"/v1/networks/{network}/members", person)).json()["members"]
    return {one["member"]: one["role"] for one in listed}


@pytest.mark.parametrize("engine", ENGINES)
async def test_who_is_signed_in_comes_into_a_further_network_as_who_they_are(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ann = await bench.claim()
        home, other = await bench.network(ann, "home"), await bench.network(ann, "other")
        await bench.http.put(f"/v1/networks/{other}/settings", json={"credit_line": "strict"}, headers=ann.headers)
        bob = await bench.sign_in(await bench.invite(home, ann, "member"), "Bob")
        invite = await bench.invite(other, ann, "member", uses=2)
        answer = await accept(bench, bob, invite)
        assert answer.json() == {"network": other, "name": "other", "role": "member", "state": "active"}
        assert await people(bench, other, bob) == {ann.member: "admin", bob.member: "member"}
        assert (await bench.get(f"/v1/networks/{other}/balance", bob)).json()["balance"] == 600_000_000, "a welcome"
        assert code(await accept(bench, bob, invite)) == "members.already_in"
        (kept,) = (await bench.get(f"/v1/networks/{other}/tokens", ann)).json()["tokens"]
        assert (kept["used"], kept["uses"]) == (1, 2), "that counted no use"
        assert code(await accept(bench, bob, await bench.invite(other, ann, "device"))) == "token.wrong_purpose"
    async with a_coordinator(tmp_path, bench.clock, where=where) as bench:
        assert await people(bench, other, bob) == {ann.member: "admin", bob.member: "member"}


async def test_who_was_removed_comes_back_by_a_fresh_invite_alone(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        home, other = await bench.network(ann, "home"), await bench.network(ann, "other")
        before = await bench.invite(other, ann, "member", uses=5)
        bob = await bench.sign_in(await bench.invite(home, ann, "member"), "Bob")
        assert (await accept(bench, bob, before)).status_code == 200
        await bench.http.put(
            f"/v1/networks/{other}/members/{bob.member}/credit", json={"trusted": True}, headers=ann.headers
        )
        assert (await bench.delete(f"/v1/networks/{other}/members/{bob.member}", ann)).status_code == 200
        assert code(await accept(bench, bob, before)) == "members.not_let_back"
        fresh = await bench.invite(other, ann, "member", role="guest")
        assert (await accept(bench, bob, fresh)).status_code == 200
        assert (await people(bench, other, bob))[bob.member] == "guest"
        terms = (await bench.get(f"/v1/networks/{other}/members/{bob.member}/credit", ann)).json()
        assert terms["trusted"] is False, "what an admin vouched for before is over"


async def test_a_guest_sees_the_devices_that_the_policy_lets_them_use_and_whose_they_are(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        gil = await bench.sign_in(await bench.invite(network, ann, "member", role="guest"), "Gil")
        open_ = await bench.device(network, ann, "open")
        closed, own = await bench.device(network, bob, "closed"), await bench.device(network, gil, "own", NO_MODEL)

        async def seen(person: Person) -> tuple[set[str], set[str], set[str]]:
            listed = (await bench.get(f"/v1/networks/{network}/devices", person)).json()["devices"]
            drawn = (await bench.get(f"/v1/networks/{network}/picture", person)).json()["devices"]
            return (
                {one["device"] for one in listed},
                {one["device"] for one in drawn},
                set(await people(bench, network, person)),
            )

        everything = {open_.id, closed.id, own.id}
        everybody = {ann.member, bob.member, gil.member}
        assert await seen(gil) == (everything, everything, everybody), "the default: guests run public data anywhere"
        text = "grants:\n- name: members\n  role: [admin, member]\n- name: guests\n  role: guest\n"
        text += f"  sensitivity: public\n  device: {open_.id}\n"
        saved = await bench.http.put(
            f"/v1/networks/{network}/policy", json={"text": text, "base_version": 0, "note": ""}, headers=ann.headers
        )
        assert saved.status_code == 200, saved.text
        assert await seen(gil) == ({open_.id, own.id}, {open_.id, own.id}, {ann.member, gil.member})
        assert await seen(bob) == (everything, everything, everybody)
