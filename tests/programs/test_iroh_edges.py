"""The sharp edges of the iroh binding, each shown and then answered by the transport around it (see also long_runs)."""

import asyncio
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable
from typing import Any

import iroh
import pytest

from mesh.protocol.signed import public_key
from mesh.transport import iroh_patch
from mesh.transport.interface import Address, ConnectionLost, DialTimeout, TransportError, TransportTimeout
from mesh.transport.iroh import ALPN, EndpointFailed, IrohTransport
from mesh.transport.iroh_connection import IrohConnection
from mesh.units import MIB
from transport_ends import (
    LIMIT_S,
    SEED_A,
    SEED_B,
    Ends,
    a_stream,
    connect,
    iroh_end,
    read_exactly,
    read_to_end,
    until,
    within,
)

pytestmark = pytest.mark.anyio

MEMBERS = frozenset({public_key(SEED_A)})


async def test_the_endpoints_id_is_the_devices_key(ends: Ends) -> None:
    assert ends.near.key == public_key(SEED_A)
    assert ends.far.key == public_key(SEED_B)


# 1. Writes are copied byte by byte in Python.


CONVERTER = iroh.iroh_ffi._UniffiFfiConverterBytes


async def test_the_patch_of_bytes_is_in_place_and_large_writes_cost_little(ends: Ends) -> None:
    assert CONVERTER.lower.func is iroh_patch.lowered
    assert CONVERTER.lift is iroh_patch.lifted
    here, there = await a_stream(*await connect(ends))
    before = time.thread_time()
    async with asyncio.TaskGroup() as group:
        group.create_task(here.write(bytes(16 * MIB), LIMIT_S))
        group.create_task(read_exactly(there, 16 * MIB))
    assert time.thread_time() - before < 1.5  # a byte at a time takes 3 s


ODD = (b"", b"x", bytearray(b"frames"), memoryview(b"frames")[1:3], bytes(range(256)) * 999)


@pytest.mark.parametrize("content", ODD)
async def test_bytes_of_any_kind_and_length_come_out_as_they_went_in(ends: Ends, content: bytes) -> None:
    assert CONVERTER.lift(CONVERTER.lower(content)) == bytes(content)
    assert CONVERTER.lift(getattr(CONVERTER, iroh_patch.ORIGINAL)(content)) == bytes(content)


@pytest.mark.parametrize("broken", ["slow", "wrong"])
async def test_a_patch_that_did_not_take_is_noticed_at_start(ends: Ends, broken: str) -> None:
    def lower(value: bytes) -> Any:
        return getattr(CONVERTER, iroh_patch.ORIGINAL)(value) if broken == "slow" else CONVERTER.lower(value[::-1])

    with pytest.raises(iroh_patch.BindingUnsuitable):
        iroh_patch.check_bytes(lower, CONVERTER.lift)


async def test_another_version_of_the_binding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iroh_patch, "BINDING_VERSION", "0.0.1")
    with pytest.raises(iroh_patch.BindingUnsuitable) as refused:
        await iroh_end(SEED_A)
    assert refused.value.facts == {"found": "1.2.0", "needed": "0.0.1"}


# 2. Cancellation loses data.


async def test_reads_cancelled_at_random_moments_lose_nothing(ends: Ends) -> None:
    here, there = await a_stream(*await connect(ends))
    content = random.Random(5).randbytes(64 * 400)
    dice = random.Random(6)
    received = bytearray()
    cancelled = 0

    async def write() -> None:
        for start in range(0, len(content), 64):
            await here.write(content[start : start + 64], LIMIT_S)

    writing = asyncio.create_task(write())
    while cancelled < 400:
        try:
            async with asyncio.timeout(dice.random() * 0.0005):
                received += await there.read()
        except TimeoutError:
            cancelled += 1
    received += await read_exactly(there, len(content) - len(received))
    await writing
    assert bytes(received) == content


async def test_a_write_given_up_half_way_is_a_reset_for_the_reader(ends: Ends) -> None:
    here, there = await a_stream(*await connect(ends))
    with pytest.raises(TransportTimeout):
        await here.write(bytes(64 * MIB), 0.2)
    with pytest.raises(ConnectionLost):
        await here.finish()
    with pytest.raises(ConnectionLost):
        await read_to_end(there)


# 3. Dropping an unfinished SendStream looks like a clean end to the reader.


