"""Charts of the ledger, on each engine: what adding up the lines one by one says, and nobody else's."""

from collections import Counter

import pytest

from coordinators import a_coordinator
from engines import ENGINES
from programs.test_ledger_pages import town, walked

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000


def added(lines, by, since_ms, step_ms):
    """Earned and spent by (who, step), from the lines themselves."""
    earned, spent = Counter(), Counter()
    for line in lines:
        step = (line["time_ms"] - since_ms) // step_ms
        if line["member"] is None or step < 0:
            continue
        if line["amount"] > 0 and (by == "member" or line["worker"]):
            earned[line["member"] if by == "member" else line["worker"], step] += line["amount"]
        if line["amount"] < 0 and (by == "member" or line["requester"]):
            spent[line["member"] if by == "member" else line["requester"], step] -= line["amount"]
    return earned, spent


def drawn(chart):
    """The same of a chart."""
    sides = ("earned", "spent")
    found = {side: Counter() for side in sides}
    for one in chart["series"]:
        for side in sides:
            assert len(one[side]) == chart["steps"]
            found[side].update({(one["who"], at): amount for at, amount in enumerate(one[side]) if amount})
    return found["earned"], found["spent"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_charts_say_what_adding_up_the_lines_says(engine, request, tmp_path):
    place = request.getfixturevalue(engine)(tmp_path)
    async with a_coordinator(tmp_path, where=place.where) as bench:
        network, (ann, bob, _), devices = await town(bench)
        path = f"/v1/networks/{network}/ledger"
        times = sorted(line["time_ms"] for line in await walked(bench, f"{path}?", ann, 500))
        middle = f"since_ms={times[40]}&until_ms={times[-40]}"
        for by in ("member", "device"):
            for narrowed in ("", f"member={bob.member}", f"device={devices[2]}&kind=settle", middle, "kind=admin"):
                chart = (await bench.get(f"{path}/chart?by={by}&{narrowed}", ann)).json()
                lines = await walked(bench, f"{path}?{narrowed}", ann, 500)
                assert drawn(chart) == added(lines, by, chart["since_ms"], chart["step_ms"]), (by, narrowed)
                assert chart["steps"] <= 124
        whole = (await bench.get(f"{path}/chart", ann)).json()
        assert (whole["steps"], whole["step_ms"], whole["more"]) == (30, DAY_MS, 0)
        moved = [sum(one["earned"]) + sum(one["spent"]) for one in whole["series"]]
        assert len(moved) == 3 and moved == sorted(moved, reverse=True), "who moved most comes first"
        mine = (await bench.get(f"{path}/chart", bob)).json()
        assert [one["who"] for one in mine["series"]] == [bob.member]
        theirs = await bench.get(f"{path}/chart?member={ann.member}", bob)
        assert (theirs.status_code, theirs.json()["error"]["code"]) == (403, "members.not_allowed")


async def test_a_chart_has_steps_that_fit_its_time(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        network, (ann, *_), _ = await town(bench)
        path, now = f"/v1/networks/{network}/ledger/chart", bench.clock.now_ms
        for since_ms, hours in ((now - DAY_MS, 1), (now - 90 * DAY_MS, 24), (now - 500 * DAY_MS, 168), (1, 672)):
            chart = (await bench.get(f"{path}?since_ms={since_ms}", ann)).json()
            assert chart["step_ms"] == hours * 3_600_000
            assert chart["steps"] <= 124 and chart["since_ms"] + chart["steps"] * chart["step_ms"] > now
            assert len(chart["series"]) == 3
        for odd in ("since_ms=9&until_ms=3", "until_ms=0", f"since_ms={now + DAY_MS}", f"since_ms={2**47}"):
            empty = await bench.get(f"{path}?{odd}", ann)
            assert (empty.status_code, empty.json()["series"]) == (200, []), odd
        for wrong in ("by=nobody", "kind=gift", "since_ms=-1"):
            assert (await bench.get(f"{path}?{wrong}", ann)).json()["error"]["code"] == "request.invalid", wrong
