"""A network's prices: published in versions, each permit paid by its own, one admin never over another; with races."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from agents import a_town, until
from coordinators import LAPTOP, NO_MODEL, OFFER, a_coordinator, a_job, an_id
from engines import ENGINES
from ledger_world import World
from mesh.cli.main import perform
from mesh.coordinator.acts import tariff
from mesh.coordinator.acts.permit import EpochMoved, grant
from mesh.coordinator.acts.tariff import Draft
from mesh.coordinator.store import permits
from mesh.coordinator.store import tariffs as kept
from mesh.coordinator.store.schema.ledger import tariffs as tariff_rows
from mesh.credits.repricing import Asked, Change
from mesh.errors import MeshError
from mesh.protocol import link, signed
from mesh.protocol.permit import Permit, Price
from mesh.sdk import calls, tariffs
from mesh.sdk.home import Home, HomeRecord
from programs.test_agent_batches import ended, submit
from programs.test_agent_series import in_series, kinds

pytestmark = pytest.mark.anyio
FAST = msgspec.structs.replace(LAPTOP, offers=(msgspec.structs.replace(OFFER, units_per_s=1e12),))
DEARER = {"prices": [{"workload": "embeddings", "price_micro": 7400}]}


@pytest.fixture(params=ENGINES)
def place(request, tmp_path):
    return request.getfixturevalue(request.param)(tmp_path)


# --- money: each permit by its own version ----------------------------------------------------------------------------


def publish(world: World, micro: int, fee_ppm: int) -> Price:
    """The next version of the world's tariff, as a permit names it."""
    base = world.epoch  # both count up together here
    draft = Draft(Change({"embeddings": Asked(micro)}, fee_ppm), base, "dearer")
    found = world.database.write_and_wait(
        tariff.publish, world.network, draft, by=world.ann.member, moment=world.moment
    )
    world.epoch = found.epoch
    return Price(found.tariff.version, micro, 1000)


def lines(world: World, job: str) -> list[tuple[Any, ...]]:
    found = world.rows(
        "select tariff_version, units, price_micro, price_per, p.kind, a.kind as account, e.amount from postings p "
        f"join entries e on e.posting = p.id join accounts a on a.id = e.account where job = '{job}' "
        "order by p.id, e.amount"
    )
    return [tuple(row) for row in found]


def test_what_was_granted_is_paid_by_its_own_version_whatever_is_published_meanwhile(place):
    world = World(place)
    before, silent = world.grant(world.bob), world.grant(world.bob)
    series = world.series((world.bob, 20_000), (world.cyd, 20_000))
    early = world.under(series)
    world.report(world.used(early, world.bob, claim=world.claim(early, world.bob)))
    dear = publish(world, 5_000, 100_000)
    world.now_ms += 1000

    # The job that was under way, the series' next job, and a payment that is taken back: all as they were granted.
    late = world.under(series)
    for permit in (before, late):
        world.report(world.used(permit, world.bob, claim=world.claim(permit, world.bob)))
    for permit in (before, early, late):
        assert lines(world, permit.job) == [
            (1, 1000, 3700, 1000, "settle", "balance", -3700),
            (1, 1000, 3700, 1000, "settle", "verification", 185),
            (1, 1000, 3700, 1000, "settle", "balance", 3515),
        ]
    world.report(world.claim(silent, world.bob))
    world.after_window(silent)
    assert world.states(silent) == {1: "one_sided"}
    world.report(world.failed(silent, world.bob))
    assert world.states(silent) == {1: "reversed"}
    assert {line[:4] for line in lines(world, silent.job)} == {(1, 1000, 3700, 1000)}
    assert sum(line[-1] for line in lines(world, silent.job) if line[5] == "verification") == 0, "its fee too"

    # What is granted from now on is paid by the new one, its fee included.
    wanted = world.wanted(world.bob)
    granted = world.database.write_and_wait(
        grant, wanted._replace(permit=_by(wanted.permit, dear)), world.moment
    ).permit
    world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))
    assert lines(world, granted.job) == [
        (2, 1000, 5000, 1000, "settle", "balance", -5000),
        (2, 1000, 5000, 1000, "settle", "verification", 500),
        (2, 1000, 5000, 1000, "settle", "balance", 4500),
    ]
    assert world.verify().ok
    done, more = world.database.read_and_wait(kept.paid, world.network, since_ms=0, most=5)
    assert not more, "five jobs, one of them with nothing paid for it"
    assert sorted((one.workload, one.units, one.charged, one.fee) for one in done) == [
        ("embeddings", 1000, 3700, 185),
        ("embeddings", 1000, 3700, 185),
        ("embeddings", 1000, 3700, 185),
        ("embeddings", 1000, 5000, 500),
    ]
    assert world.database.read_and_wait(kept.paid, world.network, since_ms=0, most=4)[1], "the one unpaid counts, too"

    # Whoever changes a version afterwards is found by what was granted and paid under it.
    changed = update(tariff_rows).values(rates={"prices": {"embeddings": [4000, 1000]}, "fee_ppm": 100_000, "note": ""})
    world.database.write_and_wait(lambda store: store.run(changed))
    wrong = world.verify().wrong
    assert wrong is not None
    assert (wrong.table, wrong.row, wrong.found, wrong.expected) == ("permits", granted.permit, 5000, 4000)
    world.database.close()


