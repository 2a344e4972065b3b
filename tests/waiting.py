"""Waiting for what a test is about, with a limit: no test sleeps and hopes."""

import asyncio
from collections.abc import Callable
from typing import Any

LIMIT_S = 45.0
"""Long, for what works takes none of it: a device that lost its coordinator tries again after up to 30 s."""
LOOK_S = 0.01


async def until(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    """Wait until a condition (also an async one) holds; fail after a limit."""
    async with asyncio.timeout(limit_s):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(LOOK_S)
