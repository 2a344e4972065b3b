"""Pages of the ledger, however narrowed down, on each engine: what a plain look through all lines finds."""

import itertools
import random

import pytest

from coordinators import a_coordinator
from engines import ENGINES
from mesh.coordinator.keeping.sealer import Sealer
from mesh.coordinator.store.ledger import About, Books
from mesh.credits import transfers

pytestmark = pytest.mark.anyio
POSTINGS = 120


async def town(bench):
    """A ledger of many kinds, between three people with a device each, over three days; sealed but for its end."""
    ann = await bench.claim()
    network = await bench.network(ann)
    people = [ann, *[await bench.sign_in(await bench.invite(network, ann, "member"), name) for name in ("Bob", "Cyd")]]
    devices = [(await bench.device(network, one, one.name.lower())).id for one in people]
    chosen = random.Random(5)

    def fill(store, at):
        moment = bench.coordinator.parts.moment()
        books = Books(store, network, moment.now_ms, moment.new_id)
        one, two = chosen.sample(range(3), 2)
        if at % 10 == 0:
            gift = About(business=f"gift:{at}", earner=people[one].member, approver=ann.member, reason="=1+1")
            books.post(transfers.give(people[one].member, 7), gift)
        else:
            whose = (people[one].member, people[two].member)
            about = About(f"job:{at}", *whose, devices[one], devices[two], units=1, price_micro=100, price_per=1)
            books.post(transfers.pay(*whose, amount=100, fee=5, waits=at % 3 == 0), about)
        books.flush()

    for at in range(POSTINGS):
        await bench.coordinator.parts.database.write(fill, at)
        if at in (7, 3 * POSTINGS // 4):
            await Sealer(bench.coordinator.parts).once()
        bench.clock.forward(20 if at % 5 else 10_720)
    return network, people, devices


async def walked(bench, path, person, limit):
    """All lines of a query, page by page."""
    found, cursor = [], ""
    while True:
        page = (await bench.get(f"{path}&limit={limit}{cursor}", person)).json()
        found += page["lines"]
        if page["cursor"] is None:
            return found
        assert len(page["lines"]) >= limit
        cursor = f"&cursor={page['cursor']}"


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_way_to_narrow_down_finds_what_a_look_through_all_lines_finds(engine, request, tmp_path):
    place = request.getfixturevalue(engine)(tmp_path)
    async with a_coordinator(tmp_path, where=place.where) as bench:
        network, people, devices = await town(bench)
        path = f"/v1/networks/{network}/ledger?"
        whole = await walked(bench, path, people[0], 500)
        assert len({line["posting"] for line in whole}) == POSTINGS
        times = sorted(line["time_ms"] for line in whole)
        since, until = times[len(times) // 3], times[2 * len(times) // 3]
        for member, device, kind, timed in itertools.product(
            ("", people[1].member), ("", devices[2]), ("", "settle", "admin"), (False, True)
        ):
            expected = [
                line
                for line in whole
                if (not member or line["member"] == member)
                and (not device or device in (line["requester"], line["worker"]))
                and (not kind or line["kind"] == kind)
                and (not timed or since <= line["time_ms"] < until)
            ]
            asked = {"member": member, "device": device, "kind": kind}
            asked |= {"since_ms": since, "until_ms": until} if timed else {}
            query = path + "&".join(f"{name}={value}" for name, value in asked.items())
            found = await walked(bench, query, people[0], 7)
            keys = ("posting", "account", "member", "amount")
            assert [[line[key] for key in keys] for line in found] == [[one[key] for key in keys] for one in expected]


@pytest.mark.parametrize("engine", ENGINES)
async def test_each_of_ones_own_lines_says_what_the_account_had_then(engine, request, tmp_path):
    place = request.getfixturevalue(engine)(tmp_path)
    async with a_coordinator(tmp_path, where=place.where) as bench:
        network, (ann, bob, _), _ = await town(bench)
        path = f"/v1/networks/{network}/ledger?"
        mine = await walked(bench, path, bob, 9)
        assert {line["member"] for line in mine} == {bob.member}
        for account in ("balance", "pending"):
            had = 0
            for line in reversed([line for line in mine if line["account"] == account]):
                had += line["amount"]
                assert line["balance"] == had
        assert all(line["balance"] is None for line in await walked(bench, path, ann, 500))
        theirs = await bench.get(f"{path}member={ann.member}", bob)
        assert (theirs.status_code, theirs.json()["error"]["code"]) == (403, "members.not_allowed")
        for wrong in ("kind=gift", "since_ms=-1", "limit=0", "limit=100000", "until_ms=x"):
            assert (await bench.get(path + wrong, bob)).json()["error"]["code"] == "request.invalid", wrong
