"""The relay as a process: its parent's words, the list it keeps, and its memory under a crowd of strangers."""

import asyncio
import json
import socket
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from nacl.signing import SigningKey

from mesh.ids import DeviceKey
from mesh.protocol import link
from mesh.protocol.link import Admission, Admissions
from mesh.relay.admitted import SERVES_ALONE_S, AdmittedKeys
from mesh.relay.months import Months
from relay_client import Denied, a_key, connected, public

pytestmark = pytest.mark.anyio

A, B = a_key("a"), a_key("b")
LIMIT_S = 30.0
NOT_A_KEY = b'{"heard_at_ms":9000000000000,"admissions":[{"key":"zz","networks":[1]}]}'


def named(*keys: SigningKey, networks: tuple[int, ...] = (1,)) -> tuple[Admission, ...]:
    return tuple(Admission(DeviceKey(public(key).hex()), networks) for key in keys)


class Child:
    """A relay process."""

    def __init__(self, process: Process, first: dict[str, object]) -> None:
        self.process = process
        self.first = first
        self.url = str(first.get("url"))

    async def say(self, news: Admissions) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(link.encode(news) + b"\n")
        await self.process.stdin.drain()

    async def over(self) -> int:
        """Close its stdin and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(LIMIT_S):
            return await self.process.wait()


@asynccontextmanager
async def a_child(config: object) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "mesh.relay.main", stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(config).encode() + b"\n")
        async with asyncio.timeout(LIMIT_S):
            yield Child(process, json.loads(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # its pipes, before the loop ends


async def admitted_soon(child: Child, key: SigningKey) -> None:
    """Connect as soon as the relay has taken the news."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                async with connected(child.url, key) as client:
                    assert await client.heard() == []
                    return
            except Denied:
                await asyncio.sleep(0.01)


async def test_it_listens_takes_news_and_ends_with_its_parent(tmp_path: Path) -> None:
    async with a_child({"folder": str(tmp_path / "relay")}) as child:
        assert child.first["event"] == "ready"
        assert child.url.startswith("http://127.0.0.1:")
        await child.say(Admissions(named(A), full=True))
        await admitted_soon(child, A)
        async with connected(child.url, A) as a:
            await child.say(Admissions(named(A, networks=())))
            await a.ended()
        assert await child.over() == 0


async def test_a_public_url_is_what_it_announces(tmp_path: Path) -> None:
    async with a_child({"folder": str(tmp_path), "public_url": "https://relay.example"}) as child:
        assert (child.first["event"], child.url) == ("ready", "https://relay.example")
        assert str(child.first["observer"]).startswith("relay.example:")


@pytest.mark.parametrize("config", [{"fodler": "x"}, {"folder": "x", "port": 65536}, {"folder": 7}, []])
async def test_a_configuration_that_is_none_is_refused_with_a_code(config: object) -> None:
    async with a_child(config) as child:
        assert failed_with(child) == "relay.config"
        assert await child.over() == 1


async def test_a_taken_port_is_refused_with_a_code(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with a_child({"folder": str(tmp_path), "port": port}) as child:
            assert failed_with(child) == "relay.cannot_listen"
            assert await child.over() == 1


def failed_with(child: Child) -> object:
    """The code of the error that a child printed instead of being ready."""
    error = child.first["error"]
    assert isinstance(error, dict)
    assert child.first["event"] == "failed"
    return error["code"]


async def test_the_last_list_serves_while_the_coordinator_is_away(tmp_path: Path) -> None:
    config = {"folder": str(tmp_path)}
    async with a_child(config) as child:
        await child.say(Admissions(named(A, B), full=True))
        await child.say(Admissions(named(B, networks=())))
        await child.say(Admissions(named(a_key("c"))))
        await admitted_soon(child, a_key("c"))  # each news is saved before the next is taken
        child.process.kill()
    assert stat.S_IMODE((tmp_path / "admissions.json").stat().st_mode) == 0o600
    async with a_child(config) as child:
        async with connected(child.url, A) as a:
            assert await a.heard() == []
        with pytest.raises(Denied):
            async with connected(child.url, B):
                pass


def test_the_list_serves_a_day_and_no_longer(tmp_path: Path) -> None:
    now = [1_000_000.0]
    path = tmp_path / "new folder" / "admissions.json"
    first = AdmittedKeys(path, wall=lambda: now[0])
    assert first.load() == []
    first.take(Admissions(named(A), full=True))
    first.take(Admissions(named(B)))
    now[0] += 3600
    first.still_heard()  # nothing changed, and the coordinator was there
    now[0] += SERVES_ALONE_S - 1
    assert AdmittedKeys(path, wall=lambda: now[0]).load() == [*named(A), *named(B)]
    assert not first.expired
    now[0] += 2
    assert first.expired
    assert AdmittedKeys(path, wall=lambda: now[0]).load() == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xff", b'{"heard_at_ms":1,"admissions":[1]}', NOT_A_KEY])
def test_an_unreadable_list_is_an_empty_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "admissions.json").write_bytes(content)
    assert AdmittedKeys(tmp_path / "admissions.json").load() == []


def test_a_networks_month_is_counted_over_restarts_and_limited(tmp_path: Path) -> None:
    now = [1_795_000_000.0]  # in November 2026
    path = tmp_path / "months.json"
    first = Months(path, 1000, wall=lambda: now[0])
    assert first.look(Counter({1: 600, 2: 10})) == frozenset()
    assert first.look(Counter({1: 700, 2: 20})) == frozenset()
    first.save()
    second = Months(path, 1000, wall=lambda: now[0])
    second.load()
    assert second.look(Counter({1: 299})) == frozenset()
    assert second.look(Counter({1: 300, 2: 900})) == {1}
    now[0] += 31 * 86400
    assert second.look(Counter({1: 301, 2: 900})) == frozenset()
    assert Months(path, None).look(Counter({1: 10**15})) == frozenset()


LEFT_OF_EACH = 1024
"""Bytes that would be left of a stranger if anything were: the least object with its key and address is as large."""


async def knock(url: str, count: int) -> None:
    """So many strangers are refused, eight at a time."""
    waiting = list(range(count))

    async def some() -> None:
        while waiting:
            number = waiting.pop()
            with pytest.raises(Denied):
                async with connected(url, a_key(f"stranger {number}")):
                    pass

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(some())


async def test_strangers_leave_nothing_behind(tmp_path: Path) -> None:
    async with a_child({"folder": str(tmp_path)}) as child:
        await child.say(Admissions(named(A), full=True))
        seen = psutil.Process(child.process.pid)
        await knock(child.url, 300)
        files, grown = seen.num_fds(), [LEFT_OF_EACH * 200]
        # Whatever is left of a stranger grows in every round; what the allocator keeps for itself does not.
        while min(grown) >= LEFT_OF_EACH * 200 and len(grown) < 8:
            before = seen.memory_info().rss
            await knock(child.url, 200)
            grown.append(seen.memory_info().rss - before)
        assert min(grown) < LEFT_OF_EACH * 200, f"every round grew: {grown}"
        assert seen.num_fds() <= files + 8  # those whose end is still on its way
        async with connected(child.url, A) as a:
            assert await a.heard() == []