def test_a_permit_that_was_placed_by_old_prices_is_not_granted_by_them(place):
    world = World(place)
    wanted = world.wanted(world.bob)
    publish(world, 5_000, 50_000)
    with pytest.raises(EpochMoved):
        world.database.write_and_wait(grant, wanted, world.moment)
    assert world.balance(world.ann).held == 0
    world.database.close()


def _by(permit: Permit, price: Price) -> Permit:
    return msgspec.structs.replace(permit, price=price)


# --- the coordinator --------------------------------------------------------------------------------------------------


async def test_from_the_first_version_to_the_third(place, tmp_path):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
        path, began_ms = f"/v1/networks/{network}/tariff", bench.coordinator.parts.snapshot.networks[network].created_ms
        first = (await bench.get(path, ben)).json()
        assert (first["version"], first["fee_ppm"], first["since_ms"], first["current"]) == (1, 50_000, began_ms, True)
        assert first["prices"] == [
            {"workload": "chat", "price_micro": 160_000, "price_per": 1000},
            {"workload": "embeddings", "price_micro": 3700, "price_per": 1000},
            {"workload": "ocr", "price_micro": 37_500, "price_per": 1},
        ]

        async def put(who, body, **headers):
            answer = await bench.http.put(path, json=body, headers={**who.headers, **headers})
            return answer.status_code, answer.json()

        draft = {**DEARER, "base_version": 1, "note": "the power bill \x1b[31m"}
        status, refused = await put(ben, draft)
        assert (status, refused["error"]["code"]) == (403, "members.not_allowed")
        bench.clock.forward(60)
        once = {"idempotency-key": an_id()}
        assert await put(ann, draft, **once) == (200, {"version": 2})
        assert await put(ann, draft, **once) == (200, {"version": 2}), "said again it is the same act"
        status, refused = await put(ann, draft)
        assert (status, refused["error"]["code"]) == (409, "tariff.stale")
        assert (await put(ann, {**draft, "note": "another"}, **once))[0] == 422
        new = {"prices": [{"workload": "knitting", "price_micro": 5, "price_per": 60}], "fee_ppm": 0, "base_version": 2}
        assert await put(ann, new) == (200, {"version": 3})

        for _ in range(2):  # and after a restart
            settings = (await bench.get(f"/v1/networks/{network}/settings", ben)).json()["tariff"]
            now = (await bench.get(path, ben)).json()
            assert (settings["version"], settings["fee_ppm"]) == (3, 0)
            assert settings["since_ms"] == now["since_ms"] > began_ms
            assert settings["prices"] == now["prices"]
            assert {one["workload"]: one["price_micro"] for one in now["prices"]} == {
                "chat": 160_000, "embeddings": 7400, "knitting": 5, "ocr": 37_500,
            }  # fmt: skip
            listed = (await bench.get(f"{path}/versions", ben)).json()["versions"]
            assert [(one["version"], one.get("name"), one.get("current", False)) for one in listed] == [
                (3, "Ann", True), (2, "Ann", False), (1, None, False),
            ]  # fmt: skip
            assert listed[1]["note"].startswith("the power bill") and "\x1b" not in listed[1]["note"]
            for version, micro in ((1, 3700), (2, 7400)):
                found = (await bench.get(f"{path}?version={version}", ben)).json()
                assert {one["price_micro"] for one in found["prices"] if one["workload"] == "embeddings"} == {micro}
            assert (await bench.get(f"{path}?version=4", ben)).json()["error"]["code"] == "tariff.no_version"
            page = (await bench.get(f"{path}/versions?limit=1", ben)).json()
            assert len(page["versions"]) == 1
            rest = (await bench.get(f"{path}/versions?cursor={page['cursor']}", ben)).json()
            assert [one["version"] for one in rest["versions"]] == [2, 1]
            await bench.coordinator.start()
        decisions = (await bench.get(f"/v1/networks/{network}/decisions", ben)).json()["decisions"]
        published = [one for one in decisions if one["kind"] == "tariff.publish"]
        assert [one["subject"] for one in published] == ["3", "2"]
        assert published[1]["facts"]["prices"] == {"embeddings": [7400, 1000]}, "what it changed"


