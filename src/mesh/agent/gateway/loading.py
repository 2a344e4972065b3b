"""A request that waits for a model: how far that is, and a refusal in time where it takes long.

A short load is waited out: the answer comes a little later. Clients give up by themselves after a while, without a
word; so a long one is answered with 503, what is known of it, and when to ask again. The model goes on loading.

Touches: the event loop's clock.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from mesh.agent.engines.loading import Progress
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.jobs import loading
from mesh.protocol.values import LoadingModel

T = TypeVar("T")

WAIT_S = 20.0
"""Every load of a small model, and most downloads of one, are over by then; clients wait for a minute or more."""
_PARTS = 1000
"""Fractions come without bytes; so finely they are told apart."""


class ModelLoading(MeshError):
    """The model is being made ready. Try again after the time named."""

    code = "model.loading"
    kind = "unavailable"


def still_loading(model: LoadingModel, where: str) -> ModelLoading:
    """The refusal of a request whose model is on its way."""
    told = loading.facts(None, model)
    return ModelLoading(
        f"The model is being made ready on {where} ({loading.words(model)}). Try again then.",
        retry_after_s=loading.retry_s(model),
        **told,
    )


def elsewhere_loading(told: dict[str, Any]) -> ModelLoading:
    """The same of what placing a job said of another device."""
    eta_s = told.get("eta_s")
    model = LoadingModel(
        str(told.get("model", "")),
        str(told.get("stage", "loading")),
        float(told.get("percent", 0)) / 100,
        float(eta_s) if isinstance(eta_s, int | float) else None,
    )
    return still_loading(model, f"device {told.get('device', '')}")


class LoadingWait:
    """What one request hears of its model's way, and how long it waits for that."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._progress: Progress | None = None
        self._since_s = 0.0
        self._limit: asyncio.Timeout | None = None

    def heard(self, job: JobId, stage: str, fraction: float) -> None:
        """The job's device says how far it is."""
        if stage == "running":
            self._progress = None
            return
        now_s = asyncio.get_running_loop().time()
        if self._progress is None:
            self._progress, self._since_s = Progress(), now_s
        self._progress.say(stage, int(fraction * _PARTS), _PARTS, now_s)
        if now_s - self._since_s >= WAIT_S and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(now_s)

    async def unless_long(self, work: Awaitable[T]) -> T:
        """Await the work, which is cancelled where its model takes long. Raises ModelLoading, and what it raises."""
        try:
            async with asyncio.timeout(None) as self._limit:
                return await work
        except TimeoutError:
            if self._progress is None:
                raise
            now = self._progress.now(asyncio.get_running_loop().time())
            raise still_loading(LoadingModel(self._model, *now), "the device that has this job") from None
        finally:
            self._limit = None
