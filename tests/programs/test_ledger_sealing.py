"""The sealer and the chain: whatever is edited, deleted, put in or cut off is found, and named.

Touches: files (a database), threads.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from coordinators import Bench, a_coordinator, an_id
from engines import ENGINES
from ledger_world import World
from mesh.coordinator.keeping.exports import cell
from mesh.coordinator.store import audit, sealing
from mesh.ids import ulid
from mesh.protocol import link, signed
from mesh.protocol.papers import LedgerHead, State
from mesh.sdk.heads import Heads, HistoryChanged, KeptHead


@pytest.fixture(params=ENGINES[:2])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made = World(request.getfixturevalue(request.param)(tmp_path))
    yield made
    made.database.close()


def work(world: World, jobs: int) -> None:
    for _ in range(jobs):
        granted = world.grant(world.bob)
        world.report(world.used(granted, world.bob, claim=world.claim(granted, world.bob)))


def seal(world: World) -> sealing.Head | None:
    def sign(number: int, hash_: str) -> str:
        return f"{number}.{hash_}"

    return world.database.write_and_wait(sealing.seal, world.network, sign, world.now_ms)  # type: ignore[arg-type]


def sql(world: World, *statements: str) -> None:
    world.database.write_and_wait(lambda store: [store.run(text(one)) for one in statements])


def test_what_is_posted_is_numbered_without_gaps_and_the_head_covers_it(world: World) -> None:
    work(world, 3)
    first = seal(world)
    assert first is not None
    assert first.number == 3
    assert first.signed == f"3.{first.hash}"
    work(world, 2)
    proof = world.verify()
    assert (proof.ok, proof.sealed, proof.unsealed) == (True, 3, 2)
    second = seal(world)
    assert second is not None
    assert second.number == 5
    assert seal(world) is None, "nothing new, nothing sealed"
    numbers = [row.sealed_number for row in world.rows("select sealed_number from postings order by id")]
    assert numbers == [1, 2, 3, 4, 5]
    proof = world.database.read_and_wait(ledger_verify, world, 3)
    assert (proof.ok, proof.sealed, proof.unsealed, proof.at) == (True, 5, 0, first.hash)


def ledger_verify(store: Any, world: World, number: int) -> Any:
    from mesh.coordinator.acts import ledger

    return ledger.verify(store, world.network, number=number)  # type: ignore[arg-type]


THIRD = "(select id from postings where sealed_number = 3)"
TAMPERING = {
    "an amount, on both sides": (f"update entries set amount = amount * 2 where posting = {THIRD}",),
    "who earned it": ("update postings set earner = payer where sealed_number = 3",),
    "when": ("update postings set posted_ms = posted_ms - 1 where sealed_number = 3",),
    "for which units": ("update postings set units = 1 where sealed_number = 3",),
    "on which receipt": ("update postings set receipt = null where sealed_number = 3",),
    "deleted": (f"delete from entries where posting = {THIRD}", f"delete from postings where id = {THIRD}"),
    "its hash": ("update postings set sealed_hash = 'f' where sealed_number = 3",),
    "unsealed": ("update postings set sealed_number = null, sealed_hash = null where sealed_number = 3",),
    "swapped with the next": (
        "update postings set sealed_number = -4 where sealed_number = 3",
        "update postings set sealed_number = 3 where sealed_number = 4",
        "update postings set sealed_number = 4 where sealed_number = -4",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_whatever_is_done_to_a_sealed_posting_is_found_where_it_is(world: World, what: str) -> None:
    work(world, 5)
    seal(world)
    assert world.verify().ok
    sql(world, *TAMPERING[what])
    wrong = world.verify().wrong
    assert wrong is not None
    assert (wrong.invariant, wrong.found) == (audit.CHAINED, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sum_that_is_not_its_entries_is_found(engine: str, request: Any, tmp_path: Path) -> None:
    world = World(request.getfixturevalue(engine)(tmp_path))
    work(world, 3)
    seal(world)
    work(world, 2)
    assert world.verify().ok, "what is not sealed is in no sum yet"
    seal(world)
    assert world.verify().ok, "and is added to those that are there"
    account = "(select min(account) from ledger_hours)"
    for statement in (
        f"update ledger_hours set amount = amount + 1 where account = {account}",
        f"update ledger_hours set amount = amount - 1, spent = spent + 1 where account = {account}",
        f"update ledger_hours set spent = spent - 1, worker = '' where account = {account}",
        f"delete from ledger_hours where account = {account}",
    ):
        sql(world, statement)
        wrong = world.verify().wrong
        assert wrong is not None
        assert (wrong.invariant, wrong.table) == ("an hour's sums are those of its entries", "ledger_hours")
        assert wrong.found != wrong.expected
    world.database.close()


def test_a_cut_end_with_its_head_set_back_is_found_by_who_kept_a_head(world: World, tmp_path: Path) -> None:
    work(world, 3)
    before = seal(world)
    work(world, 2)
    kept = seal(world)
    assert before is not None and kept is not None
    last = "(select id from postings where sealed_number > 3)"
    sql(
        world,
        f"delete from entries where posting in {last}",
        f"delete from postings where id in {last}",
        f"update ledger_heads set number = 3, hash = '{before.hash}', signed = '{before.signed}'",
    )
    proof = world.database.read_and_wait(ledger_verify, world, kept.number)
    assert proof.wrong is None or proof.wrong.invariant != audit.CHAINED, "by itself the rest is a whole chain"
    assert proof.at is None, "what was kept is there no more"
    work(world, 2)
    seal(world)
    rewritten = world.database.read_and_wait(ledger_verify, world, kept.number)
    assert rewritten.at not in (None, kept.hash), "and its number now has another hash"


def test_the_head_itself_and_numbers_beyond_it_are_looked_at(world: World) -> None:
    work(world, 4)
    seal(world)
    for statement, number in (
        ("update ledger_heads set hash = 'f'", 4),
        ("update ledger_heads set number = 3, hash = (select sealed_hash from postings where sealed_number = 3)", 4),
    ):
        sql(world, statement)
        wrong = world.verify().wrong
        assert wrong is not None
        assert (wrong.invariant, wrong.found) == (audit.CHAINED, number)


def test_a_posting_that_was_committed_late_is_sealed_by_the_next_round(world: World) -> None:
    """Its id is below that of one which is sealed already, as that of a transaction which slept before its commit."""
    late = world.grant(world.bob)
    answer = world.used(late, world.bob, claim=world.claim(late, world.bob))
    earlier = [ulid(1, bytes([number] * 10)) for number in range(200, 0, -1)]
    work(world, 2)
    assert seal(world) is not None
    growing, world.ids = world.ids, earlier.pop  # type: ignore[assignment]
    world.report(answer)
    world.ids = growing
    head = seal(world)
    assert head is not None
    assert head.number == 3
    rows = world.rows("select id, job, sealed_number from postings order by id")
    assert [(row.job == late.job, row.sealed_number) for row in rows] == [(True, 3), (False, 1), (False, 2)]
    assert world.verify().ok


def test_a_home_never_lets_go_of_what_it_has_seen(tmp_path: Path) -> None:
    heads = Heads(tmp_path / "heads.json")
    assert heads.of("N") is None
    assert heads.take("N", KeptHead(5, "a"))  # type: ignore[arg-type]
    assert not heads.take("N", KeptHead(5, "a"))  # type: ignore[arg-type]
    assert not heads.take("N", KeptHead(4, "b"))  # type: ignore[arg-type]
    with pytest.raises(HistoryChanged):
        heads.take("N", KeptHead(5, "b"))  # type: ignore[arg-type]
    heads.write()
    again = Heads(tmp_path / "heads.json")
    assert again.of("N") == KeptHead(5, "a")
    (tmp_path / "heads.json").write_bytes(b"{")
    assert Heads(tmp_path / "heads.json").of("N") is None


# --- on a coordinator ---------------------------------------------------------------------------------------------


async def paid_job(bench: Bench) -> tuple[Any, Any, str, Any]:
    """Ann asks, Bob's server works, both report; the ack, Ann, the network, and the reporting wire."""
    ann = await bench.claim()
    network = await bench.network(ann)
    bob = await bench.sign_in(await bench.invite(network, ann, "member"), "Bob")
    laptop = await bench.device(network, ann, "laptop")
    server = await bench.device(network, bob, "server")
    working, asking = await bench.linked(server), await bench.linked(laptop)
    from mesh.protocol.permit import Permit
    from mesh.protocol.receipt import Claim, Submit, Used
    from mesh.protocol.values import Routing

    placed = await bench.ask(asking, _spec(Routing("device", device=server.id)))
    assert isinstance(placed, link.Placed) and placed.permit is not None
    permit = signed.peek(placed.permit, Permit)
    at = {
        "network": network,
        "permit": permit.permit,
        "requester": laptop.id,
        "worker": server.id,
        "job": permit.job,
        "attempt": 1,
    }
    submit = signed.sign(
        Submit(**at, input_digest="d", maximum=permit.maximum, time_ms=bench.clock.now_ms), laptop.seed
    )
    done = Claim(
        **at, units=300, outcome="done", output_digest="d", started_ms=0, finished_ms=0, submit=submit, count=None
    )
    claim = signed.sign(done, server.seed)
    asking.say(link.Report(1, (signed.sign(Used(**at, units=300, claim=claim), laptop.seed),)))
    await asking.hear_a(link.ReportAck)
    await bench.coordinator.sealer.once()
    working.say(link.Report(2, (claim,)))
    ack = await working.hear_a(link.ReportAck)
    return ack, ann, network, asking


