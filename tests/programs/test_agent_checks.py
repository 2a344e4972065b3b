"""A device that makes vectors up, among real agents: it is found, not paid, and out of use until an admin acts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents import MODEL, WIDTH, Device, HeldEngines, Person, Town, a_town, until
from mesh.errors import MeshError
from mesh.protocol.values import Routing
from mesh.sdk import calls, credit, review
from mesh.workloads.contract import Payload
from mesh.workloads.embeddings import texts_of

pytestmark = pytest.mark.anyio
WELCOME = 600_000_000


class MadeUp(HeldEngines):
    """Answers with well-formed vectors of its own invention, until it is repaired."""

    repaired = False

    async def run(self, workload, model, payload, **how):
        honest = await super().run(workload, model, payload, **how)
        if self.repaired:
            return honest
        count = len(texts_of(payload))
        manifest = {"model": MODEL, "dim": WIDTH, "count": count, "tokens": count}
        return Payload(manifest, (b"\0\0\0\0\0\0\x80\x3f\0\0\0\0\0\0\0\0" * count,))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[tuple[Town, Person, Person]]:
    async with a_town(tmp_path) as (town, ann, ben):
        await ann.do(calls.change_settings(town.network, {"credit_line": "strict"}))
        yield town, ann, ben


async def a_cheat(ben: Person, name: str) -> Device:
    device = await ben.device(name, start=False)
    device.engines = MadeUp()
    return await device.start()


async def pending(person: Person, town: Town) -> int:
    return int((await person.do(calls.balance(town.network))).pending)


async def items(ann: Person, town: Town) -> list[str]:
    return [one.kind for one in (await ann.do(review.listing(town.network))).items]


async def test_a_device_that_makes_vectors_up_is_found_unpaid_and_out_of_use_until_released(town) -> None:
    town, ann, ben = town
    desk, box = await ann.device("desk"), await a_cheat(ben, "box")
    there, before = Routing("device", device=box.id), desk.agent.parts.membership.epoch
    await desk.run("one", routing=there)
    await desk.run("two", routing=there)

    async def out_of_use() -> bool:
        return "quarantine" in await items(ann, town)

    await until(out_of_use)
    await until(lambda: desk.agent.parts.membership.epoch > before)  # its series are over
    assert await pending(ben, town) == 0
    assert await ben.balance() == WELCOME
    assert await ann.balance() == WELCOME
    with pytest.raises(MeshError) as refused:
        await desk.run("three", routing=there)
    gates = {gate["gate"] for gate in refused.value.facts["gates"] if gate["device"] == box.id}
    assert "quarantine" in gates
    shown = next(one for one in (await ann.do(review.listing(town.network))).items if one.kind == "quarantine")
    assert (shown.device, shown.owner, shown.acts) == (box.id, ben.member, ("release",))
    known = await ann.do(review.show(town.network, shown.item))
    assert [one["state"] for one in known.checks] == ["missed", "missed"]
    with pytest.raises(MeshError) as not_his:
        await ben.do(review.decide(town.network, shown.item, "release"))
    assert not_his.value.wire_code == "members.not_allowed"
    box.engines.repaired = True
    await ann.do(review.decide(town.network, shown.item, "release"))
    assert await items(ann, town) == []
    result = await desk.run("four", routing=there)
    assert result.device == box.id
    decided = (await ben.do(credit.decisions(town.network))).decisions
    assert [one.kind for one in decided][:2] == ["device.release", "device.quarantine"]
    await desk.reported()
    assert (await ann.do(calls.verify(town.network))).ok


async def test_an_honest_device_passes_and_nothing_of_it_reaches_the_coordinator(town) -> None:
    town, ann, ben = town
    desk, box = await ann.device("desk"), await ben.device("box")
    await desk.run("a secret that nobody else sees", routing=Routing("device", device=box.id))
    again = await desk.engines.started.get()
    assert texts_of(again) == ["a secret that nobody else sees"]

    async def decided() -> bool:
        return bool(_checks(town, "passed"))

    await until(decided)
    assert await items(ann, town) == []
    for file in (town.folder / "data").rglob("*"):
        assert not file.is_file() or b"a secret that nobody" not in file.read_bytes()


async def test_a_requester_without_an_engine_says_that_it_cannot_tell(town) -> None:
    town, ann, ben = town
    desk, box = await ann.device("desk", work=False), await a_cheat(ben, "box")
    await desk.run("one", routing=Routing("device", device=box.id))

    async def decided() -> bool:
        return bool(_checks(town, "skipped"))

    await until(decided)
    assert await items(ann, town) == []


async def test_another_device_of_the_owner_does_it_where_this_one_cannot(town) -> None:
    town, ann, ben = town
    desk, shed = await ann.device("desk", work=False), await ann.device("shed")
    box = await a_cheat(ben, "box")
    await until(lambda: shed.id in desk.agent.parts.membership.own)
    await desk.run("one", routing=Routing("device", device=box.id))

    async def decided() -> bool:
        return bool(_checks(town, "missed"))

    await until(decided)
    assert texts_of(await shed.engines.started.get()) == ["one"]


def _checks(town: Town, state: str) -> list[tuple[str]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{town.folder / 'data' / 'coordinator.db'}?mode=ro", uri=True)) as database:
        return database.execute("select id from checks where state = ?", (state,)).fetchall()


async def test_what_admins_decide_is_in_the_log_that_members_read(town) -> None:
    town, ann, ben = town
    await ann.do(calls.change_settings(town.network, {"approve_devices": True}))
    waiting = await ben.device("box", start=False)
    box = waiting.home.read().device.id
    await ann.do(calls.approve_device(town.network, box))
    await ann.do(calls.change_settings(town.network, {"permits_per_member": 50}))
    policy = await ann.do(calls.policy(town.network))
    await ann.do(calls.save_policy(town.network, policy.text, policy.version, "as before"))
    await ann.do(calls.rotate_network_key(town.network))
    await ann.do(calls.rotate_coordinator_key())
    await ann.do(calls.remove_device(town.network, box))
    found = await ben.do(credit.decisions(town.network))
    kinds = [one.kind for one in reversed(found.decisions)]
    assert kinds == [
        "network.credit_line", "network.approve_devices", "device.approve", "network.terms", "policy.save",
        "network.rotate_key", "coordinator.rotate_key", "device.remove",
    ]  # fmt: skip
    assert found.broken is None
    assert all(one.by == ann.member for one in found.decisions)
