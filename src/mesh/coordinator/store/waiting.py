"""An act that waits for its turn with a writer, and how its caller is answered.

Touches: nothing (event loops are woken).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError


class Waiting:
    """An act that waits for its turn, and where its answer goes. ``alone``: nothing else may be written meanwhile.

    ``lane``: which others it may be done with at once, by ``several`` with the arguments of each; None: with none.
    ``begun``: the act itself was called.
    """

    __slots__ = ("act", "alone", "answer", "arguments", "begun", "error", "lane", "loop", "result", "several")

    def __init__(
        self,
        act: Callable[..., Any],
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        answer: "asyncio.Future[Any] | Future[Any]",
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        args, kwargs = arguments
        self.act: Callable[[Store], Any] = lambda store: act(store, *args, **kwargs)
        self.arguments = args
        self.answer = answer
        self.loop = loop
        self.alone = not getattr(act, "side_by_side", False)
        self.begun = False
        self.several: Callable[[Store, list[tuple[Any, ...]]], Any] | None = getattr(act, "several", None)
        self.lane = None if self.several is None or kwargs else (self.several, act.group(*args))  # type: ignore[attr-defined]
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, store: Store) -> Any:
        """Do the act."""
        self.begun = True
        return self.act(store)

    def deliver(self) -> None:
        """Give the caller what came of it."""
        if self.answer.done():
            return  # the caller was cancelled; what was committed stays committed
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


def answer(batch: list[Waiting], lost: MeshError | None) -> None:
    """Tell every caller; one wake-up per event loop. ``lost``: why nothing of the batch was kept."""
    for waiting in batch:
        if lost is not None:
            # One exception object per caller: a shared one would collect all their tracebacks.
            waiting.error = type(lost)(lost.message, **lost.facts)
            waiting.error.__cause__ = lost.__cause__
    loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.deliver()
        else:
            loops.setdefault(waiting.loop, []).append(waiting)
    for loop, mine in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(batch: list[Waiting]) -> None:
    for waiting in batch:
        waiting.deliver()