def _spec(routing: Any) -> Any:
    from coordinators import a_job

    return a_job(routing=routing)


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ENGINES)
async def test_devices_are_told_the_signed_head_with_every_ack_and_state(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    where = request.getfixturevalue(engine)(tmp_path).where
    async with a_coordinator(tmp_path, where=where) as bench:
        ack, ann, network, asking = await paid_job(bench)
        key = bench.coordinator.parts.snapshot.networks[network].key
        head = signed.verify(ack.head, LedgerHead, key, network)
        assert head.number == 1
        proof = (await bench.get(f"/v1/networks/{network}/ledger/verify?number=1", ann)).json()
        assert (proof["ok"], proof["sealed"], proof["unsealed"], proof["at"]) == (True, 1, 0, head.hash)
        assert proof["head"]["signed"] == ack.head
        await bench.device(network, ann, "tablet")
        invited = await bench.sign_in(await bench.invite(network, ann, "member"), "Eve")
        await bench.delete(f"/v1/networks/{network}/members/{invited.member}", ann)
        update = await asking.hear_a(link.StateUpdate)
        assert signed.verify(update.state, State, key, network).ledger_head == ack.head
    async with a_coordinator(tmp_path, where=where) as bench:
        assert bench.coordinator.parts.snapshot.heads[network] == ack.head, "also after a restart"


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ENGINES)
async def test_everything_is_exported_in_order_of_time_to_whom_it_concerns(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    async with a_coordinator(tmp_path, where=request.getfixturevalue(engine)(tmp_path).where) as bench:
        _, ann, network, _ = await paid_job(bench)
        base = f"/v1/networks/{network}/ledger/export"
        every = [json.loads(line) for line in (await bench.get(base, ann)).text.splitlines()]
        assert {one["event"] for one in every} == {"credits.spent", "credits.earned", "credits.fee", "job.started"}
        assert sum(one.get("amount_micro", 0) for one in every) == 0
        assert [one["time_ms"] for one in every] == sorted(one["time_ms"] for one in every)
        spent = next(one for one in every if one["event"] == "credits.spent")
        assert -spent["amount_micro"] == -(-spent["units"] * spent["price_micro"] // spent["price_per"])
        assert len(spent["receipt"]) == len(spent["sealed_hash"]) == 64
        only = [json.loads(line) for line in (await bench.get(f"{base}?event=job.started", ann)).text.splitlines()]
        assert [one["event"] for one in only] == ["job.started"]
        assert (await bench.get(f"{base}?until_ms=5", ann)).text == ""
        assert (await bench.get(f"{base}?device={an_id()}", ann)).text == ""
        table = list(csv.DictReader(io.StringIO((await bench.get(f"{base}?format=csv", ann)).text)))
        assert [row["event"] for row in table] == [one["event"] for one in every]
        assert {row["amount_micro"] for row in table if row["event"] == "credits.spent"} == {str(spent["amount_micro"])}
        eve = await bench.sign_in(await bench.invite(network, ann, "member"), "Eve")
        assert (await bench.get(base, eve)).text == "", "what does not concern her"
        assert (await bench.get(f"{base}?member={ann.member}", eve)).status_code == 403
        assert (await bench.get(f"{base}?event=nonsense", ann)).json()["error"]["code"] == "ledger.unknown_event"
        assert (await bench.get(f"{base}?format=xlsx", ann)).status_code == 400


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-2+3", "'-2+3"), ("@sum", "'@sum"), ("\t=1", "'\t=1"), ("\r=1", "'\r=1"),
        ("-5", "-5"), ("-0.25", "-0.25"), ("plain", "plain"), (-5, -5), (None, ""), ("-", "'-"), ("-١", "'-١"),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(value: object, shown: object) -> None:
    assert cell(value) == shown
