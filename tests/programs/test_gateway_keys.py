"""Keys per program: their limits, how they outlive a restart, whose request goes next."""

import asyncio

import pytest

from agents import MODEL, a_home, a_town
from gateways import a_gateway, error_of
from mesh.agent.gateway.keys import BadKey, KeyBook, KeyExists, KeyKept, UnknownKey
from mesh.agent.gateway.limits import DAY_MS, DayIsSpent, Meter, TooManyAtOnce, TooManyRequests
from mesh.agent.gateway.turns import GatewayFull, Turns
from mesh.agent.store import Store
from mesh.sdk import control
from mesh.sdk.keys import CreateKey, GetKeys, KeyMade, Limits, RevokeKey
from waiting import LIMIT_S, until

pytestmark = pytest.mark.anyio
EMBED = {"model": MODEL, "input": "x"}


class Clock:
    def __init__(self):
        self.ms = 20_000 * DAY_MS + 1000

    def __call__(self):
        return self.ms


def test_requests_of_a_minute_are_counted_in_a_window_that_slides():
    meter = Meter(Limits(requests_per_minute=2))
    for at_ms in (0, 30_000):
        assert meter.admit(at_ms) is None
        meter.done()
    with pytest.raises(TooManyRequests) as refused:
        meter.admit(45_000)
    assert refused.value.facts["retry_after_s"] == 15
    meter.admit(60_000)
    with pytest.raises(TooManyRequests):
        meter.admit(60_001)


def test_requests_at_once_are_counted_until_they_end():
    meter = Meter(Limits(concurrent=2))
    meter.admit(0)
    meter.admit(0)
    with pytest.raises(TooManyAtOnce) as refused:
        meter.admit(0)
    assert refused.value.facts["retry_after_s"] > 0
    meter.done()
    meter.admit(0)
    assert meter.running == 2


def test_credits_of_a_day_bound_each_job_and_begin_anew_at_midnight():
    now_ms = 20_000 * DAY_MS + 1000
    meter = Meter(Limits(credits_per_day=100))
    assert meter.admit(now_ms) == 100
    meter.charged(70, now_ms)
    assert meter.admit(now_ms) == 30
    meter.charged(30, now_ms)
    with pytest.raises(DayIsSpent) as refused:
        meter.admit(now_ms)
    assert refused.value.facts["retry_after_s"] == (DAY_MS - 1000) / 1000
    assert meter.admit(now_ms + DAY_MS) == 100


def test_what_is_refused_is_not_counted():
    meter = Meter(Limits(requests_per_minute=1, concurrent=1))
    meter.admit(0)
    meter.done()
    for _ in range(5):
        with pytest.raises(TooManyRequests):
            meter.admit(1)
    assert meter.running == 0
    meter.admit(60_000)


async def test_a_key_is_made_used_listed_and_revoked(tmp_path):
    async with a_gateway(tmp_path) as served:
        made = await served.keys.answer(CreateKey("notes", Limits(requests_per_minute=60)))
        assert isinstance(made, KeyMade)
        assert made.key.startswith("meshkey_")
        mine = served.bearer(made.key)
        assert (await served.http.post("/v1/embeddings", json=EMBED, headers=mine)).status_code == 200
        assert (await served.http.post("/v1/embeddings", json=EMBED)).status_code == 200
        assert [ask.caller for ask in served.jobs.asked[-2:]] == ["key notes", "key default"], "they take turns by key"
        listed = {key.name: key for key in (await served.keys.answer(GetKeys())).keys}
        assert list(listed) == ["default", "notes"]
        assert made.key.startswith(listed["notes"].prefix)
        assert (listed["notes"].spent_today, listed["notes"].running) == (67, 0)
        assert made.key not in str(listed)
        for name, error in (("notes", KeyExists), ("default", KeyExists), ("Not a name", BadKey)):
            with pytest.raises(error):
                await served.keys.answer(CreateKey(name))
        with pytest.raises(BadKey):
            await served.keys.answer(CreateKey("zero", Limits(concurrent=0)))
        await served.keys.answer(RevokeKey("notes"))
        answer = await served.http.post("/v1/embeddings", json=EMBED, headers=mine)
        assert error_of(answer) == (401, "gateway.wrong_key")
        for name, error in (("notes", UnknownKey), ("default", KeyKept)):
            with pytest.raises(error):
                await served.keys.answer(RevokeKey(name))
        again = await served.keys.answer(CreateKey("notes"))
        assert again.key != made.key


