"""What the command line may ask of the agent, answered: status, jobs and estimates, ping, peers, checks, pause, stop.

Touches: the clock (ping).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import NamedTuple

import msgspec

from mesh import __version__
from mesh.agent.asking import documents
from mesh.agent.asking.asked import Ask, Join, OnProgress, Result
from mesh.agent.asking.dividing import Run, run_divided
from mesh.agent.asking.patience import Patience
from mesh.agent.asking.planning import Planner
from mesh.agent.asking.requester import Requester
from mesh.agent.asking.resuming import resumed
from mesh.agent.asking.streaming import streamed
from mesh.agent.batches.desk import BatchDesk
from mesh.agent.control import Say
from mesh.agent.coordination import Coordination
from mesh.agent.engines.offering import Offering
from mesh.agent.engines.sharing import Sharing
from mesh.agent.estimating import Estimating
from mesh.agent.gateway.keys import KeyBook
from mesh.agent.membership import Membership, Peer
from mesh.agent.myself import Myself
from mesh.agent.outbox import Outbox
from mesh.agent.page.server import Page
from mesh.agent.peers.reach import Reach
from mesh.agent.peers.sessions import Sessions
from mesh.agent.store import Store
from mesh.agent.working.worker import Worker
from mesh.devices.facts import NetworkFacts
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.sdk import control
from mesh.sdk.documents import AttemptLine, DrawFile, PartLine, ReadEnd, ReadFiles
from mesh.sdk.keys import AnyKeyRequest
from mesh.sdk.models import AnyModelRequest, OfferModel
from mesh.sdk.naming import UnknownDevice
from mesh.sdk.sharing import AnySharingRequest
from mesh.transport.interface import TransportTimeout
from mesh.transport.link import LinkDown
from mesh.workloads.contract import Payload
from mesh.workloads.known import workload_named
from mesh.workloads.own_catalogue import WrongEntry

PINGS_MAX = 1000
PING_S = 5.0


class UnknownJob(MeshError):
    """No such job is running here. `mesh job list` shows all."""

    code = "job.unknown"
    kind = "not_found"


class Parts(NamedTuple):
    """The running agent."""

    membership: Membership
    myself: Myself
    coordination: Coordination
    sessions: Sessions
    planner: Planner
    requester: Requester
    worker: Worker
    outbox: Outbox
    store: Store


class Desk:
    """Answers one request at a time per connection."""

    def __init__(self, parts: Parts, *, started_ms: int, stop: Callable[[], None]) -> None:
        self._parts = parts
        self._started_ms = started_ms
        self._stop = stop
        self._patience = Patience(parts.requester)
        self._documents = count()
        self.gateway: str | None = None
        self.check_network: Callable[[], Awaitable[NetworkFacts]]
        """Measures the network around this device; set by the wiring."""
        self.offering: Offering
        self.batches: BatchDesk
        self.keys: KeyBook
        self.sharing: Sharing
        self.page: Page
        self.reach: Reach | None = None
        """Set by the wiring, as ``gateway`` is."""
        self.wrong_models: Callable[[], Sequence[WrongEntry]] = tuple
        """What is wrong in the owner's catalogue; it reads a file."""

    async def answer(self, request: control.AnyRequest, say: Callable[[control.Answer], None]) -> control.Answer:
        """Do what is asked. Raises MeshErrors for the asker."""
        if isinstance(request, control.GetStatus):
            return await self._status()
        if isinstance(request, control.Run):
            return await self._run(request, say)
        if isinstance(request, ReadFiles):
            return await self._read(request, say)
        if isinstance(request, DrawFile):
            return await self._draw(request, say)
        if isinstance(request, control.Estimate):
            return await self._estimate(request.job)
        if isinstance(request, control.PingDevice):
            return await self._ping(request, say)
        if isinstance(request, control.GetPeers):
            return self._peers()
        if isinstance(request, control.GetModels):
            return control.Models(self._parts.myself.capability())
        if isinstance(request, control.CheckNetwork):
            return control.Network(await self.check_network())
        if isinstance(request, control.SetState | control.SetTerms):
            return await self._steer(request)
        if isinstance(request, control.RotateKey):
            return control.KeyRotated(*await self._parts.coordination.turning.turn())
        if isinstance(request, control.Cancel):
            return self._cancel(request.job)
        if isinstance(request, AnySharingRequest):
            return await self.sharing.answer(request)
        if isinstance(request, AnyKeyRequest):
            return await self.keys.answer(request)
        if isinstance(request, control.OpenPage):
            return await self.page.open()
        if isinstance(request, AnyModelRequest):
            change = self.offering.offer if isinstance(request, OfferModel) else self.offering.forget
            await change(request.workload, request.model)
            with suppress(LinkDown):  # the next Welcome tells it
                await self._parts.coordination.say_hello()
            return control.Ok()
        if not isinstance(request, control.Stop):
            return await self.batches.answer(request, say)
        self._stop()
        return control.Ok()

    async def _status(self) -> control.Status:
        parts = self._parts
        return control.Status(
            device=parts.membership.me,
            name=parts.membership.name,
            network=parts.membership.network,
            member=parts.membership.member,
            software=__version__,
            link="up" if parts.coordination.up else "down",
            condition=parts.myself.condition(),
            capability=parts.myself.capability(),
            gateway=self.gateway,
            epoch=parts.membership.epoch,
            peers=len(parts.membership.peers),
            jobs_running=parts.requester.running + parts.worker.busy,
            jobs_here=parts.worker.busy,
            terms=parts.myself.terms,
            limit=parts.myself.contribution.reason,
            set_by=parts.myself.set_by,
            outbox=await parts.outbox.size(),
            set_aside=await parts.outbox.set_aside(),
            started_ms=self._started_ms,
            relay=None if self.reach is None else self.reach.relay,
            observed=() if self.reach is None else self.reach.observed,
            notice=parts.coordination.notice,
            wrong_models=tuple(map(str, await asyncio.to_thread(self.wrong_models))),
        )

    async def _steer(self, request: control.SetState | control.SetTerms) -> control.Status:
        """The owner sets this device's state or terms; both are kept before it is told."""
        myself = self._parts.myself
        if isinstance(request, control.SetTerms):
            myself.agree(request.terms)
        else:
            myself.want(request.state)
        await myself.remember(self._parts.store)
        return await self._status()

    async def _estimate(self, job: control.Run | ReadFiles) -> control.Estimated:
        parts = self._parts
        estimating = Estimating(parts.membership, parts.planner, parts.coordination)
        if isinstance(job, ReadFiles):
            return await estimating.alike(documents.asked(job, ""), await documents.pages_of(job))
        return await estimating.job(_asked(job))

    def _runner(self, request: control.Run | ReadFiles, say: Callable[[control.Answer], None], tell: OnProgress) -> Run:
        """How jobs of a request are run: at once, or with ``wait`` as soon as somebody can."""

        def waits(job: JobId, error: MeshError, retry_s: float) -> None:
            say(control.Waiting(job, error.wire(), retry_s))

        async def run(ask: Ask) -> Result:
            if request.wait:
                return await self._patience.run(ask, tell, waits)
            return await self._parts.requester.run(ask, tell)

        return run

    async def _run(self, request: control.Run, say: Callable[[control.Answer], None]) -> control.Ran:
        ask = _asked(request)
        run = self._runner(request, say, lambda job, stage, part: say(control.Progress(job, stage, part)))
        if not request.stream:
            return await self._whole(run, ask, say)
        async with streamed(partial(resumed, run) if request.resume else run, ask) as answer:
            answer.on_join = lambda join: say(_joined(join))
            begun = await answer.begun()
            say(control.Begun(begun.job, begun.device, begun.path, begun.estimate, begun.model))
            async for text in answer.texts():
                say(control.Said(text))
                if isinstance(say, Say):  # a client that reads slowly slows its engine
                    await say.taken()
            return _ran(answer.result)

    async def _whole(self, run: Run, ask: Ask, say: Callable[[control.Answer], None]) -> control.Ran:
        """Have it done, over several devices where it is large. A limit of cost is for one job: what several cost
        together is rounded up for each.
        """
        devices = 1 if ask.max_cost is not None else self._parts.membership.count_able()

        def advance(result: Result, done: int, parts: int) -> None:
            say(control.Progress(result.job, "running", done / parts))

        payload, results = await run_divided(run, ask, devices, advance)
        first = _ran(results[0])
        if len(results) == 1:
            return first
        return msgspec.structs.replace(
            first,
            charge=sum(one.charge for one in results),
            units=sum(one.units for one in results),
            manifest=payload.manifest,
            blobs=payload.blobs,
            parts=tuple(PartLine(one.job, one.device, one.path, one.charge) for one in results),
        )

    async def _read(self, request: ReadFiles, say: Callable[[control.Answer], None]) -> ReadEnd:
        """Every request is a caller of its own: its hundreds of pages stand before nobody's single one."""
        run = self._runner(request, say, lambda job, stage, fraction: None)
        ask = documents.asked(request, f"document {next(self._documents)}")
        return await documents.answer(request, ask, run, say)

    async def _draw(self, request: DrawFile, say: Callable[[control.Answer], None]) -> ReadEnd:
        """Draw a document; who takes its pages slowly has no more of them drawn meanwhile."""
        pages = 0
        async with aclosing(documents.pages_drawn(request.file.content)) as drawn:
            async for page in drawn:
                say(page)
                pages += 1
                if isinstance(say, Say):
                    await say.taken()
        return ReadEnd(pages)

    async def _ping(self, request: control.PingDevice, say: Callable[[control.Answer], None]) -> control.Ok:
        found = self._parts.membership.find(request.device)
        if found is None:
            raise UnknownDevice
        loop = asyncio.get_running_loop()
        for number in range(1, min(max(1, request.count), PINGS_MAX) + 1):
            peer = await self._parts.sessions.reach(self._parts.planner.address(found.certificate.device))
            stream = await peer.asking()
            started = loop.time()
            try:
                async with asyncio.timeout(PING_S):
                    await self._parts.requester.exchanges.beat(stream)
            except TimeoutError as error:
                raise TransportTimeout from error
            rtt_ms = (loop.time() - started) * 1000
            path = peer.connection.path()
            say(control.Ping(number, found.certificate.device, path.kind, round(rtt_ms, 3), path.address))
            if number < request.count:
                await asyncio.sleep(min(max(request.interval_s, 0.0), 60.0))
        return control.Ok()

    def _peers(self) -> control.Peers:
        return control.Peers(tuple(self._peer(peer) for peer in self._parts.membership.peers))

    def _peer(self, peer: Peer) -> control.Peer:
        certificate, membership = peer.certificate, self._parts.membership
        own = membership.own.get(certificate.device)
        connected = self._parts.sessions.connected(certificate.key)
        path = None if connected is None else connected.connection.path()
        return control.Peer(
            device=certificate.device,
            name=certificate.name,
            owner=certificate.owner,
            own=membership.is_own(certificate.device),
            state=None if own is None else own.condition.state,
            path=None if path is None else path.kind,
            address=None if path is None else path.address,
            rtt_ms=None if path is None else path.rtt_ms,
            direct_bytes=0 if path is None else path.direct_bytes,
            relayed_bytes=0 if path is None else path.relayed_bytes,
        )

    def _cancel(self, job: JobId) -> control.Ok:
        if not self._parts.requester.cancel(job):
            raise UnknownJob(job=job)
        return control.Ok()


def _ran(result: Result) -> control.Ran:
    return control.Ran(
        job=result.job,
        device=result.device,
        path=result.path,
        charge=result.charge,
        units=result.units,
        model=result.model,
        manifest=result.payload.manifest,
        blobs=result.payload.blobs,
        attempts=tuple(AttemptLine(one.device, one.attempt, one.path, one.code) for one in result.attempts),
        explanation=result.explanation,
        joined=tuple(_joined(join) for join in result.joins),
    )


def _joined(join: Join) -> control.Joined:
    return control.Joined(join.at, join.job, join.device, join.path, join.after, join.cause, join.charge)


def _asked(request: control.Run) -> Ask:
    return Ask(
        workload_named(request.workload),
        Payload(request.manifest, request.blobs),
        request.model,
        request.sensitivity,
        request.routing,
        request.max_cost,
        request.limit_s,
        need=request.need,
        caller="commands",
    )
