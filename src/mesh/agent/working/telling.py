"""While a model is being made ready, the job's requester is told so: that is life, and no reason to go elsewhere.

Touches: the event loop.
"""

import asyncio
from collections.abc import Callable, Sequence

from mesh.agent.working.attempt import Attempt

SAY_S = 1.0
"""How often it is said: a requester waits three times as long for the next word."""


async def say_loading(attempt: Attempt, warm: Callable[[], Sequence[str]]) -> None:
    """Say it until the attempt is over or its model is among the ``warm`` ones."""
    frame, session = attempt.frame, attempt.stream.session
    while session.state(frame.job, frame.attempt) == "started" and frame.spec.model not in warm():
        attempt.still_getting_ready()
        await asyncio.sleep(SAY_S)