async def test_limits_are_told_with_429_and_when_to_come_back(tmp_path):
    clock = Clock()
    async with a_gateway(tmp_path, clock=clock) as served:
        one = await served.keys.answer(CreateKey("one", Limits(requests_per_minute=1)))
        other = await served.keys.answer(CreateKey("other", Limits(concurrent=1, credits_per_day=100)))
        mine, theirs = served.bearer(one.key), served.bearer(other.key)
        assert (await served.http.post("/v1/embeddings", json=EMBED, headers=mine)).status_code == 200
        clock.ms += 50_000
        for path in ("/v1/embeddings", "/api/embed"):
            refused = await served.http.post(path, json=EMBED, headers=mine)
            told = (*error_of(refused), refused.headers["retry-after"])
            assert told == (429, "gateway.requests_per_minute", "10")
        assert (await served.http.get("/v1/models", headers=mine)).status_code == 200  # runs nothing
        served.jobs.gate.clear()
        first = asyncio.create_task(served.http.post("/v1/embeddings", json=EMBED, headers=theirs))
        await until(lambda: len(served.jobs.asked) == 2)
        refused = await served.http.post("/v1/embeddings", json=EMBED, headers=theirs)
        assert (*error_of(refused), refused.headers["retry-after"]) == (429, "gateway.concurrent", "1")
        served.jobs.gate.set()
        assert (await first).status_code == 200
        assert (await served.http.post("/v1/embeddings", json=EMBED, headers=theirs)).status_code == 200
        assert [ask.max_cost for ask in served.jobs.asked] == [None, 100, 33]
        refused = await served.http.post("/v1/embeddings", json=EMBED, headers=theirs)
        assert error_of(refused) == (429, "gateway.credits_per_day")


async def test_keys_and_what_they_spent_outlive_the_agent_and_only_their_hash_is_kept(tmp_path):
    home, clock = a_home(tmp_path), Clock()
    store = Store(home.agent_db)
    store.open()
    book = KeyBook(store, clock)
    await book.open()
    made = await book.answer(CreateKey("notes", Limits(credits_per_day=50)))
    opener = book.opener(made.key)
    opener.meter.admit(clock.ms)
    book.charged(opener, 20)
    await store.close()
    kept = b"".join(path.read_bytes() for path in home.path.glob("agent.db*"))
    assert made.key.encode() not in kept
    store = Store(home.agent_db)
    store.open()
    book = KeyBook(store, clock)
    await book.open()
    assert book.opener(made.key).meter.admit(clock.ms) == 30
    assert book.opener(made.key[:-1]) is None
    clock.ms += DAY_MS
    assert book.opener(made.key).meter.admit(clock.ms) == 50
    await store.close()


async def test_keys_take_turns_and_who_gives_up_leaves_no_gap():
    turns, order = Turns(at_once=1), []
    begun = asyncio.Event()

    async def one(key, name):
        async with turns.turn(key):
            begun.set()
            order.append(name)
            await asyncio.sleep(0)

    async with turns.turn("busy"):
        tasks = [asyncio.create_task(one("busy", f"busy-{number}")) for number in range(4)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(one("quiet", f"quiet-{number}")) for number in range(2)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["busy-0", "quiet-0", "busy-2", "quiet-1", "busy-3"]
    async with asyncio.timeout(LIMIT_S), turns.turn("late"):
        pass


async def test_a_turn_that_comes_to_somebody_who_has_just_gone_is_anothers():
    turns = Turns(at_once=1)
    entered = []

    async def one(key):
        async with turns.turn(key):
            entered.append(key)

    async with turns.turn("a"):
        gone, waits = asyncio.create_task(one("gone")), asyncio.create_task(one("waits"))
        await asyncio.sleep(0)
    gone.cancel()  # its turn was given just now
    await asyncio.gather(gone, waits, return_exceptions=True)
    assert entered == ["waits"]


async def test_only_so_many_may_wait():
    turns = Turns(at_once=1, waiting_max=1)

    async def one():
        async with turns.turn("k"):
            pass

    async with turns.turn("k"):
        waits = asyncio.create_task(one())
        await asyncio.sleep(0)
        with pytest.raises(GatewayFull) as refused:
            await one()
        assert refused.value.facts["retry_after_s"] > 0
    await waits


async def test_the_command_line_makes_keys_through_the_agent_and_a_gateway_key_opens_no_control(tmp_path):
    async with a_town(tmp_path) as (_, ann, _):
        device = await ann.device("box", start=False)
        await device.start(gateway=True)
        socket = device.home.control_socket
        made = await asyncio.to_thread(control.ask, socket, CreateKey("app"), 30.0)
        listed = await asyncio.to_thread(control.ask, socket, GetKeys(), 30.0)
        assert [key.name for key in listed.keys] == ["default", "app"]
        import httpx2

        bearer = {"authorization": f"Bearer {made.key}"}
        async with httpx2.AsyncClient(base_url=device.ready.gateway, headers=bearer, trust_env=False) as http:
            assert (await http.post("/v1/embeddings", json=EMBED)).status_code == 200
            for path in ("/keys", "/v1/keys", "/api/keys", "/control", "/v1/control", "/stop"):
                for method in ("GET", "POST", "DELETE"):
                    assert (await http.request(method, path, json={"c": "createkey", "name": "x"})).status_code == 404
        await asyncio.to_thread(control.ask, socket, RevokeKey("app"), 30.0)
        assert [key.name for key in (await asyncio.to_thread(control.ask, socket, GetKeys(), 30.0)).keys] == ["default"]