async def test_the_binding_ends_a_dropped_stream_cleanly_and_we_reset_it(
    ends: Ends, raw: tuple[iroh.Connection, iroh.Connection]
) -> None:
    opened = await raw[0].open_bi()
    await opened.send().write_all(b"half")
    receiving = (await within(raw[1].accept_bi())).recv()
    del opened
    assert [await within(receiving.read(10)), await within(receiving.read(10))] == [b"half", b""]

    here, there = await a_stream(*await connect(ends))
    await here.write(b"half", LIMIT_S)
    assert await read_exactly(there, 4) == b"half"
    del here
    with pytest.raises(ConnectionLost):
        await there.read(LIMIT_S)


# 4. recv.stop() blocks while a read is pending, send.reset() while a write is.


async def test_reset_is_quick_with_a_read_and_a_write_pending(
    ends: Ends, raw: tuple[iroh.Connection, iroh.Connection]
) -> None:
    opened = await raw[0].open_bi()
    receiving = opened.recv()
    reading = asyncio.create_task(receiving.read(10))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await within(receiving.stop(0), 0.2)
    reading.cancel()

    here, there = await a_stream(*await connect(ends))
    writing = asyncio.create_task(here.write(bytes(64 * MIB), LIMIT_S))
    pending = asyncio.create_task(here.read(LIMIT_S))
    await read_exactly(there, MIB)
    await within(here.reset(), 1.0)
    results = await asyncio.gather(writing, pending, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost, ConnectionLost]


# 5. Callbacks need the loop to be set; once set, another loop breaks.


async def test_a_second_loop_is_refused_while_the_first_has_a_transport_open(ends: Ends) -> None:
    refused: list[TransportError] = []

    def elsewhere() -> None:
        try:
            asyncio.run(iroh_end(b"\x05" * 32))
        except TransportError as error:
            refused.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join, LIMIT_S)
    assert len(refused) == 1
    await a_stream(*await connect(ends))  # the first still works


async def test_the_bindings_callbacks_arrive_and_stop(ends: Ends) -> None:
    called = asyncio.Event()

    class Watch(iroh.PathChangeCallback):
        async def on_change(self, paths: list[iroh.PathSnapshot]) -> None:
            called.set()

    near, _ = await connect(ends)
    watch = near._raw.watch_paths(Watch())  # type: ignore[attr-defined]
    await within(called.wait())
    await watch.stop()


def test_a_loop_may_follow_another() -> None:
    async def once() -> None:
        transport = await iroh_end(SEED_A)
        await transport.close()

    asyncio.run(once())
    asyncio.run(once())


