"""Tasks and futures whose ends may come at a bad moment: in the middle of a cancel, or of this program's own end.

Touches: the event loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Begins a task that lives as long as whoever gave this."""


def expected() -> "asyncio.Future[Any]":
    """A future for one waiter, who may be cancelled in the moment in which an error comes: nobody missed it then."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_seen)
    return future


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def spawner(group: asyncio.TaskGroup) -> Spawn:
    """Begin tasks in a group. Once the group is ending nothing new begins, and whoever wants it to is ended too."""

    def spawn(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        try:
            return group.create_task(work)
        except RuntimeError as error:  # what the group raises when it takes no more
            work.close()
            raise asyncio.CancelledError from error

    return spawn


async def ended(task: "asyncio.Task[T]") -> None:
    """Cancel a task and wait for its end; raises what it failed with. To await it would hide our own cancellation."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def heed_cancel() -> None:
    """End a task that was cancelled, though a library hid it: ``asyncio.wait_for`` returns its result where both
    come at once (until Python 3.12), and a loop around that would go on for ever. Raises CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
