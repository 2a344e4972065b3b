"""A requester among devices that freeze, hang, die, come back, are slow, busy and broken, in time that is made up.

The requester, its dispatch and its lookout are real; what stands in for the network is ``World.attempt``: what a device
says about one attempt, and when. Time jumps from one event to the next.
"""

import asyncio
import heapq
import random
from collections import Counter
from types import SimpleNamespace

from mesh.agent.asking.answers import Signer
from mesh.agent.asking.asked import Ask
from mesh.agent.asking.dispatch import Dispatch
from mesh.agent.asking.exchange import LAST_WORD_S, DeviceBusy, Missed
from mesh.agent.asking.job import CANCELLED, Won
from mesh.agent.asking.lookout import Lookout
from mesh.agent.asking.numbers import Numbered
from mesh.agent.asking.plan import Plan, Target
from mesh.agent.asking.requester import Requester
from mesh.agent.peers.stream import PeerSilent
from mesh.concurrency import expected
from mesh.credits.settlement import AttemptFacts, Pay, ShareFacts, settle_job
from mesh.credits.tariff import Rate
from mesh.errors import MeshError
from mesh.jobs.lifecycle import GIVEN_UP
from mesh.jobs.placement import NowhereToRun
from mesh.protocol import frames, receipt, signed
from mesh.protocol.permit import Permit, Price
from mesh.protocol.values import Candidate, Explanation, Load, Usage
from mesh.transport.interface import Address, ConnectionLost, DialTimeout
from mesh.workloads.embeddings import payload_of
from mesh.workloads.known import workload_named
from mesh.workloads.process import EngineCrashed

SEED = bytes(range(32))
ME = "01JDDHCB00ASKER00000000000"
NETWORK = "01JDDHCB00NETW0RK000000000"
EMBEDDINGS = workload_named("embeddings")
PRICE = 1000
RTT_S = 0.002


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

    def __init__(self):
        super().__init__()
        self._time_s = 1000.0

    def time(self):
        return self._time_s

    def _run_once(self):
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready and self._scheduled:
            self._time_s = max(self._time_s, self._scheduled[0].when())
        super()._run_once()


class TooMuch(MeshError):
    """Made up: the device has too much to do."""

    code = "made_up.too_much"
    kind = "too_many"


class Device:
    """One device with one slot."""

    def __init__(self, world, number, service_s):
        self.id = f"01JDDHCB00W0RKER{number:010d}"
        self.key = signed.public_key(bytes([number + 1]) * 32)
        self.world, self.service_s = world, service_s
        self.up, self.moving, self.working = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self.up, self.moving, self.working):
            event.set()
        self.slot = asyncio.Lock()
        self.taken = 0
        self.told = 0
        self.fails = 0.0
        self.attempts = {}

    def load(self):
        self.told += 1
        return Load(self.told, self.taken, self.taken * self.service_s)

    def freeze(self):
        self.moving.clear()
        frozen = self.frozen = object()
        asyncio.get_running_loop().call_later(3.0, self._silent, frozen)

    def thaw(self):
        self.frozen = None
        self.moving.set()

    def _silent(self, frozen):
        if self.frozen is frozen and not self.moving.is_set():
            self.lose(PeerSilent())

    def die(self):
        self.up.clear()
        self.lose(ConnectionLost())
        self.thaw()

    def lose(self, error):
        for gone in list(self.attempts.values()):
            if not gone.done():
                gone.set_exception(error)
        self.told = 0

    async def serve(self, job, tried, watch):
        gone = self.attempts[job.id, tried.number] = expected()
        state = SimpleNamespace(begun=False, heard=watch.heard)
        work = asyncio.ensure_future(self._work(job, tried, state))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise Missed("lost" if state.begun else "unstarted", gone.exception())
        except asyncio.CancelledError:
            if tried.code == CANCELLED:
                state.heard = lambda frame: None
                job.last_words.append(self.world.spawn(self._cross(job, tried, work, gone)))
            raise
        finally:
            del self.attempts[job.id, tried.number]
            if tried.code != CANCELLED:
                work.cancel()

    async def _cross(self, job, tried, work, gone):
        """The cancel is on its way, and reaches a device that moves; what is done before crosses it."""
        stopped = asyncio.ensure_future(self._hear_cancel(work))
        done, _ = await asyncio.wait({work, gone, stopped}, timeout=LAST_WORD_S, return_when=asyncio.FIRST_COMPLETED)
        if work in done and not work.cancelled() and work.exception() is None:
            tried.crossed = work.result()
            self.world.crossed.add(job.id)
        if gone in done:
            work.cancel()
        self.world.hearing.add(stopped)  # one that is frozen hears of it when it moves again

    async def _hear_cancel(self, work):
        await asyncio.sleep(RTT_S / 2)
        await self.moving.wait()
        work.cancel()

    async def _work(self, job, tried, state):
        draw, about = self.world.draw, (job.id, tried.number)
        await asyncio.sleep(RTT_S)
        await self.moving.wait()
        wait_s = self.taken * self.service_s
        if draw.random() < self.world.declines:
            state.heard(frames.Decline(*about, {"code": TooMuch.code, "kind": "too_many"}, 0.5, self.load()))
            raise Missed("declined", TooMuch(retry_after_s=0.5))
        if tried.wait_limit_s is not None and wait_s > tried.wait_limit_s:
            state.heard(frames.Busy(*about, self.load()))
            raise Missed("busy", DeviceBusy())
        self.taken += 1
        try:
            state.heard(frames.Accept(*about, wait_s, self.load()))
            async with self.slot:
                await self.moving.wait()
                state.begun = True
                state.heard(frames.Started(*about, self.load()))
                await asyncio.sleep(self.service_s * draw.lognormvariate(0, self.world.scatter))
                await self.working.wait()
                await self.moving.wait()
                if draw.random() < self.fails:
                    state.heard(frames.Fault(*about, {"code": EngineCrashed.code}, load=self.load()))
                    raise Missed("failed", EngineCrashed())
            self.world.claims.add((job.id, tried.number))
        finally:
            self.taken -= 1
        state.heard(frames.Done(*about, Usage(job.units), "claim", b"", 0, self.load()))
        return Won(tried, self.key, "claim", job.units, job.units, job.ask.payload)