BAD = [
    ({"prices": [{"workload": "chat", "price_micro": -1}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 0}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 2**53}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 10**400}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 5, "price_per": 1}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "Chat!", "price_micro": 5}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 5}, {"workload": "chat", "price_micro": 6}]}, "tariff.bad_price"),
    ({"prices": [{"workload": "chat", "price_micro": 5.5}]}, "request.invalid"),
    ({"prices": [{"workload": "chat", "price_micro": "5"}]}, "request.invalid"),
    ({"prices": [{"workload": "chat", "price_micro": True}]}, "request.invalid"),
    ({"prices": [{"workload": "chat"}]}, "request.invalid"),
    ({"prices": [{"workload": f"x{number}", "price_micro": 5} for number in range(65)]}, "request.invalid"),
    ({"price": []}, "request.invalid"),
    ({"fee_ppm": -1}, "tariff.bad_fee"),
    ({"fee_ppm": 500_001}, "tariff.bad_fee"),
    ({"fee_ppm": 10**400}, "tariff.bad_fee"),
    ({}, "tariff.same"),
    ({"prices": [{"workload": "chat", "price_micro": 160_000}]}, "tariff.same"),
]


async def test_bad_prices_are_refused_in_words_and_change_nothing(place, tmp_path):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        path = f"/v1/networks/{network}/tariff"
        for body, code in BAD:
            for method, where, more in (("PUT", path, {"base_version": 1}), ("POST", f"{path}/try", {})):
                headers = {**ann.headers, "content-type": "application/json"}
                answer = await bench.http.request(method, where, content=json.dumps({**body, **more}), headers=headers)
                said = answer.json()["error"]
                assert (answer.status_code, said["code"]) == (400, code), (method, body, answer.text[:300])
                assert len(answer.text) < 1500
        for base in (0, 2, 2**31 - 1):
            answer = await bench.http.put(path, json={**DEARER, "base_version": base}, headers=ann.headers)
            assert answer.json()["error"]["code"] == "tariff.stale"
        for base in (-1, 2**31, 2**70, 1.5, None):
            answer = await bench.http.put(path, json={**DEARER, "base_version": base}, headers=ann.headers)
            assert answer.json()["error"]["code"] == "request.invalid"
        assert len((await bench.get(f"{path}/versions", ann)).json()["versions"]) == 1


