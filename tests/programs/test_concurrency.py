"""Tasks and futures whose ends come at a bad moment."""

import asyncio
import gc

import pytest

from mesh.concurrency import ended, expected, spawner
from mesh.errors import MeshError

pytestmark = pytest.mark.anyio


async def for_ever():
    await asyncio.Event().wait()


async def test_whoever_is_cancelled_while_another_task_ends_is_cancelled():
    leaving = asyncio.Event()

    async def leave_slowly():
        try:
            await for_ever()
        finally:
            await leaving.wait()

    slow = asyncio.create_task(leave_slowly())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(ended(slow))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    leaving.set()
    await asyncio.wait([slow])


async def test_what_a_task_failed_with_is_raised_by_whoever_ends_it():
    async def fail():
        raise MeshError("no")

    failed = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(MeshError):
        await ended(failed)


async def test_an_error_that_comes_when_its_waiter_has_gone_is_nobodys():
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    answer = expected()
    answer.set_exception(MeshError("too late"))
    await asyncio.sleep(0)
    del answer
    gc.collect()
    assert complaints == []


async def test_nothing_begins_in_a_group_that_is_ending_and_nothing_is_left_unawaited():
    begun, again = [], []

    async def work():
        begun.append(True)

    async with asyncio.TaskGroup() as group:
        spawn = spawner(group)

        async def late():
            try:
                await for_ever()
            finally:
                again.append(True)
                spawn(work())

        spawn(late())
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            raise ZeroDivisionError
        for task in list(group._tasks):
            task.cancel()
    assert (begun, again) == ([True], [True]), "the group still takes work while it is only waiting"
    with pytest.raises(asyncio.CancelledError):
        spawn(work())
    gc.collect()
    assert begun == [True]