class Ending:
    """What the binding gives for a connection whose end is told before a pending call's."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def remote_id(self) -> str:
        return public_key(SEED_B)

    async def closed(self) -> str:
        await self.over.wait()
        return "timed out"

    async def open_bi(self) -> None:
        await asyncio.Event().wait()


async def test_an_open_that_waits_as_the_connection_ends_fails_and_is_not_cancelled() -> None:
    async def called(call: Awaitable[object]) -> object:
        return await call

    raw = Ending()
    connection = IrohConnection(raw, called)
    opening = asyncio.create_task(connection.open_stream(LIMIT_S))
    await asyncio.sleep(0)
    raw.over.set()
    with pytest.raises(ConnectionLost) as lost:  # and not CancelledError: nobody cancelled
        await within(opening)
    assert lost.value.facts["detail"] == "timed out"


# 6. str(IrohError) is empty.


async def test_errors_say_what_happened(ends: Ends) -> None:
    with pytest.raises(TransportError) as refused:
        await ends.near.dial(Address(public_key(b"\x06" * 32)), LIMIT_S)
    assert refused.value.wire_code == "transport.failed"
    assert refused.value.facts["cause"] == "connect"
    assert "No addressing information available" in refused.value.facts["detail"]
    assert isinstance(refused.value.__cause__, iroh.IrohError)

    with pytest.raises(TransportError) as refused:
        await ends.near.dial(Address("not a key"), 1.0)  # type: ignore[arg-type]
    assert refused.value.facts["cause"] == "key_parsing"

    near, far = await connect(ends)
    here, _ = await a_stream(near, far)
    await far.close("job.done")
    with pytest.raises(ConnectionLost) as lost:
        await here.read(LIMIT_S)
    assert "job.done" in lost.value.facts["detail"]


async def test_what_cannot_be_an_address_is_said_or_left_out(ends: Ends) -> None:
    spoilt = Address(ends.far.key, ("nowhere", "1.2.3.4", "127.0.0.1:99999", *ends.address.direct))
    await a_stream(*await connect(ends._replace(address=spoilt)))

    for options in ({"bind": "nowhere"}, {"relays": ("nowhere",)}):
        with pytest.raises(EndpointFailed) as refused:
            await iroh_end(b"\x07" * 32, **options)
        assert refused.value.facts["detail"]
    with pytest.raises(EndpointFailed):
        await iroh_end(b"short")
    with pytest.raises(EndpointFailed):
        await ends.near.publish(["nowhere"])  # type: ignore[attr-defined]
    await a_stream(*await connect(ends))  # the refused ones have left nothing behind


async def test_published_addresses_replace_earlier_ones(ends: Ends) -> None:
    near: IrohTransport = ends.near  # type: ignore[assignment]
    before = set(near.addresses())
    await near.publish(["203.0.113.7:99"])
    await near.publish(["203.0.113.8:99"])
    await until(lambda: set(near.addresses()) - before == {"203.0.113.8:99"})


# 7. Close in order, or the process aborts at exit.


def test_a_busy_process_exits_cleanly() -> None:
    program = """
        import asyncio
        from mesh.transport.interface import Address
        from mesh.transport.iroh import IrohTransport, Options

        async def main():
            a, b = [await IrohTransport.open(bytes([n]) * 32, Options(bind="127.0.0.1:0")) for n in (1, 2)]
            accepting = asyncio.create_task(b.accept())
            near = await a.dial(Address(b.key, b.addresses()), 30)
            far = await accepting
            async def flood(stream):
                while True:
                    await stream.write(bytes(100_000), 30)
            async def drain(stream):
                while await stream.read():
                    pass
            tasks = []
            for _ in range(8):
                here = await near.open_stream(30)
                await here.write(b"!", 30)
                there = await far.accept_stream()
                tasks += [asyncio.create_task(work) for work in (flood(here), drain(there), flood(there), drain(here))]
            await asyncio.sleep(0.1)
            await asyncio.gather(a.close(), b.close())
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# 8. Without a preset the binding uses public relays and discovery.


@pytest.mark.parametrize("relays", [(), ("http://127.0.0.1:1/",)])
async def test_nobody_else_is_asked_for_anything(relays: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[iroh.EndpointOptions] = []
    bind = iroh.Endpoint.bind

    async def noted(options: iroh.EndpointOptions) -> iroh.Endpoint:
        used.append(options)
        return await bind(options)

    monkeypatch.setattr(iroh.Endpoint, "bind", noted)
    transport = await iroh_end(SEED_A, relays=relays)
    try:
        assert used[0].preset is not None
        assert used[0].relay_mode.relay_map().urls() == list(relays)
        assert used[0].alpns == [ALPN]
        for url in relays:  # no QUIC address discovery: probing for it delays the relay by 3 s
            assert used[0].relay_mode.relay_map().get(url).quic_port is None
        assert transport.relay() is None
        with pytest.raises(TransportTimeout):
            await transport.wait_relay(0.2)
        assert all(address.startswith("127.0.0.1:") for address in transport.addresses())
    finally:
        await transport.close()


# 9. No transport settings: iroh itself takes 15 s and more to notice a silent peer.


async def test_every_wait_has_our_own_limit_when_the_peer_falls_silent(ends: Ends) -> None:
    near, far = await connect(ends)
    here, _ = await a_stream(near, far)
    iroh_patch.deafen(ends.far._endpoint.bound_sockets())  # type: ignore[attr-defined]
    with pytest.raises(TransportTimeout):
        await here.read(0.1)
    with pytest.raises(TransportTimeout):
        await here.write(bytes(64 * MIB), 0.1)
    with pytest.raises(DialTimeout):
        await ends.near.dial(ends.address, 0.1)
    unheard = [await near.open_stream(0.1) for _ in range(99)]  # the most a peer allows at first
    with pytest.raises(TransportTimeout):
        await near.open_stream(0.1)
    assert not near.closed, "each limit was reached before iroh itself noticed anything"
    del unheard
