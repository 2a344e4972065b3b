"""A person's data as a file; an account that is deleted: asked, taken back, and carried out when its month is over."""

from pathlib import Path
from typing import Any

import pytest

from coordinators import NO_MODEL, Bench, Person, a_coordinator
from engines import ENGINES
from ledger_world import World
from mesh.cli.members import left_behind
from mesh.coordinator.acts import deletion as acts
from mesh.coordinator.store import decisions, deletions, records
from mesh.coordinator.store.deletions import Deletion
from mesh.networks.deletion import GRACE_S
from mesh.protocol import link, links
from mesh.units import DAY

pytestmark = pytest.mark.anyio
DAY_MS = int(DAY * 1000)


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


async def again(bench: Bench, person: Person) -> Person:
    """The same person signs in in another place, by a link of their own."""
    made = (await bench.post("/v1/sessions/link", {}, person)).json()["link"]
    return await bench.sign_in(links.parse(made), "")


async def kinds(bench: Bench, network: str, person: Person) -> list[str]:
    page = (await bench.get(f"/v1/networks/{network}/decisions", person)).json()
    return [one["kind"] for one in page["decisions"]]


async def test_everything_about_a_person_comes_as_one_document(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob Öz")
        await bench.device(network, bob, "bobs-laptop", NO_MODEL)
        answer = await bench.get("/v1/me/export", bob)
        told = answer.json()
        assert told["member"] == bob.member and told["made_ms"] == bench.clock.now_ms
        assert {one["table"]: one["rows"] for one in told["report"]} == {
            table: len(rows) for table, rows in told["tables"].items()
        }
        assert told["tables"]["members"][0]["name"] == "Bob Öz"
        assert [one["name"] for one in told["tables"]["devices"]] == ["bobs-laptop"]
        assert told["tables"]["memberships"][0]["role"] == "member"
        assert bob.token not in answer.text and "_hash" not in answer.text and "Ann" not in answer.text


async def test_what_a_deletion_means_is_said_before_and_who_holds_things_up_is_refused(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        await bench.device(network, bob, "laptop", NO_MODEL)
        await bench.post(f"/v1/networks/{network}/credits", {"member": bob.member, "amount": 7, "reason": "x"}, ann)
        plan = (await bench.get("/v1/me/deletion", bob)).json()
        assert (plan["asked_ms"], plan["operator"]) == (None, False)
        (home,) = plan["networks"]
        assert (home["name"], home["parting"], home["balance"], home["devices"]) == ("home", "leave", 7, ["laptop"])
        tables = {one["table"]: one for one in plan["tables"]}
        assert tables["sessions"]["erased"] == tables["sessions"]["rows"] == 1
        assert tables["devices"]["pseudonymised"] == 1 and tables["memberships"]["pseudonymised"] == 1
        assert tables["memberships"]["why"]
        assert code(await bench.post("/v1/me/deletion", {"name": "bob"}, bob)) == "privacy.not_confirmed"
        assert code(await bench.post("/v1/me/deletion", {"name": "Ann"}, ann)) == "privacy.operator"
        assert (await bench.get("/v1/me", bob)).json()["deletion_due_ms"] is None

        cyd = await bench.sign_in(await bench.invite(network, ann, "member", role="admin"), "Cyd")
        assert (await bench.delete(f"/v1/networks/{network}/members/{ann.member}", ann)).status_code == 200
        refused = await bench.post("/v1/me/deletion", {"name": "Cyd"}, cyd)
        assert (code(refused), refused.json()["error"]["facts"]) == ("privacy.only_admin", {"networks": ["home"]})
        assert (await bench.http.put(
            f"/v1/networks/{network}/members/{bob.member}", json={"role": "admin"}, headers=cyd.headers
        )).status_code == 200  # fmt: skip
        assert (await bench.post("/v1/me/deletion", {"name": "Cyd"}, cyd)).status_code == 200
        left = await bench.delete(f"/v1/networks/{network}/members/{bob.member}", bob)
        assert code(left) == "members.last_admin", "nobody counts on an admin who goes"


async def test_an_installation_is_handed_over_and_then_its_maker_can_go(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="admin"), "Bob")

        async def hand_over(to: str, by: Person) -> Any:
            return await bench.http.put("/v1/operator", json={"member": to}, headers=by.headers)

        assert code(await hand_over(bob.member, bob)) == "auth.not_operator"
        assert code(await hand_over("nobody", ann)) == "installation.person_unknown"
        assert (await hand_over(bob.member, ann)).status_code == 200
        assert code(await bench.post("/v1/networks", {"name": "another"}, ann)) == "auth.not_operator"
        assert (await bench.post("/v1/networks", {"name": "another"}, bob)).status_code == 200
        assert (await bench.post("/v1/me/deletion", {"name": "Ann"}, ann)).status_code == 200
        assert code(await hand_over(ann.member, bob)) == "installation.person_unknown"


async def test_a_deletion_signs_out_elsewhere_and_is_taken_back_by_signing_in_or_by_saying_so(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        elsewhere = await again(bench, bob)
        assert code(await bench.delete("/v1/me/deletion", bob)) == "privacy.nothing_asked"
        asked = (await bench.post("/v1/me/deletion", {"name": "Bob"}, bob)).json()
        assert asked["due_ms"] - bench.clock.now_ms == GRACE_S * 1000
        assert code(await bench.get("/v1/me", elsewhere)) == "auth.not_signed_in"
        assert (await bench.get("/v1/me", bob)).json()["deletion_due_ms"] == asked["due_ms"]
        seen = (await bench.post("/v1/deletions/look", {"receipt": asked["receipt"]})).json()
        assert (seen["due_ms"], seen["closed_ms"], seen["tables"]) == (asked["due_ms"], None, [])
        assert code(await bench.post("/v1/deletions/look", {"receipt": "x"})) == "privacy.nothing_asked"
        assert (await bench.delete("/v1/me/deletion", bob)).status_code == 200
        assert (await bench.get("/v1/me", bob)).json()["deletion_due_ms"] is None
        assert (await bench.post("/v1/me/deletion", {"name": "Bob"}, bob)).status_code == 200
        await again(bench, bob)
        assert (await bench.get("/v1/me", bob)).json()["deletion_due_ms"] is None
        wanted = ["account.keep", "account.delete"] * 2
        assert (await kinds(bench, network, ann))[:4] == wanted
        bench.clock.forward(GRACE_S + 60)
        await bench.coordinator.upkeep.once()
        assert [one["name"] for one in (await bench.get(f"/v1/networks/{network}/members", ann)).json()["members"]] == [
            "Ann",
            "Bob",
        ]


@pytest.mark.parametrize("engine", ENGINES)
async def test_when_the_month_is_over_the_person_is_forgotten(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member", role="admin"), "Bob")
        laptop, other = await bench.device(network, ann, "laptop", NO_MODEL), await bench.network(ann, "bobs")
        server = await bench.device(network, bob, "bobs-server")
        beside = await bench.sign_in(await bench.invite(other, ann, "member", role="admin"), "Eve")
        assert (await bench.delete(f"/v1/networks/{other}/members/{ann.member}", ann)).status_code == 200
        await bench.post(f"/v1/networks/{network}/credits", {"member": bob.member, "amount": 7, "reason": "x"}, ann)
        receipt = (await bench.post("/v1/me/deletion", {"name": "Bob"}, bob)).json()["receipt"]
        assert (await bench.post("/v1/me/deletion", {"name": "Eve"}, beside)).status_code == 200
        bench.clock.forward(GRACE_S - 1)
        await bench.coordinator.upkeep.once()
        assert (await bench.get(f"/v1/networks/{network}/members", bob)).status_code == 200, "a second is left"
        wire = await bench.linked(server)
        bench.clock.forward(1)
        await bench.coordinator.upkeep.once()
        assert (await wire.hear_a(link.Removed)).code == "device.removed"
        assert code(await bench.get("/v1/me", bob)) == "auth.not_signed_in"
        people = (await bench.get(f"/v1/networks/{network}/members", ann)).json()["members"]
        assert [one["name"] for one in people] == ["Ann"]
        assert other not in bench.coordinator.parts.snapshot.networks, "nobody was left in it"
        seen = (await bench.post("/v1/deletions/look", {"receipt": receipt})).json()
        tables = {one["table"]: one for one in seen["tables"]}
        assert seen["done_ms"] == bench.clock.now_ms
        assert (tables["sessions"]["kept"], tables["sessions"]["erased"]) == (0, 1)
        assert tables["devices"]["pseudonymised"] == 1 and tables["postings"]["kept"] == 2
        proof = (await bench.get(f"/v1/networks/{network}/ledger/verify", ann)).json()
        assert proof["ok"] and proof["total"] == 0
        accounts = (await bench.get(f"/v1/networks/{network}/balances", ann)).json()["accounts"]
        assert {one["kind"]: one["amount"] for one in accounts if one["member"] in (None, bob.member)} == {
            "balance": 0,
            "burn": 7,
            "issue": -7,
        }
        assert (await kinds(bench, network, ann))[0] == "member.remove"
        database = bench.coordinator.parts.database
        assert await database.read(decisions.first_broken, network) is None
        assert "Bob" not in (await bench.get("/v1/me/export", ann)).text
    async with a_coordinator(tmp_path, bench.clock, where=where) as bench:
        assert bench.coordinator.parts.snapshot.device(laptop.id) is not None
        assert bench.coordinator.parts.snapshot.device(server.id) is None
        assert (await bench.post("/v1/networks", {"name": "bobs"}, ann)).status_code == 200, "the name is free again"


async def test_what_ended_in_between_is_taken_up_after_a_restart(tmp_path: Path) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
        receipt = (await bench.post("/v1/me/deletion", {"name": "Bob"}, bob)).json()["receipt"]
        bench.clock.forward(GRACE_S)
        await bench.coordinator.parts.database.write(acts.close, bob.member, bench.coordinator.parts.moment())
    async with a_coordinator(tmp_path, bench.clock) as bench:
        assert code(await bench.delete("/v1/me/deletion", bob)) == "auth.not_signed_in", "there is no way back"
        await bench.coordinator.upkeep.once()
        seen = (await bench.post("/v1/deletions/look", {"receipt": receipt})).json()
        assert seen["done_ms"] == bench.clock.now_ms and seen["tables"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_ledger_stays_whole_and_the_others_keep_what_is_theirs(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    world = World(request.getfixturevalue(engine)(tmp_path))
    paid, open_ = world.grant(world.bob), world.grant(world.bob)
    world.report(world.claim(paid, world.bob), world.used(paid, world.bob))
    before = world.verify()
    database, ann = world.database, world.ann.member
    assert before.ok and world.balance(world.bob).balance > 0

    def forget() -> int:
        return database.write_and_wait(records.forget, world.network, before_ms=world.now_ms, most=100, member=ann)  # type: ignore[arg-type]

    assert forget() == 0, "what may still be reported about stays"
    database.write_and_wait(
        lambda store: deletions.add(store, Deletion(ann, world.now_ms, world.now_ms), receipt_hash="a" * 64)  # type: ignore[arg-type]
    )
    database.write_and_wait(acts.close, ann, world.moment)  # type: ignore[arg-type]
    kept = database.read_and_wait(deletions.of, ann)  # type: ignore[arg-type]
    assert kept is not None
    earned = world.balance(world.bob).balance
    world.report(world.claim(open_, world.bob), world.used(open_, world.bob))
    assert world.balance(world.bob).balance > earned, "who worked is paid although the other goes"
    world.now_ms += 15 * DAY_MS
    world.sweep()
    assert forget() == 2 and world.rows("select * from jobs") == []
    for table in ("attempts", "evidence", "explanations", "permits", "shares", "candidates"):
        assert world.rows(f"select * from {table}") == [], table
    report = database.write_and_wait(acts.finish, kept, world.moment)
    assert {one.table: one.kept for one in report}["postings"] >= 2
    after = world.verify()
    assert after.ok, after.wrong
    assert after.postings >= before.postings and after.total == 0
    assert world.report(world.used(paid, world.bob)).refused, "an old receipt is worth nothing"
    world.database.close()


def test_what_becomes_of_money_is_said_before_somebody_is_let_go() -> None:
    assert left_behind({}) == "They have no credits to lose."
    assert left_behind({"balance": 2_500_000}) == "Their 2.5 credits are burnt."
    assert left_behind({"balance": -4_000_000, "pending": 1_000_000}) == (
        "Their debt of 4 credits stays in the ledger until an admin closes it. "
        "1 pending credits are burnt when they come."
    )


async def test_a_network_that_would_be_left_without_an_admin_holds_a_deletion_up_until_it_has_one(
    tmp_path: Path,
) -> None:
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        eve = await bench.sign_in(await bench.invite(network, ann, "member", role="admin"), "Eve")
        assert (await bench.delete(f"/v1/networks/{network}/members/{ann.member}", ann)).status_code == 200
        receipt = (await bench.post("/v1/me/deletion", {"name": "Eve"}, eve)).json()["receipt"]
        gil = await bench.sign_in(await bench.invite(network, eve, "member"), "Gil")
        bench.clock.forward(GRACE_S)
        await bench.coordinator.upkeep.once()
        seen = (await bench.post("/v1/deletions/look", {"receipt": receipt})).json()
        assert (seen["closed_ms"], seen["done_ms"]) == (None, None)
        assert (await bench.get("/v1/me/deletion", eve)).json()["networks"][0]["parting"] == "blocked"
        made = await bench.http.put(
            f"/v1/networks/{network}/members/{gil.member}", json={"role": "admin"}, headers=eve.headers
        )
        assert made.status_code == 200
        await bench.coordinator.upkeep.once()
        seen = (await bench.post("/v1/deletions/look", {"receipt": receipt})).json()
        assert seen["done_ms"] == bench.clock.now_ms
        people = (await bench.get(f"/v1/networks/{network}/members", gil)).json()["members"]
        assert [(one["name"], one["role"]) for one in people] == [("Gil", "admin")]