async def test_of_many_admins_at_once_one_publishes(place, tmp_path):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        path = f"/v1/networks/{network}/tariff"
        bodies = [
            {"prices": [{"workload": "ocr", "price_micro": 100 + number}], "base_version": 1} for number in range(16)
        ]
        answers = await asyncio.gather(*(bench.http.put(path, json=body, headers=ann.headers) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
        [won] = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200]
        now = (await bench.get(path, ann)).json()
        assert (now["version"], now["prices"][-1]["price_micro"]) == (2, won["prices"][0]["price_micro"])


async def test_prices_that_change_while_a_job_is_placed_are_those_of_its_permit(place, tmp_path):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
        asker, worker = await bench.device(network, ann, "asker", NO_MODEL), await bench.device(network, ben, "worker")
        asking, _working = await bench.linked(asker), await bench.linked(worker)
        settings = {"permits_per_member": 5}
        await bench.http.put(f"/v1/networks/{network}/settings", json=settings, headers=ann.headers)
        database, placing, go_on = bench.coordinator.parts.database, asyncio.Event(), asyncio.Event()
        read = database.read

        async def held(act, *args, **kwargs):
            if act is permits.open_of and not placing.is_set():
                placing.set()
                await go_on.wait()
            return await read(act, *args, **kwargs)

        database.read = held
        asked = asyncio.create_task(bench.ask(asking))
        await placing.wait()
        answer = await bench.http.put(
            f"/v1/networks/{network}/tariff", json={**DEARER, "base_version": 1}, headers=ann.headers
        )
        assert answer.status_code == 200
        go_on.set()
        placed = await asked
        assert isinstance(placed, link.Placed), placed
        permit = signed.verify(placed.permit, Permit, bench.coordinator.parts.keys.public, network)
        assert (permit.price, permit.maximum) == (Price(2, 7400, 1000), 2220)
        balance = (await bench.get(f"/v1/networks/{network}/balance", ann)).json()
        assert balance["held"] == 2220, "what was placed by the old prices was not set aside"

        # Asked again, the same permit at the price that it was granted at.
        other = link.PermitRequest(request=an_id(), job=an_id(), spec=a_job())
        asking.say(other)
        first = await asking.hear_a(link.Placed, link.Refused)
        await bench.http.put(
            f"/v1/networks/{network}/tariff",
            json={"prices": [{"workload": "embeddings", "price_micro": 9}], "base_version": 2},
            headers=ann.headers,
        )
        asking.say(other)
        again = await asking.hear_a(link.Placed, link.Refused)
        keys = bench.coordinator.parts.keys.public
        assert signed.verify(again.permit, Permit, keys, network) == signed.verify(first.permit, Permit, keys, network)
        asking.say(link.EstimateRequest(an_id(), a_job()))
        estimated = await asking.hear_a(link.Estimated)
        assert (estimated.cost, estimated.tariff) == (3, 3)


async def test_the_dearest_prices_set_aside_no_more_than_is_counted_exactly(place, tmp_path):
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
        asker, worker = (
            await bench.device(network, ann, "asker", NO_MODEL),
            await bench.device(network, ben, "worker", FAST),
        )
        asking, _working = await bench.linked(asker), await bench.linked(worker)
        dearest = {"prices": [{"workload": "embeddings", "price_micro": 10**9}], "base_version": 1}
        await bench.http.put(f"/v1/networks/{network}/tariff", json=dearest, headers=ann.headers)
        refused = await bench.ask(asking, a_job(10**10))
        assert refused.error["code"] == "permit.too_dear"
        series = await bench.ask(asking, a_job(10**6), job=None, jobs=100_000)
        permit = signed.verify(series.permit, Permit, bench.coordinator.parts.keys.public, network)
        assert 10**12 <= permit.maximum < 2**53
        assert (await bench.get(f"/v1/networks/{network}/balance", ann)).json()["held"] == permit.maximum


# --- with real agents -------------------------------------------------------------------------------------------------


async def test_prices_change_between_the_jobs_of_a_series_and_under_a_batch(tmp_path):
    async with a_town(tmp_path) as (town, ann, ben):
        asker, worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await in_series(asker, "x" * 1000)
        first = kinds(asker)[0].series
        cheap = await asker.run("y" * 1000)
        assert cheap.charge == 3700
        assert (await ann.do(tariffs.publish_tariff(town.network, DEARER, 1, "more"))).version == 2
        for device in (asker, worker):
            await until(lambda device=device: device.agent.parts.membership.price("embeddings") == (2, 7400, 1000))
        dear = await asker.run("z" * 1000)
        assert (dear.charge, first.retired) == (7400, True)
        with pytest.raises(MeshError) as refused:
            await asker.run("w" * 1000, max_cost=7399)
        assert refused.value.wire_code == "placement.nowhere", "the limit that a person gave holds"

        # A batch with a limit goes by what the network has it cost now.
        batch = await submit(asker, [b'{"text": "%s"}' % (b"a" * 1000 + b"%d" % number) for number in range(4)],
                             max_cost=4 * 7500)  # fmt: skip
        done = await ended(asker, batch)
        assert (done.state, done.ok, done.failed) == ("done", 4, 0)
        assert done.charge == sum(-(-(1000 + len(str(number))) * 7400 // 1000) for number in range(4))

        await asker.reported()
        await until(lambda: _versions(ann, town, {1, 2}))
        assert (await ann.do(calls.verify(town.network))).ok
        tried = await ann.do(tariffs.try_tariff(town.network, {"fee_ppm": 100_000}))
        [embeddings] = [one for one in tried.effects if one.workload == "embeddings"]
        found = (embeddings.jobs, embeddings.charged, embeddings.would)
        assert found == (8, 48_156, 59_278), "what was paid by both versions, and all of it by the newest"
        assert embeddings.would_earn == 53_354 < embeddings.would * 0.95, "less the fee that is asked for"


async def _versions(person, town, wanted):
    page = await person.do(calls.ledger(town.network))
    priced = {line.tariff_version: line.price_micro for line in page.lines if line.tariff_version is not None}
    return priced == {1: 3700, 2: 7400} and set(priced) == wanted


async def test_the_command_line_shows_tries_and_publishes(tmp_path, monkeypatch, capsys):
    async with a_town(tmp_path) as (town, ann, ben):
        homes = {}
        for person in (ann, ben):
            homes[person.name] = home = Home(tmp_path / f"cli-{person.name}")
            home.write(HomeRecord(coordinator=person.record, session=person.session, network=town.network))

        async def mesh(person, *words):
            monkeypatch.setenv("MESH_HOME", str(homes[person.name].path))
            capsys.readouterr()
            code = await asyncio.to_thread(perform, ["tariff", *words])
            said = capsys.readouterr()
            return code, said.out, said.err

        code, out, _ = await mesh(ben, "show")
        assert code == 0
        assert "Version 1, in force since" in out
        assert "as every network begins" in out
        assert [line.split() for line in out.splitlines() if line.startswith(("chat", "ocr"))] == [
            ["chat", "0.16", "kB", "of", "text"],
            ["ocr", "0.0375", "page"],
        ]
        code, out, _ = await mesh(ann, "set", "--price", "chat=0.2", "--fee", "10", "--dry-run")
        assert code == 0
        assert "No job was paid in the last 30 days" in out
        [chat] = [line for line in out.splitlines() if line.startswith("chat")]
        assert chat.split()[:7] == ["chat", "4.0", "kB", "of", "text", "0.64", "0.8"]
        assert "(+25%)" in chat
        assert "The fee would be 10 % in place of 5 %." in out
        assert "Nothing is published. Version 1 is in force." in out

        asker, _worker = await ann.device("ann-box", work=False), await ben.device("ben-box")
        await asker.run("a" * 1000)
        await asker.reported()
        await until(lambda: _priced(ann, town))
        code, out, _ = await mesh(ann, "set", "--price", "embeddings=0.0074", "--dry-run", "--json")
        [done] = [one for one in answered(out)["effects"] if one["workload"] == "embeddings"]
        assert (done["units"], done["before"], done["after"], done["jobs"]) == (1000, 3700, 7400, 1)
        assert (done["charged"], done["would"], done["earned"], done["would_earn"]) == (3700, 7400, 3515, 7030)
        code, out, _ = await mesh(ann, "set", "--price", "embeddings=0.0074", "--dry-run")
        assert "The job paid since" in out and "cost 0.0037 credits and would have cost 0.0074 (+100%)." in out
        assert "0.003515 was earned, and 0.00703 would have been" in out

        code, out, _ = await mesh(
            ann, "set", "--price", "chat=0.2", "--price", "knit=1/60", "--note", "bills", "--json"
        )
        assert (code, answered(out)["version"]) == (0, 2)
        code, out, _ = await mesh(ben, "history")
        assert [line.split()[0] for line in out.splitlines() if line.split()[:1] in (["1"], ["2"])] == ["2", "1"]
        assert "Ann" in out and "bills" in out and "chat 0.2" in out
        code, out, _ = await mesh(ben, "show", "--version", "1", "--json")
        assert {one["workload"]: one["price_micro"] for one in answered(out)["prices"]}["chat"] == 160_000
        for person, words, exit_code, error in [
            (ben, ["set", "--price", "chat=0.3"], 3, "members.not_allowed"),
            (ann, ["set", "--price", "chat=0.3", "--base", "1"], 1, "tariff.stale"),
            (ann, ["set", "--price", "chat=0"], 2, "tariff.bad_price"),
            (ann, ["set", "--price", "chat=1000.000001"], 2, "tariff.bad_price"),
            (ann, ["set", "--price", "chat=0.0000001"], 2, "cli.bad_credits"),
            (ann, ["set", "--price", "chat=1e99999999"], 2, "cli.bad_credits"),
            (ann, ["set", "--price", "chat=nan"], 2, "cli.bad_credits"),
            (ann, ["set", "--price", "chat=9007199255"], 2, "cli.bad_credits"),
            (ann, ["set", "--price", "chat"], 2, "usage.price"),
            (ann, ["set", "--price", "knit=1/x"], 2, "usage.price"),
            (ann, ["set", "--fee", "x"], 2, "usage.fee"),
            (ann, ["set", "--fee", "nan"], 2, "usage.fee"),
            (ann, ["set", "--fee", "51"], 2, "tariff.bad_fee"),
            (ann, ["set"], 2, "usage.invalid"),
            (ann, ["show", "--version", "9"], 1, "tariff.no_version"),
        ]:
            code, out, err = await mesh(person, *words, "--json")
            assert (code, answered(out)["error"]["code"]) == (exit_code, error), (words, out, err)


def answered(out):
    """The object that a command printed; the programs in this process print what they log beside it."""
    [said] = [line for line in out.splitlines() if line.startswith("{")]
    return json.loads(said)


async def _priced(person, town):
    return any(line.units for line in (await person.do(calls.ledger(town.network))).lines)
