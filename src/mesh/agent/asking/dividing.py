"""A large job goes to several devices at once as several jobs, and comes back as one result, in order.

Touches: nothing (the requester is an argument).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from mesh.agent.asking.asked import Ask, Result
from mesh.errors import reason_of
from mesh.workloads.contract import Divisible, Payload

Run = Callable[[Ask], Awaitable[Result]]

PARTS_PER_DEVICE = 4
"""A device that is four times slower than another holds the whole up by one part in four of its share."""
PARTS_MAX = 64


class Whole(NamedTuple):
    """What became of it: the result, and the job or jobs that made it, in order."""

    payload: Payload
    results: tuple[Result, ...]


OnPart = Callable[[Result, int, int], None]
"""Told of each part that is done: its result, how many are, and of how many."""


def _unheard(result: Result, done: int, parts: int) -> None:
    """Nobody wants to know."""


async def run_divided(run: Run, ask: Ask, devices: int, on_part: OnPart = _unheard) -> Whole:
    """Have a job done, over as many as ``devices`` where it is large enough. The first part that fails ends them all.

    Raises what ``run`` raises. A limit of cost is shared by the parts, by their size.
    """
    parts = [ask.payload]
    if devices > 1 and isinstance(ask.workload, Divisible) and ask.routing.mode != "device":
        ask.workload.check(ask.payload)
        parts = ask.workload.divide(ask.payload, min(devices * PARTS_PER_DEVICE, PARTS_MAX))
    if len(parts) == 1:
        result = await run(ask)
        return Whole(result.payload, (result,))
    assert isinstance(ask.workload, Divisible)
    done = 0

    async def one(part: Payload) -> Result:
        nonlocal done
        result = await run(_part(ask, part))
        done += 1
        on_part(result, done, len(parts))
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in parts]
    except BaseExceptionGroup as failed:
        raise reason_of(failed) from None
    results = tuple(task.result() for task in tasks)
    return Whole(ask.workload.unite([result.payload for result in results]), results)


def _part(ask: Ask, payload: Payload) -> Ask:
    if ask.max_cost is None:
        return ask._replace(payload=payload)
    whole = max(1, ask.workload.count(ask.payload, None))
    return ask._replace(payload=payload, max_cost=ask.max_cost * ask.workload.count(payload, None) // whole)
