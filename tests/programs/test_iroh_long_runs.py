"""More edges of the binding, which only long or busy runs meet: what stays behind, and who frees it."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import time

import iroh
import psutil
import pytest

from mesh.protocol.signed import public_key
from mesh.transport.interface import Address
from mesh.transport.iroh import IrohTransport, Options
from mesh.units import MIB
from transport_ends import (
    LIMIT_S,
    SEED_A,
    Ends,
    a_stream,
    connect,
    read_to_end,
    within,
)
from waiting import until

pytestmark = pytest.mark.anyio

MEMBERS = frozenset({public_key(SEED_A)})


# 10. Long runs must not leak (uvloop, the rest of this edge, is not used).


async def test_many_streams_leave_nothing_behind(ends: Ends) -> None:
    near, far = await connect(ends)

    async def round_trips(count: int) -> None:
        for _ in range(count):
            here = await near.open_stream(LIMIT_S)
            await here.write(b"?" * 1000, LIMIT_S)
            await here.finish()
            there = await within(far.accept_stream())
            await there.write(await read_to_end(there), LIMIT_S)
            await there.finish()
            assert await read_to_end(here) == b"?" * 1000

    await round_trips(100)
    gc.collect()
    tasks, grown = len(asyncio.all_tasks()), [MIB]
    # Whatever is left of a stream grows in every round; what the allocator keeps for itself does not.
    while min(grown) >= MIB and len(grown) < 6:
        before = psutil.Process().memory_info().rss
        await round_trips(300)
        gc.collect()
        grown.append(psutil.Process().memory_info().rss - before)
    assert min(grown) < MIB, f"every round grew: {grown}"
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_strangers_in_a_loop_cost_nothing_that_stays(ends: Ends) -> None:
    guarded = await IrohTransport.open(os.urandom(32), Options(bind="127.0.0.1:0"), admits=MEMBERS.__contains__)
    try:
        address = Address(guarded.key, tuple(guarded.addresses()))
        member = await connect(Ends(ends.near, guarded, address))
        tasks = len(asyncio.all_tasks())
        for _ in range(100):
            stranger = await ends.far.dial(address, LIMIT_S)
            await within(stranger.wait_closed())
        await a_stream(*member)
        await until(lambda: len(asyncio.all_tasks()) <= tasks + 4)
        assert guarded._incoming.full is False
    finally:
        await guarded.close()


# 11 (found here). The binding calls Python inside its own locks, and Python's collector may free its handles there.


def test_collecting_garbage_in_the_bindings_threads_stops_nothing() -> None:
    program = """
        import asyncio, gc, threading, time
        import iroh
        from mesh.transport.interface import Address
        from mesh.transport.iroh import IrohTransport, Options

        async def main():
            a, b = [await IrohTransport.open(bytes([n]) * 32, Options(bind="127.0.0.1:0")) for n in (1, 2)]
            accepting = asyncio.create_task(b.accept())
            near = await a.dial(Address(b.key, b.addresses()), 30)
            far = await accepting
            waking = iroh.iroh_ffi._UniffiContinuationHandleMap
            remove = waking.remove
            def collect_and_remove(handle):
                if threading.current_thread() is not threading.main_thread():
                    gc.collect()
                return remove(handle)
            waking.remove = collect_and_remove
            gc.freeze()
            gc.disable()  # what only seldom happens there now happens only there
            end = time.monotonic() + 2
            async def flood():
                here = await near.open_stream(30)
                while time.monotonic() < end:
                    await here.write(bytes(300_000), 30)
                await here.finish()
                assert await here.read(30) == b""
            async def answer(stream):
                while content := await stream.read(30):
                    if len(content) < 10:
                        await stream.write(content, 30)
                await stream.finish()
                stream.itself = stream
            async def accept():
                while True:
                    group.create_task(answer(await far.accept_stream()))
            async def ask():
                while time.monotonic() < end:
                    stream = await near.open_stream(30)
                    await stream.write(b"hello", 30)
                    await stream.finish()
                    while await stream.read(30):
                        pass
                    stream.itself = stream
            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(accept())
                flooding = group.create_task(flood())
                await ask()
                await flooding
                accepting.cancel()
            await a.close()
            await b.close()

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# 12 (found here). What a cancelled call had got already was neither handed out nor freed.


async def test_a_call_that_is_cancelled_loses_nothing(raw: tuple[iroh.Connection, iroh.Connection]) -> None:
    near, far = raw
    accepting = asyncio.create_task(far.accept_bi())
    await asyncio.sleep(0)
    sending = (await near.open_bi()).send()
    await sending.write_all(b"!")
    time.sleep(0.1)  # noqa: ASYNC251 - the stream is there, and the waiting call has not been told yet
    accepting.cancel()
    await asyncio.wait([accepting])
    assert accepting.cancelled()
    taken = await within(far.accept_bi(), 20.0)
    assert await within(taken.recv().read(10), 20.0) == b"!"


async def test_a_call_that_has_what_it_wants_gives_it_at_once(raw: tuple[iroh.Connection, iroh.Connection]) -> None:
    near, far = raw
    sending = (await near.open_bi()).send()
    await sending.write_all(b"!")

    async def at_once() -> bool:
        accepting = asyncio.create_task(far.accept_bi())
        await asyncio.sleep(0)
        accepting.cancel()  # before it is there: such a call loses nothing
        await asyncio.wait([accepting])
        return not accepting.cancelled()

    await until(at_once)  # within its first turn, once it is there: nobody can cancel it between having and giving
