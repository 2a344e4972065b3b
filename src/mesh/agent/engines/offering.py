"""What this device offers: each model of the catalogue that it has measured itself on, and those it could fetch.

The measurement is made once per model and kept in the home; a restart takes it up without loading the model. Small
models are made ready at the start; one on demand is offered untested, and comes with the first job that needs it: a
device that nobody chats with never fetches a chat model.

Touches: the clock; the agent's engines and store (through its arguments).
"""

import time
from collections.abc import Awaitable, Callable, Collection

import msgspec
import structlog

from mesh.agent.engines.loading import Loading, Progress
from mesh.agent.engines.pool import Pool, Say
from mesh.agent.store import Store, StoreBroken
from mesh.errors import MeshError
from mesh.protocol.values import Isolation, LoadingModel, ModelOffer
from mesh.workloads.catalogue import BUILTIN
from mesh.workloads.known import WORKLOADS

_offers: msgspec.json.Decoder[tuple[ModelOffer, ...]] = msgspec.json.Decoder(tuple[ModelOffer, ...])
log = structlog.get_logger()


class Offering:
    """The offers of this device."""

    def __init__(self, engines: Pool, store: Store, removed: Callable[[], Collection[str]] = tuple) -> None:
        """``removed``: the models that the owner wants no more."""
        self.failed: dict[str, MeshError] = {}
        """Models that could not be made ready, and why."""
        self.more: Callable[[], tuple[ModelOffer, ...]] = lambda: ()
        """What is offered beside: models of shared engines."""
        self._engines = engines
        self._store = store
        self._removed = removed
        self._offered: list[tuple[str, str]] = []
        self.on_change: Callable[[], Awaitable[None]]
        """Called when offers have changed by a job; set by the wiring."""
        self.on_loading: Callable[[], None] = lambda: None
        """Called when a model is on its way: the coordinator is told with the next beat."""
        engines.on_measured = self._measured
        self._isolation: Isolation = "none"
        self._loading: dict[str, Progress] = {}

    def loading(self, model: str) -> Loading | None:
        """How far a model is from being ready here; None if it is not on its way."""
        on_its_way = self._loading.get(model)
        return None if on_its_way is None else on_its_way.now(time.monotonic())

    def on_their_way(self) -> tuple[LoadingModel, ...]:
        """The models that are being made ready, and are not offered yet."""
        now_s = time.monotonic()
        offered = {model for _, model in self._offered}
        found = ((model, progress.now(now_s)) for model, progress in self._loading.items() if model not in offered)
        return tuple(LoadingModel(model, one.stage, one.fraction, one.eta_s) for model, one in found)

    def offers(self) -> tuple[ModelOffer, ...]:
        """What was measured or can be fetched, as it is now, and what is offered beside."""
        return (*self._own(), *self.more())

    def _own(self) -> tuple[ModelOffer, ...]:
        return tuple(self._engines.offer(workload, model) for workload, model in self._offered)

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now."""
        return self._engines.warm()

    def isolation(self) -> Isolation:
        """How far engines were confined when one last ran here."""
        return self._isolation

    def processes(self) -> tuple[int, ...]:
        """The ids of the engines' processes."""
        return tuple(self._engines.processes().values())

    async def recall(self) -> None:
        """Take up earlier measurements. One of another version of its model is measured anew."""
        content = await self._store.kept("offers")
        isolation = await self._store.kept("isolation")
        if isolation is not None:
            self._isolation = msgspec.json.decode(isolation, type=Isolation)
        for offer in _offers.decode(content) if content is not None else ():
            if offer.workload in WORKLOADS:
                try:
                    self._engines.recall(offer)
                except MeshError as error:
                    log.warning("offering.forgotten", model=offer.model, code=error.wire_code)
                    continue
                if self._engines.offer(offer.workload, offer.model).units_per_s > 0:
                    self._offered.append((offer.workload, offer.model))

    async def prepare(self, say: Say | None = None) -> bool:
        """Fetch and measure the default models that are not measured yet; returns whether offers changed."""
        changed = False
        for name, workload in WORKLOADS.items():
            model = workload.default_model
            if (name, model) in self._offered or model in self._removed():
                continue
            try:
                if BUILTIN.entry(name, model).on_demand:
                    self._engines.assume(name, model)
                    self._offered.append((name, model))
                else:
                    await self.offer(name, model, say)
            except MeshError as error:
                self.failed[model] = error
                log.warning("offering.not_ready", model=model, code=error.wire_code)
                continue
            changed = True
        return changed

    async def offer(self, workload: str, model: str, say: Say | None = None) -> None:
        """Fetch, load and measure a model; from then on it is offered. Raises the model's errors."""
        progress = self._loading[model] = Progress()
        self.on_loading()
        try:
            await self._engines.prepare(workload, model, _both(progress, say))
            await self._engines.measure(workload, model)
        finally:
            self._loading.pop(model, None)
        self.failed.pop(model, None)
        if (workload, model) not in self._offered:
            self._offered.append((workload, model))
        self._isolation = self._engines.isolation(workload, model) or self._isolation
        await self._keep()

    async def forget(self, workload: str, model: str) -> None:
        """Offer a model no more, and unload it; jobs that run on it fail."""
        if (workload, model) in self._offered:
            self._offered.remove((workload, model))
            await self._keep()
        self._engines.unload(workload, model)

    async def _measured(self) -> None:
        """A first job has shown how fast a model is here: that is kept, and told."""
        for workload, model in self._offered:
            self._isolation = self._engines.isolation(workload, model) or self._isolation
        try:
            await self._keep()
        except StoreBroken as error:
            log.warning("offering.not_kept", code=error.code)
        await self.on_change()

    async def _keep(self) -> None:
        """Remember what was measured; an assumed speed is none."""
        measured = [one for one in self._own() if self._engines.measured(one.workload, one.model)]
        await self._store.keep("offers", msgspec.json.encode(measured))
        await self._store.keep("isolation", msgspec.json.encode(self._isolation))


def _both(progress: Progress, say: Say | None) -> Say:
    def told(stage: str, done: int, total: int) -> None:
        progress.say(stage, done, total, time.monotonic())
        if say is not None:
            say(stage, done, total)

    return told
