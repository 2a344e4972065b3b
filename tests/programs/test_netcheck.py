"""Measuring a coordinator and relays that misbehave: whatever answers, the check ends in time and says what it met."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh.agent import netcheck
from mesh.agent.netcheck import Known
from mesh.coordinator.tls import identity, server_context
from mesh.devices.facts import CoordinatorFacts, NetworkFacts
from mesh.ids import DeviceKey
from mesh.protocol.papers import RelayInfo
from mesh.sdk.home import CoordinatorRecord, HomeRecord

pytestmark = pytest.mark.anyio
KEY = DeviceKey("ab" * 32)
WHOLE_S = 20.0
"""It ends of itself within 10 s; the rest is for a machine that is busy."""
Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(speak: Speak, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of the test's own; the port."""
    open_ones: set[asyncio.StreamWriter] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


def answering(body: Callable[[], bytes], status: str = "200 OK") -> Speak:
    """Answer every request on a connection with a body made anew."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            content = body()
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
            await writer.drain()

    return speak


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything, answer nothing."""
    while await reader.read(1000):
        pass


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"x" * 65536)
        await writer.drain()


def about(offset_s: float = 0.0, key: str = KEY) -> Callable[[], bytes]:
    def body() -> bytes:
        return f'{{"version":"0.1.0","key":"{key}","time_ms":{int((time.time() - offset_s) * 1000)}}}'.encode()

    return body


async def measured(url: str, pin: str | None = None, relays: tuple[RelayInfo, ...] = ()) -> NetworkFacts:
    started = time.monotonic()
    record = HomeRecord(coordinator=CoordinatorRecord(url, KEY, pin))
    facts = await netcheck.measure(Known(record, relays))
    assert time.monotonic() - started < WHOLE_S
    return facts


async def coordinator(speak: Speak) -> CoordinatorFacts:
    async with serving(speak) as port:
        found = (await measured(f"http://127.0.0.1:{port}")).coordinator
    assert found is not None
    return found


@pytest.mark.parametrize("offset_s", [0.0, 90.0, -3600.0])
async def test_the_clock_is_measured_against_the_coordinators(offset_s: float) -> None:
    found = await coordinator(answering(about(offset_s)))
    assert found.failure is None and found.rtt_ms is not None and found.place == "loopback"
    assert found.clock_offset_s == pytest.approx(offset_s, abs=1.0)
    assert [knock.connect_ms is not None for knock in found.knocks] == [True]


async def test_another_coordinator_is_told_from_ours() -> None:
    assert (await coordinator(answering(about(key="cd" * 32)))).failure == "other_key"


@pytest.mark.parametrize(
    "speak",
    [answering(lambda: b"<html>"), answering(lambda: b"\xff"), answering(about(), "500 Oops"), endless],
    ids=["html", "bytes", "error", "endless"],
)
async def test_what_speaks_otherwise_is_no_coordinator(speak: Speak) -> None:
    assert (await coordinator(speak)).failure == "odd_answer"


async def test_a_silent_one_is_unreachable_in_time() -> None:
    found = await coordinator(silent)
    assert found.failure == "unreachable" and found.knocks[0].connect_ms is not None


async def test_nobody_there_is_unreachable() -> None:
    async with serving(silent) as port:
        pass
    found = (await measured(f"http://127.0.0.1:{port}")).coordinator
    assert found is not None and found.failure == "unreachable" and found.knocks[0].connect_ms is None


@pytest.mark.parametrize("url", ["https://no-such-host.invalid", f"https://{'a' * 300}.example", "https://a..b"])
async def test_an_address_that_leads_nowhere_is_unreachable(url: str) -> None:
    found = (await measured(url)).coordinator
    assert found is not None and found.failure == "unreachable"


async def test_a_certificate_is_pinned_wrong_or_trusted_by_nobody(tmp_path: Path) -> None:
    mine = identity(tmp_path)
    async with serving(answering(about()), server_context(mine.path)) as port:
        url = f"https://127.0.0.1:{port}"
        failures = []
        for pin in (mine.sha256, "00" * 32, None):
            found = (await measured(url, pin)).coordinator
            assert found is not None
            failures.append(found.failure)
    assert failures == [None, "wrong_certificate", "untrusted"]


async def test_of_several_addresses_the_one_that_answers_is_named(tmp_path: Path) -> None:
    mine = identity(tmp_path)
    async with (
        serving(answering(about()), server_context(mine.path)) as good,
        serving(silent) as bad,
    ):
        urls = [f"https://127.0.0.1:{port}" for port in (bad, good)]
        record = HomeRecord(coordinator=CoordinatorRecord(urls[0], KEY, mine.sha256, (urls[1],)))
        found = (await netcheck.measure(Known(record))).coordinator
    assert found is not None and found.failure is None and found.url == urls[1]
    answers = {knock.address: knock.connect_ms is not None for knock in found.knocks}
    assert answers == {f"127.0.0.1:{good}": True, f"127.0.0.1:{bad}": False}


async def test_relays_are_timed_and_silent_ones_left_untimed() -> None:
    async with serving(answering(lambda: b"")) as good, serving(silent) as bad, serving(endless) as wild:
        relays = tuple(RelayInfo(f"http://127.0.0.1:{port}") for port in (good, bad, wild))
        facts = await measured("http://127.0.0.1:1", None, relays)
    assert facts.relays is not None
    times = [relay.rtt_ms for relay in facts.relays]
    assert times[0] is not None and times[1] is None


async def test_observers_that_hang_do_not_hold_up_the_rest() -> None:
    async def never() -> dict[str, str]:
        await asyncio.sleep(3600)
        return {}

    started = time.monotonic()
    facts = await netcheck.measure(Known(HomeRecord(), (), ask_observers=never))
    assert time.monotonic() - started < WHOLE_S and facts.relays == ()
