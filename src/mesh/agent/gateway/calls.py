"""One request at the gateway: what its handler is given, and what it gives back.

Touches: nothing (the requester and the clock are arguments).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import NamedTuple

from mesh.agent.asking.asked import Ask, Begun, Result
from mesh.agent.asking.dividing import Run, Whole, run_divided
from mesh.agent.asking.resuming import resumed
from mesh.agent.asking.streaming import Streamed, streamed
from mesh.agent.gateway.keys import KeyBook, Opener
from mesh.agent.gateway.loading import LoadingWait, elsewhere_loading, still_loading
from mesh.agent.gateway.names import Around, Meant, UnknownModel, meant, nobody_has_it
from mesh.errors import MeshError
from mesh.protocol.values import LoadingModel
from mesh.workloads.contract import Payload, Workload


class Reply(NamedTuple):
    """An answer, with headers beside the usual ones: whole, or a ``stream`` of pieces in place of the body."""

    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    status: int = 200
    stream: AsyncIterator[bytes] | None = None
    kind: bytes = b"application/json"


class Front(NamedTuple):
    """What all requests share. ``devices``: how many may take work."""

    run: Run
    around: Around
    keys: KeyBook
    devices: Callable[[], int] = lambda: 1


class Call:
    """One request that came in. ``rest``: what its path has beyond the route's own."""

    def __init__(self, front: Front, opener: Opener, body: bytes, rest: str) -> None:
        self.front = front
        self.body = body
        self.rest = rest
        self.max_cost: int | None = None
        """The most that it may cost by its key's limits."""
        self.stack = AsyncExitStack()
        """What must stay open until the answer has been sent; closed by the application."""
        self._opener = opener

    async def run(self, workload: Workload, payload: Payload, model: str) -> Whole:
        """Do the work that a model's name asks for. Raises UnknownModel, ModelLoading, and the job's errors."""
        found = self._meant(model, workload)
        ask = self._ask(workload, payload, found)
        waiting = LoadingWait(found.model)
        try:
            return await waiting.unless_long(
                run_divided(self.run_one, ask._replace(on_progress=waiting.heard), self.front.devices())
            )
        except MeshError as error:
            self._say_what_it_means(found, error)
            raise

    async def begin(
        self, workload: Workload, payload: Payload, model: str, *, resume: bool = False
    ) -> tuple[Begun, Streamed]:
        """Have the work done that a model's name asks for, and return with its first bytes. Raises as ``run`` does.

        ``resume``: a stream that breaks goes on elsewhere.
        """
        found = self._meant(model, workload)
        ask = self._ask(workload, payload, found)
        run = partial(resumed, self.front.run) if resume else self.front.run
        waiting = LoadingWait(found.model)
        answer = await self.stack.enter_async_context(streamed(run, ask._replace(on_progress=waiting.heard)))
        try:
            begun = await waiting.unless_long(answer.begun())
        except MeshError as error:
            self._say_what_it_means(found, error)
            raise
        self.stack.callback(self._settle, answer, begun)
        return begun, answer

    def ask(self, workload: Workload, payload: Payload, model: str) -> Ask:
        """The job that a model's name asks for, within the limits of the key. Raises UnknownModel, UnknownDevice."""
        found = self._meant(model, workload)
        if not found.listed:
            raise UnknownModel
        return self._ask(workload, payload, found)

    def _meant(self, model: str, workload: Workload) -> Meant:
        around = self.front.around
        return meant(model, workload, around.models(), around.device_named)

    def _ask(self, workload: Workload, payload: Payload, found: Meant) -> Ask:
        caller = f"key {self._opener.name}"
        return Ask(workload, payload, found.model, routing=found.routing, max_cost=self.max_cost, caller=caller)

    def _settle(self, answer: Streamed, begun: Begun) -> None:
        """Count what a stream cost; of one that was left or broke off, what it would have cost at most."""
        charge = begun.estimate
        with suppress(MeshError, asyncio.InvalidStateError, asyncio.CancelledError):
            charge = answer.result.charge
        self.front.keys.charged(self._opener, charge)

    async def run_one(self, ask: Ask) -> Result:
        """Have one job done, and count its charge for the key."""
        result = await self.front.run(ask)
        self.front.keys.charged(self._opener, result.charge)
        return result

    def _say_what_it_means(self, found: Meant, error: MeshError) -> None:
        """A job that found no place: its model is being loaded, or nobody has such a model."""
        if error.wire_kind != "nowhere":
            return
        here = self.front.around.loading(found.model)
        if here is not None:
            raise still_loading(LoadingModel(found.model, *here), "this device") from error
        if isinstance(error.facts.get("loading"), dict):
            raise elsewhere_loading(error.facts["loading"]) from error
        if not found.listed and nobody_has_it(error.facts.get("gates")):
            raise UnknownModel from error


Handler = Callable[[Call], Awaitable[Reply]]


def headers_of(results: Sequence[Result]) -> list[tuple[bytes, bytes]]:
    """What tells where the job or jobs ran and what they cost: ids in order, devices and paths once each, the sum."""
    devices = dict.fromkeys(result.device for result in results)
    paths = dict.fromkeys(result.path for result in results)
    return [
        (b"x-mesh-job", ",".join(result.job for result in results).encode()),
        (b"x-mesh-device", ",".join(devices).encode()),
        (b"x-mesh-path", ",".join(paths).encode()),
        (b"x-mesh-charge", str(sum(result.charge for result in results)).encode()),
    ]


def begun_headers(begun: Begun) -> list[tuple[bytes, bytes]]:
    """What tells of a stream with its first byte where it is made and what it costs at most."""
    return [
        (b"x-mesh-job", begun.job.encode()),
        (b"x-mesh-device", begun.device.encode()),
        (b"x-mesh-path", begun.path.encode()),
        (b"x-mesh-estimate", str(begun.estimate).encode()),
    ]