class World:
    """The network around one requester, and what must hold in it."""

    def __init__(self, seed, services):
        self.draw = random.Random(seed)
        self.devices = [Device(self, number, service_s) for number, service_s in enumerate(services)]
        self.of = {device.id: device for device in self.devices}
        self.claims, self.answered = set(), {}
        self.crossed, self.hearing, self.denied = set(), set(), set()
        self.under_way = Counter()
        self.attempts = Counter()
        self.ends, self.reasons = Counter(), Counter()
        self.numbered = 0
        self.declines = 0.01
        self.scatter = 0.3
        self.hints, self.took = 0, []
        self.bugs = []
        self.on_beat = None
        clock = SimpleNamespace(now_ms=lambda: int(asyncio.get_running_loop().time() * 1000))
        membership = SimpleNamespace(clock=clock, network=NETWORK, me=ME, is_own=lambda device: False)
        keys = SimpleNamespace(seed=lambda own=None: SEED)
        series = SimpleNamespace(answered=lambda job: None, close=lambda: (), give_up=lambda series: None)
        sessions = SimpleNamespace(connected=lambda key: None, reach=self.reach)
        planner = SimpleNamespace(plan=self.plan, series=series)
        numbers = SimpleNamespace(job=self.number, request=lambda *about: "")
        outbox = SimpleNamespace(add_answers=self.add_answers)
        self.requester = Requester(membership, Signer(NETWORK, ME, keys), outbox, sessions, planner, numbers)
        self.requester.dispatch = Dispatch(membership, self)
        self.requester.lookout = Lookout(self.requester.dispatch, self, sessions)
        for part in (self.requester, self.requester.dispatch, self.requester.lookout):
            part.spawn = self.spawn

    def spawn(self, work):
        """A task whose failure fails the storm."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._over)
        return task

    def _over(self, task):
        if not task.cancelled() and task.exception() is not None:
            self.bugs.append(task.exception())

    # --- what a requester needs of others -----------------------------------------------------------------------------

    async def number(self, now_ms):
        self.numbered += 1
        return Numbered(f"01JDDHCB00J0B{self.numbered:013d}", SEED, self.numbered)

    async def plan(self, job, request):
        avoid = job.avoid()
        able = [device for device in self.devices if device.id not in avoid]
        if not able:
            raise NowhereToRun(job=job.id)
        self.draw.shuffle(able)
        targets = [Target(one.id, Address(one.key), PRICE, one.service_s) for one in able[:4]]
        return Plan(targets, self.permit(job, able[:4]), "token", Explanation(), placed_here=False)

    def permit(self, job, devices):
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        return Permit(
            network=NETWORK, permit=f"permit of {job.id} {len(job.plans)}", request="", payer="", requester=ME,
            requester_key=self.devices[0].key, role="member", workload="embeddings", model=job.spec.model,
            sensitivity=job.spec.sensitivity, price=Price(1, 1, 1), maximum=PRICE, job=job.id, epoch=1,
            candidates=tuple(Candidate(one.id, one.key, "", PRICE) for one in devices),
            issued_ms=now_ms, start_by_ms=now_ms + 240_000, finish_by_ms=now_ms + 840_000,
        )  # fmt: skip

    async def reach(self, address):
        device = next(one for one in self.devices if one.key == address.key)
        if not device.up.is_set():
            await asyncio.sleep(5.0)
            raise DialTimeout
        return SimpleNamespace(asking=lambda: self.stream(device))

    async def stream(self, device):
        return device

    async def beat(self, device):
        await asyncio.sleep(RTT_S)
        await device.moving.wait()
        self.on_beat(device.id, device.load())

    async def attempt(self, job, tried, watch):
        device = self.of[tried.target.device]
        assert job.id not in self.answered, "an attempt begins when all was said about its job"
        if job.spec.sensitivity == "sensitive":
            assert self.under_way[job.id] == 0, "a sensitive job is at two devices at once"
        assert tried.number <= 64
        self.under_way[job.id] += 1
        self.attempts[device.id] += 1
        try:
            await asyncio.sleep(RTT_S)
            if not device.up.is_set():
                await asyncio.sleep(self.draw.choice((0.001, 5.0)))
                raise Missed("unreached", DialTimeout())
            watch.connected("direct", RTT_S)
            tried.submitted = True
            tried.maximum = PRICE
            won = await device.serve(job, tried, watch)
        except Missed as missed:
            if tried.end is None:
                tried.ended(missed.end, missed.error, 0)
            raise
        finally:
            self.under_way[job.id] -= 1
        return won

    async def add_answers(self, job, number, outgoing, now_ms):
        """Every attempt that was submitted has exactly one answer, and at most one of them pays."""
        assert job not in self.answered, "a job was answered twice"
        facts = [one.content.decode() for one in outgoing if one.kind == "fact"]
        said = {}
        for token in facts:
            for kind in (receipt.Used, receipt.Superseded, receipt.Failed):
                try:
                    paper = signed.verify(token, kind, signed.public_key(SEED), NETWORK)
                except signed.BadToken:
                    continue
                assert paper.attempt not in said, "an attempt was answered twice"
                said[paper.attempt] = kind
                if kind is receipt.Failed and paper.reason not in GIVEN_UP:
                    self.denied.add((job, paper.attempt))
        self.answered[job] = (number, said)

    # --- what happens -------------------------------------------------------------------------------------------------

    async def ask(self, **changes):
        """Ask for a job, and note how it ended."""
        began = asyncio.get_running_loop().time()
        ask = Ask(EMBEDDINGS, payload_of(["boats in the dark"]))._replace(**changes)
        try:
            result = await self.requester.run(ask)
        except MeshError as error:
            self.ends[error.wire_code] += 1
            self.hints += error.facts.get("retry_after_s", 0) > 0
            return None
        except asyncio.CancelledError:
            self.ends["cancelled"] += 1
            return None
        self.ends["done"] += 1
        self.took.append(asyncio.get_running_loop().time() - began)
        self.reasons.update(choice.reason for choice in result.explanation.choices)
        return result

    def settle(self, job):
        """What a job's evidence comes to."""
        number, said = self.answered[job]
        attempts = [
            AttemptFacts(
                attempt, "share", PRICE,
                claimed=17 if (job, attempt) in self.claims else None,
                outcome="done" if (job, attempt) in self.claims else None,
                used=17 if kind is receipt.Used else None,
                failed=kind is receipt.Failed,
                superseded=kind is receipt.Superseded,
            )
            for attempt, kind in said.items()
        ]  # fmt: skip
        shares = {"share": ShareFacts("share", "closing", PRICE, True, Rate(1, 1, 1))}
        return number, [one for one in settle_job(attempts, shares, free=None) if isinstance(one, Pay)]
