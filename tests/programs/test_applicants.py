"""People who wait for an admin: they are in nothing until one says yes, by whichever way they came."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coordinators import Bench, Person, a_coordinator
from engines import ENGINES
from mesh.coordinator.keeping.retaining import FORGET_EVERY_MS, Retaining
from mesh.coordinator.store import applicants
from mesh.coordinator.store.networks import Membership
from mesh.ids import MemberId, NetworkId
from mesh.networks.applicants import WAITING_MAX, WAITS_S
from mesh.protocol.links import JoinLink

pytestmark = pytest.mark.anyio


def code(answer: Any) -> str:
    return "" if answer.status_code == 200 else str(answer.json()["error"]["code"])


async def everybody_waits(bench: Bench, network: str, admin: Person, *, on: bool = True) -> None:
    path = f"/v1/networks/{network}/settings"
    answer = await bench.http.put(path, json={"approve_people": on}, headers=admin.headers)
    assert answer.status_code == 200, answer.text


async def queue(bench: Bench, network: str, admin: Person) -> list[Any]:
    answer = await bench.get(f"/v1/networks/{network}/applicants", admin)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["applicants"])


async def decide(bench: Bench, network: str, admin: Person, who: Person, what: str, **body: Any) -> Any:
    answer = await bench.post(f"/v1/networks/{network}/applicants/{who.member}/{what}", body, admin)
    bench.clock.forward(0.001)
    return answer


async def asked(bench: Bench, person: Person) -> dict[str, Any]:
    found = (await bench.get("/v1/me/networks", person)).json()["networks"]
    return {one["network"]: one for one in found}


async def people(bench: Bench, network: str, person: Person) -> dict[str, str]:
    listed = (await bench.get(f"/v1/networks/{network}/members", person)).json()["members"]
    return {one["member"]: one["role"] for one in listed}


async def decisions(bench: Bench, network: str, admin: Person) -> list[tuple[str, str, str]]:
    found = (await bench.get(f"/v1/networks/{network}/decisions", admin)).json()["decisions"]
    return [(one["by"], one["kind"], one["subject"]) for one in found]


async def accept(bench: Bench, person: Person, invite: JoinLink) -> Any:
    answer = await bench.post("/v1/me/networks", {"secret": invite.secret}, person)
    bench.clock.forward(0.001)
    return answer


@pytest.mark.parametrize("engine", ENGINES)
async def test_who_waits_is_in_nothing_until_an_admin_says_yes(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        line = {"credit_line": "strict"}
        await bench.http.put(f"/v1/networks/{network}/settings", json=line, headers=ann.headers)
        await everybody_waits(bench, network, ann)
        assert (await bench.get(f"/v1/networks/{network}/settings", ann)).json()["approve_people"] is True
        invite = await bench.invite(network, ann, "member", name="Bob of the chess club")
        answer = await bench.post("/v1/claim", {"secret": invite.secret, "name": "Bob"})
        told = answer.json()
        assert (told["network"], told["state"]) == (network, "pending")
        bob = Person("Bob", told["token"], told["member"])
        me = (await bench.get("/v1/me", bob)).json()
        assert me["networks"] == [] and (await bench.get("/v1/networks", bob)).json()["networks"] == []
        until_ms = bench.clock.now_ms + int(WAITS_S * 1000)
        status = {"name": "home", "role": "member", "state": "pending", "why": "", "until_ms": until_ms}
        assert (await asked(bench, bob))[network].items() >= status.items()
        assert code(await bench.get(f"/v1/networks/{network}/members", bob)) == "members.waits"
        assert code(await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "device"}, bob)) == "members.waits"
        assert await people(bench, network, ann) == {ann.member: "admin"}, "who waits is no member"
        gift = {"member": bob.member, "amount": 5, "reason": "early"}
        assert code(await bench.post(f"/v1/networks/{network}/credits", gift, ann)) == "credits.not_in_network"
        accounts = (await bench.get(f"/v1/networks/{network}/balances", ann)).json()["accounts"]
        assert [one for one in accounts if one.get("member") == bob.member] == [], "no welcome yet"
        (waiting,) = await queue(bench, network, ann)
        assert waiting.items() >= {"member": bob.member, "name": "Bob", "invited_by": ann.member}.items()
        assert waiting["invite_name"] == "Bob of the chess club"
    async with a_coordinator(tmp_path, bench.clock, where=where) as bench:
        assert code(await bench.get(f"/v1/networks/{network}/members", bob)) == "members.waits", "after a restart too"
        assert (await decide(bench, network, ann, bob, "approve")).json() == {"member": bob.member, "state": "active"}
        assert await people(bench, network, bob) == {ann.member: "admin", bob.member: "member"}
        assert (await bench.get(f"/v1/networks/{network}/balance", bob)).json()["balance"] == 600_000_000
        assert await queue(bench, network, ann) == [] and await asked(bench, bob) == {}
        assert (ann.member, "member.approve", bob.member) in await decisions(bench, network, ann)
        await bench.device(network, bob, "laptop")


async def test_who_is_refused_reads_why_and_needs_a_fresh_invite(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann, "member", uses=3, approve=True)
        bob = await bench.sign_in(invite, "Bob")
        long, hidden = await decide(bench, network, ann, bob, "refuse", why="x" * 201), "turn \u202e round"
        assert code(long) == code(await decide(bench, network, ann, bob, "refuse", why=hidden)) == "members.bad_why"
        refused = await decide(bench, network, ann, bob, "refuse", why="I do not know you.")
        assert refused.json() == {"member": bob.member, "state": "refused"}
        (mine,) = (await asked(bench, bob)).values()
        assert (mine["state"], mine["why"]) == ("refused", "I do not know you.")
        assert code(await bench.get(f"/v1/networks/{network}/members", bob)) == "members.not_member"
        assert code(await accept(bench, bob, invite)) == "members.not_let_back"
        (kept,) = [
            one
            for one in (await bench.get(f"/v1/networks/{network}/tokens", ann)).json()["tokens"]
            if one["purpose"] == "member"
        ]
        assert (kept["used"], kept["uses"]) == (1, 3), "the use of who was refused is spent, no other"
        fresh = await bench.invite(network, ann, "member", role="guest")
        assert (await accept(bench, bob, fresh)).json()["state"] == "active"
        assert (await people(bench, network, ann))[bob.member] == "guest" and await asked(bench, bob) == {}
        log = [one for one in await decisions(bench, network, ann) if one[1].startswith("member.")]
        assert log == [(ann.member, "member.refuse", bob.member)], "and without the reason, which is for Bob alone"


async def test_of_two_decisions_at_once_the_first_holds_and_the_second_is_told_of_it(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="admin"), "Ben")
        await everybody_waits(bench, network, ann)
        path = f"/v1/networks/{network}/applicants"
        for at in range(6):
            who = await bench.sign_in(await bench.invite(network, ann, "member"), f"P{at}")
            answers = await asyncio.gather(
                bench.post(f"{path}/{who.member}/approve", {}, ann),
                bench.post(f"{path}/{who.member}/refuse", {"why": "no"}, ben),
                bench.delete(f"/v1/me/networks/{network}", who),
            )
            done = [one for one in answers if one.status_code == 200]
            late = [one.json()["error"] for one in answers if one.status_code != 200]
            assert len(done) == 1 and {one["code"] for one in late} == {"members.not_waiting"}, answers
            outcomes = {one["facts"]["outcome"] for one in late}
            inside = who.member in await people(bench, network, ann)
            state = (await asked(bench, who)).get(network, {}).get("state")
            assert outcomes == {"approved" if inside else state}
        assert await queue(bench, network, ann) == []
        again = await bench.sign_in(await bench.invite(network, ann, "member"), "Twice")
        for _ in range(2):
            assert (await decide(bench, network, ann, again, "approve")).status_code == 200, "the same again is done"
        log = await decisions(bench, network, ann)
        assert log.count((ann.member, "member.approve", again.member)) == 1


async def test_one_key_decides_once_and_gets_one_answer(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", approve=True), "Bob")
        path = f"/v1/networks/{network}/applicants/{bob.member}"
        first = await bench.post(f"{path}/refuse", {"why": "no"}, ann, **{"idempotency-key": "k"})
        again = await bench.post(f"{path}/refuse", {"why": "no"}, ann, **{"idempotency-key": "k"})
        assert first.content == again.content and first.status_code == 200
        assert code(await bench.post(f"{path}/approve", {}, ann)) == "members.not_waiting"
        unknown = f"/v1/networks/{network}/applicants/{'0' * 26}"
        assert code(await bench.post(f"{unknown}/approve", {}, ann)) == "members.nobody_asked"
        assert code(await bench.post(f"{unknown}/refuse", {}, ann)) == "members.nobody_asked"
        assert code(await bench.delete(f"/v1/me/networks/{network}", ann)) == "members.not_waiting"
        assert code(await bench.delete(f"/v1/me/networks/{'0' * 26}", ann)) == "members.nobody_asked"


async def test_a_member_of_one_network_waits_in_another_and_is_nobody_there(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        home, other = await bench.network(ann, "home"), await bench.network(ann, "other")
        bob = await bench.sign_in(await bench.invite(home, ann, "member"), "Bob")
        await everybody_waits(bench, other, ann)
        invite = await bench.invite(other, ann, "member", uses=2)
        assert (await accept(bench, bob, invite)).json() == {
            "network": other, "name": "other", "role": "member", "state": "pending",
        }  # fmt: skip
        assert code(await accept(bench, bob, invite)) == "members.already_waits"
        (kept,) = (await bench.get(f"/v1/networks/{other}/tokens", ann)).json()["tokens"]
        assert (kept["used"], kept["uses"]) == (1, 2), "that counted no use"
        assert [one["network"] for one in (await bench.get("/v1/networks", bob)).json()["networks"]] == [home]
        assert code(await bench.get(f"/v1/networks/{other}/devices", bob)) == "members.waits"
        assert (await bench.get(f"/v1/networks/{home}/devices", bob)).status_code == 200
        await bench.device(home, bob, "laptop")
        await everybody_waits(bench, other, ann, on=False)
        assert len(await queue(bench, other, ann)) == 1, "who waits goes on waiting"
        assert (await accept(bench, bob, invite)).json()["state"] == "active", "until a link lets them in"
        assert await queue(bench, other, ann) == []


async def test_who_comes_back_waits_too_and_the_last_admin_stays_one(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        assert (await bench.delete(f"/v1/networks/{network}/members/{bob.member}", ann)).status_code == 200
        bench.clock.forward(0.001)
        await everybody_waits(bench, network, ann)
        assert (await accept(bench, bob, await bench.invite(network, ann, "member", role="admin"))).status_code == 200
        mine = f"/v1/networks/{network}/members/{ann.member}"
        assert code(await bench.delete(mine, ann)) == "members.last_admin", "an admin who waits is none"
        theirs = f"/v1/networks/{network}/members/{bob.member}"
        assert code(await bench.delete(theirs, ann)) == "members.not_member"
        role = await bench.http.put(theirs, json={"role": "member"}, headers=ann.headers)
        assert code(role) == "members.not_member"
        assert (await decide(bench, network, ann, bob, "approve")).status_code == 200
        assert (await bench.delete(mine, ann)).status_code == 200
        carl = await bench.sign_in(await bench.invite(network, bob, "member"), "Carl")
        assert code(await decide(bench, network, ann, carl, "approve")) == "members.not_member", "she is no admin now"


async def test_the_queue_is_bounded_and_a_link_keeps_its_use(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        home, other = await bench.network(ann, "home"), await bench.network(ann, "other")
        for at in range(2):
            bob = await bench.sign_in(await bench.invite(other, ann, "member"), f"B{at}")
            await bench.delete(f"/v1/networks/{other}/members/{bob.member}", ann)

        def fill(store: Any) -> None:
            from mesh.coordinator.store import people as kept

            for at in range(WAITING_MAX):
                member = MemberId(f"{at:026}")
                kept.add_member(store, member=member, name="X", now_ms=bench.clock.now_ms)
                who = Membership(NetworkId(home), member, "member")
                applicants.ask(store, who, ("", ""), again=False, now_ms=bench.clock.now_ms)

        bench.coordinator.parts.database.write_and_wait(fill)
        invite = await bench.invite(home, ann, "member", approve=True)
        answer = await bench.post("/v1/claim", {"secret": invite.secret, "name": "Late"})
        assert (answer.status_code, code(answer)) == (429, "members.queue_full")
        assert code(await accept(bench, bob, invite)) == "members.queue_full"
        (kept,) = (await bench.get(f"/v1/networks/{home}/tokens", ann)).json()["tokens"]
        assert kept["used"] == 0
        answer = await bench.get(f"/v1/networks/{home}/applicants?limit=400", ann)
        rest = await bench.get(f"/v1/networks/{home}/applicants?cursor={answer.json()['cursor']}", ann)
        assert len(rest.json()["applicants"]) == WAITING_MAX - 400


async def test_a_request_expires_and_a_closed_account_asks_for_nothing(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        await everybody_waits(bench, network, ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", name="Robert"), "Bob")
        parts, news = bench.coordinator.parts, bench.coordinator.news
        retaining = Retaining(parts, news)
        bench.clock.forward(WAITS_S - 10)
        carl = await bench.sign_in(await bench.invite(network, ann, "member", name="Charles"), "Carl")
        await retaining.once()
        assert {one["name"] for one in await queue(bench, network, ann)} == {"Bob", "Carl"}
        bench.clock.forward(FORGET_EVERY_MS / 1000 + 20)
        await retaining.once()
        assert [one["name"] for one in await queue(bench, network, ann)] == ["Carl"]
        assert (await asked(bench, bob))[network]["state"] == "expired"
        export = (await bench.get("/v1/me/export", carl)).text
        assert "Charles" in export and "pending" in export, "what is kept about who waits is theirs to see"
        confirmed = {"name": "Carl"}
        assert (await bench.post("/v1/me/deletion", confirmed, carl)).status_code == 200
        bench.clock.forward(31 * 86400)
        await retaining.once()
        assert await queue(bench, network, ann) == []

        def requests(store: Any) -> list[Any]:
            return [one for who in (bob, carl) for one in applicants.of_member(store, MemberId(who.member))]

        database = bench.coordinator.parts.database
        assert database.read_and_wait(requests) == [], "Carl is nobody any more, and what became of Bob is forgotten"
