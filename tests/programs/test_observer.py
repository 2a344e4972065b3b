"""The observer tells admitted devices where it sees them, signs that, and says nothing to anybody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from mesh.agent.peers.reach import Reach, ask
from mesh.agent.peers.relay_watch import RelayWatch, answers
from mesh.coordinator.telling.relays import ATTESTED_MS, Relays
from mesh.ids import DeviceKey
from mesh.protocol import signed
from mesh.protocol.papers import Observed, RelayInfo
from mesh.relay.observer import Observer
from mesh.transport.interface import Address, Connection, Stream, TransportError
from mesh.transport.iroh import IrohTransport, Options
from relay_client import a_key, a_relay

pytestmark = pytest.mark.anyio

RELAY, DEVICE, STRANGER = bytes([7]) * 32, bytes([8]) * 32, bytes([9]) * 32
KEY = signed.public_key(DEVICE)
NOW_MS = 1_790_000_000_000
LIMIT_S = 30.0


def paper(seed: bytes = RELAY, **other: object) -> str:
    facts = {"network": "", "key": KEY, "address": "8.8.8.8:7", "time_ms": NOW_MS, **other}
    return signed.sign(Observed(**facts), seed)  # type: ignore[arg-type]


@asynccontextmanager
async def an_observer(admitted: set[DeviceKey], bind: str = "127.0.0.1:0") -> AsyncIterator[tuple[Observer, RelayInfo]]:
    observer = await Observer.open(RELAY, bind, lambda key: key in admitted, lambda: NOW_MS)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(observer.run())
            yield observer, RelayInfo("http://127.0.0.1:1", observer.key, f"127.0.0.1:{observer.port}")
            running.cancel()
    finally:
        await observer.close()


@asynccontextmanager
async def a_device(seed: bytes = DEVICE) -> AsyncIterator[IrohTransport]:
    transport = await IrohTransport.open(seed, Options(bind="127.0.0.1:0"))
    try:
        yield transport
    finally:
        await transport.close()


async def reached(device: IrohTransport, info: RelayInfo) -> Connection:
    assert info.key is not None and info.observer is not None
    return await device.dial(Address(info.key, (info.observer,)), LIMIT_S)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - other tasks make it true
            await asyncio.sleep(0.01)


async def test_a_device_learns_its_address_and_gets_it_signed() -> None:
    async with an_observer({KEY}) as (observer, info), a_device() as device:
        heard = await ask(await reached(device, info), info)
        assert heard.address in device.addresses()
        assert observer.key is not None
        paper = signed.verify(heard.paper, Observed, observer.key, "")
        assert (paper.key, paper.address, paper.time_ms) == (KEY, heard.address, NOW_MS)


async def test_a_stranger_is_told_nothing() -> None:
    async with an_observer({KEY}) as (observer, info), a_device(STRANGER) as stranger:
        with pytest.raises(TransportError):
            await ask(await reached(stranger, info), info)
        assert observer.answered == observer.devices == 0


async def test_a_removed_device_is_cut() -> None:
    admitted = {KEY}
    async with an_observer(admitted) as (observer, info), a_device() as device:
        connection = await reached(device, info)
        await ask(connection, info)
        admitted.clear()
        observer.recheck()
        async with asyncio.timeout(LIMIT_S):
            await connection.wait_closed()
        await until(lambda: observer.devices == 0)


@pytest.mark.parametrize("words", [b"what?\n", b"mesh-observe/2\n", b"mesh-observe/1\nmesh-observe/1\n", b""])
async def test_other_questions_are_not_answered(words: bytes) -> None:
    async with an_observer({KEY}) as (observer, info), a_device() as device:
        stream: Stream = await (await reached(device, info)).open_stream(LIMIT_S)
        await stream.write(words + b"\n" * 20, LIMIT_S)
        with pytest.raises(TransportError):
            await stream.read(LIMIT_S)
        assert observer.answered == 0


@pytest.mark.parametrize("words", [paper(address="your house"), paper(address="8.8.8.8:0"), paper(DEVICE), "x" * 2000])
async def test_an_observer_that_lies_about_form_or_key_is_not_believed(words: str) -> None:
    async with a_device(RELAY) as liar, a_device() as device:

        async def answer() -> None:
            stream = await (await liar.accept()).accept_stream()
            await stream.write(words.encode(), LIMIT_S)
            await stream.finish()

        info = RelayInfo("http://127.0.0.1:1", liar.key, liar.addresses()[0])
        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            with pytest.raises((TransportError, signed.BadToken)):
                await ask(await reached(device, info), info)


async def test_a_newer_connection_of_a_device_ends_the_one_before() -> None:
    async with an_observer({KEY}) as (observer, info), a_device() as device:
        first = await reached(device, info)
        await ask(first, info)
        second = await reached(device, info)
        await ask(second, info)
        async with asyncio.timeout(LIMIT_S):
            await first.wait_closed()
        assert observer.devices == 1
        assert not second.closed


class Known:
    """What Reach wants to know of a membership."""

    def __init__(self, *relays: RelayInfo) -> None:
        self.relays = relays
        self.state = self
        self.changed = asyncio.Event()


async def test_a_device_publishes_what_is_observed_and_withdraws_it_with_the_observer() -> None:
    async with an_observer({KEY}) as (_, info), a_device() as device:
        known = Known(info)
        reach = Reach(device, known, observe=True)  # type: ignore[arg-type]
        told: list[tuple[str, ...]] = []

        async def on_change() -> None:
            told.append(reach.observed)

        reach.on_change = on_change
        async with asyncio.TaskGroup() as group:
            running = group.create_task(reach.run())
            await until(lambda: reach.observed)
            assert len(reach.papers) == 1
            known.relays = ()
            known.changed.set()
            await until(lambda: not reach.observed)
            running.cancel()
        assert told[0] == told[-1] == ()


class News:
    """What Relays tells."""

    relays: tuple[RelayInfo, ...] = ()


@pytest.mark.parametrize(
    ("token", "believed"),
    [
        (paper(), True),
        (paper(STRANGER), False),
        (paper(key=signed.public_key(STRANGER)), False),
        (paper(time_ms=NOW_MS - ATTESTED_MS - 1), False),
        (paper(network="N"), False),
        ("x.y.z", False),
    ],
)
def test_the_coordinator_believes_only_its_own_observers_about_this_device_lately(token: str, believed: bool) -> None:
    relays = Relays(None, News())  # type: ignore[arg-type]
    relays.load(RelayInfo("http://127.0.0.1:1", signed.public_key(RELAY), "127.0.0.1:1"), [])
    assert relays.attested([token], KEY, NOW_MS) == (("8.8.8.8:7",) if believed else ())


async def test_a_relay_that_does_not_answer_is_left_and_used_again_when_it_does() -> None:
    async with a_relay({a_key("a"): (1,)}) as (_, alive), a_relay({}) as (other, gone):
        assert await answers(alive) and await answers(gone)
        used: list[tuple[str, ...]] = []

        async def use(urls: object) -> None:
            used.append(tuple(urls))  # type: ignore[call-overload]

        watch = RelayWatch(use, lambda: gone)
        await watch.follow((alive, gone))
        await watch.look()
        assert used == [(alive, gone)]
        await other.stop()
        await watch.look()
        assert used == [(alive, gone), (alive,)]
        async with a_relay({}, port=int(gone.rpartition(":")[2])):
            watch.look_again_now()
            await watch.look()
        assert used == [(alive, gone), (alive,), (alive, gone)]


async def test_a_machine_without_network_keeps_its_relays() -> None:
    async def use(urls: object) -> None:
        raise AssertionError("nothing to change")

    watch = RelayWatch(use, lambda: "http://127.0.0.1:1")
    watch._urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    await watch.look()
