"""The requester's queue: jobs wait here, and each device gets little at a time, by the least expected finish.

One line for each (workload, model). Where a job goes and why is decided by ``jobs.dispatch``; what is known of the
devices is in ``knowledge``; ``lookout`` watches what is under way. The first good result of a job wins, the others'
attempts are cancelled.

Touches: the event loop, randomness (draws among near ties), the exchanges (through its argument).
"""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Literal

from mesh.agent.asking.asked import AllBusy, Outrun
from mesh.agent.asking.exchange import Exchanges, Missed
from mesh.agent.asking.flight import Entry, Flight, Outcome
from mesh.agent.asking.hearing import AttentiveClock, Hearing
from mesh.agent.asking.job import Job, Tried, Won
from mesh.agent.asking.knowledge import Knowledge
from mesh.agent.asking.line import Line
from mesh.agent.asking.plan import Plan, Target
from mesh.agent.membership import Membership
from mesh.concurrency import Spawn, expected
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.jobs import deadlines, dispatch
from mesh.jobs.attempts import Cancelled, End, believed, blames_input, wait_before_next
from mesh.jobs.dispatch import Candidate
from mesh.protocol.values import Choice, JobSpec
from mesh.transport.interface import TransportError

LOOK_MAX = 64
"""Jobs at the head of a line that are looked at in one go; the others come after them."""
KINDS_MAX = 16
"""Sets of devices for which one look finds that there is no room: then it is likely that there is none at all."""
LINES_MAX = 64
"""Lines that are kept at a time; one in which nothing waits or runs is forgotten for a new one."""

Reason = Literal["first", "finish", "retry", "backup", "canary"]


class Dispatch:
    """All lines of this device."""

    def __init__(self, membership: Membership, exchanges: Exchanges) -> None:
        self.knowledge = Knowledge()
        self.lines: dict[tuple[str, str], Line] = {}
        self.spawn: Spawn
        """Set by the wiring, as ``awake`` is: called when there is something to watch."""
        self.awake: Callable[[], None] = lambda: None
        self.clock = AttentiveClock()
        self.hearing = Hearing(self.knowledge, self.clock)
        self.hearing.on_read = self._only
        self._membership = membership
        self._exchanges = exchanges
        exchanges.on_beat = self.hearing.beat
        self._flying: set[asyncio.Task[None]] = set()

    @property
    def flying(self) -> bool:
        """Whether any attempt is under way."""
        return bool(self._flying)

    def now(self) -> float:
        """Seconds by the attentive clock."""
        return self.clock.now()

    async def do(self, job: Job, plan: Plan) -> Outcome:
        """Have a job done by a device of its plan. Raises what ends the job."""
        entry = Entry(job, plan, expected())
        line = self._line(job.spec)
        if job.seat is None:
            job.seat = line.seating.seat(job.ask.caller, job.units)
        entry.seat = job.seat
        line.entries.add(entry)
        line.put(entry)
        self._refuse_late(line, entry, line.waiting.index(entry) + 1)
        line.burst = max(line.burst, len(line.entries))
        self.pump(line)
        self.awake()
        try:
            return await entry.over
        finally:
            self._leave(line, entry)

    async def stop(self) -> None:
        """End what is still under way: canaries whose jobs are over."""
        for task in list(self._flying):
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)

    def _line(self, spec: JobSpec) -> Line:
        key = (spec.workload, spec.model)
        line = self.lines.get(key)
        if line is None:
            if len(self.lines) >= LINES_MAX:
                self.lines = {name: one for name, one in self.lines.items() if one.entries}
            line = self.lines[key] = Line()
        return line

    def _leave(self, line: Line, entry: Entry) -> None:
        line.entries.discard(entry)
        if entry.over.cancelled() and entry in line.waiting:
            line.waiting.remove(entry)
        won = entry.over.done() and not entry.over.cancelled()
        for flight in list(entry.flights):
            self.drop(flight, "outrun" if won else "failed", Outrun() if won else Cancelled())
        if not line.entries:
            line.burst = 0
            line.seating.all_left()
        else:
            self.pump(line)

    def _refuse_late(self, line: Line, entry: Entry, place: int) -> bool:
        """Turn a job away that would be done too late if it waited for its turn: now, not when its time is up."""
        job, plan, now = entry.job, entry.plan, self.now()
        if place <= 1 or math.isinf(job.by_s):
            return False
        views = [self.view(job, plan, target, now) for target in entry.left if plan.covers(job.units, target)]
        left_s = job.by_s - asyncio.get_running_loop().time()
        if job.spec.guessed:
            left_s += min([view.service_s for view in views], default=0.0)  # only the waiting can be too long
        after_s = dispatch.late_by(views, place, left_s)
        if after_s is None:
            return False
        line.waiting.remove(entry)
        entry.over.set_exception(AllBusy(job=job.id, waiting=len(line.waiting), retry_after_s=round(after_s, 3)))
        return True

    def _expired(self, line: Line, entry: Entry, views: list[Candidate]) -> bool:
        """Turn a job away that has waited until no device could be done with it in time."""
        left_s = entry.job.by_s - asyncio.get_running_loop().time()
        able = [view for view in views if view.open]
        if not able or entry.job.spec.guessed or min(view.service_s for view in able) <= left_s:
            return False
        line.waiting.remove(entry)
        after_s = max(dispatch.SOON_S, dispatch.bag_finish(able, len(line.waiting)))
        entry.over.set_exception(AllBusy(job=entry.job.id, waiting=len(line.waiting), retry_after_s=round(after_s, 3)))
        return True

    # --- what goes where ----------------------------------------------------------------------------------------------

    def pump(self, line: Line) -> None:
        """Send what should go now."""
        now = self.now()
        told_to_wait: set[frozenset[DeviceId]] = set()
        for entry in line.waiting[:LOOK_MAX]:
            if entry.not_before_s > now or entry.over.done():
                continue
            alike = frozenset([target.device for target in entry.left])
            if alike in told_to_wait:
                entry.waited = True
                continue  # nor will this one
            if len(told_to_wait) == KINDS_MAX:
                return
            if not self._next(line, entry, now):
                entry.waited = True
                told_to_wait.add(alike)

    def _next(self, line: Line, entry: Entry, now: float) -> bool:
        """Send a job somewhere, or settle that its plan is spent; False: it is better to wait."""
        job, plan = entry.job, entry.plan
        covered = [target for target in entry.left if plan.covers(job.units, target)]
        if not covered or plan.over(self._membership.clock.now_ms()):
            entry.over.set_result(0.0)
            line.waiting.remove(entry)
            return True
        views = [self.view(job, plan, target, now) for target in covered]
        if entry.waited and self._expired(line, entry, views):
            return True
        in_order = plan.permit is not None and plan.series is None
        chosen = dispatch.choose(views, remaining=len(line.waiting), draw=_draw(), in_order=in_order)
        if chosen is None:
            if any(view.open for view in views) or self._owed(covered, now):
                return False
            if job.refused and job.tried and entry.last is not None:
                line.waiting.remove(entry)
                self._give_up(entry, entry.last)  # one pass over those that are there is enough
                return True
            chosen = self._last_resort(views)
            if chosen is None:
                return False
        reason: Reason = "retry" if job.tried else "first" if in_order and chosen is views[0] else "finish"
        line.waiting.remove(entry)
        line.seating.began(entry.seat)
        target = covered[views.index(chosen)]
        self.send(line, entry, target, self._choice(job, chosen, reason, views), views)
        return True

    def plan_anew(self, line: Line, entry: Entry) -> None:
        """A job that waits has its place in the line still, and gets another plan."""
        line.waiting.remove(entry)
        entry.over.set_result(0.0)

    def view(self, job: Job, plan: Plan, target: Target, now: float) -> Candidate:
        """A device for a job; one that owes an answer to a Submit is closed until it comes."""
        seen, device = self.knowledge.candidate(job, plan, target, now), self.knowledge.device(target.device)
        device.wanted_s, device.address = now, target.address
        if seen.open and any(_owes(flight, now) for flight in device.flights):
            return seen._replace(open=False)
        return seen

    def _owed(self, targets: list[Target], now: float) -> bool:
        """Whether one of these is only closed until it has answered a Submit."""
        seen = [self.knowledge.device(target.device) for target in targets]
        return any(one.silent is None and any(_owes(flight, now) for flight in one.flights) for one in seen)

    def _last_resort(self, views: list[Candidate]) -> Candidate | None:
        """All are benched: a bench keeps work for better devices, and where there are none it keeps nothing. Who was
        slow is better than who is silent.
        """
        ready = [view for view in views if view._replace(open=True).ready]
        seen = self.knowledge.device
        return min(ready, key=lambda view: (seen(view.device).silent is not None, view.in_flight), default=None)

    def _choice(self, job: Job, chosen: Candidate, reason: Reason, views: list[Candidate]) -> Choice:
        number, after = job.attempts_before + len(job.tried) + 1, dispatch.next_best(views, chosen)
        other = ("", 0.0) if after is None else (after.device, round(after.finish_s, 6))
        return Choice(chosen.device, number, round(chosen.finish_s, 6), round(chosen.wait_s, 6), reason, *other)

    def send(self, line: Line, entry: Entry, target: Target, choice: Choice, views: list[Candidate]) -> Flight:
        """Begin an attempt."""
        job, now = entry.job, self.now()
        tried = Tried(choice.attempt, target, entry.plan, self._membership.clock.now_ms())
        chosen = next(view for view in views if view.device == target.device)
        tried.unheard = choice.reason == "canary"
        tried.wait_limit_s = dispatch.wait_limit_s(chosen, views, entry.busy_answers)
        job.tried.append(tried)
        job.choices.append(choice)
        device, model = self.knowledge.device(target.device), self.knowledge.model(target, job.spec)
        flight = Flight(entry, tried, choice, (device, model), self.hearing.told)
        flight.began_s = now
        for flights in (entry.flights, device.flights, model.flights):
            flights.append(flight) if isinstance(flights, list) else flights.add(flight)
        device.sent(flight.key, chosen.service_s)
        flight.task = self.spawn(self._fly(line, flight))
        self._flying.add(flight.task)
        flight.task.add_done_callback(self._flying.discard)
        return flight

    # --- how it ends --------------------------------------------------------------------------------------------------

    async def _fly(self, line: Line, flight: Flight) -> None:
        missed: Missed | None = None
        won: Won | None = None
        flight.begun = True
        try:
            if not flight.dropped:
                won = await self._exchanges.attempt(flight.job, flight.tried, flight)
        except Missed as error:
            missed = error
        finally:
            self._landed(flight)
            if flight.taken_back is not None:
                self.go_on(flight.entry, flight.taken_back)
        if won is not None:
            self._won(line, flight, won)
        elif missed is not None:
            self._missed(line, flight, missed)
        self.pump(line)

    def _landed(self, flight: Flight) -> None:
        flight.device.flights.discard(flight)
        flight.model.flights.discard(flight)
        flight.device.counted(flight.key)
        if flight in flight.entry.flights:
            flight.entry.flights.remove(flight)

    def drop(self, flight: Flight, end: End, error: MeshError) -> None:
        """Give an attempt up. A canary goes on: what is wanted of it is its time, not its result."""
        if flight.tried.end is None:
            flight.tried.ended(end, error, self._membership.clock.now_ms())
        if flight in flight.entry.flights:
            flight.entry.flights.remove(flight)
        if not flight.dropped and not (flight.canary and end == "outrun"):
            flight.give_up()

    def take_back(self, flight: Flight, end: End, error: MeshError) -> None:
        """Give an attempt up for another one: its job goes on as soon as this one has been cancelled, not before."""
        if flight.tried.end is None:
            flight.tried.ended(end, error, self._membership.clock.now_ms())
        if not flight.dropped:
            flight.taken_back = error
            flight.give_up()

    def _only(self, flight: Flight) -> None:
        """Its stream goes to the caller now: no other attempt's can."""
        for other in [one for one in flight.entry.flights if one is not flight]:
            self.drop(other, "outrun", Outrun())

    def _won(self, line: Line, flight: Flight, won: Won) -> None:
        self.hearing.learn(flight)
        entry = flight.entry
        if entry.over.done() or flight.tried.end is not None:
            return
        now = self.now()
        for elder in entry.flights:
            if elder.signs is not None and not elder.canary and self.hearing.overdue(elder, now):
                self.hearing.beaten(elder, now)
        line.copied.append(entry.copied)
        entry.over.set_result(won)

    def _missed(self, line: Line, flight: Flight, missed: Missed) -> None:
        """An attempt gave no result: the job goes on elsewhere, or ends."""
        entry, error = flight.entry, missed.error
        if isinstance(error, TransportError):
            self.hearing.lost(flight.target.device)
        if flight.canary:
            self.hearing.canary_failed(flight)
        if entry.over.done() or flight.dropped:
            return
        entry.last = error
        if entry.job.reads(flight.tried):
            entry.over.set_exception(entry.job.broken(flight.tried, error))
            return
        if missed.end == "busy":
            entry.busy_answers += 1
        elif flight.target in entry.left:
            entry.left.remove(flight.target)
        if missed.end == "failed" and self._believed(entry.job, flight.target.device, error):
            entry.over.set_exception(error)  # what is wrong with the input is wrong on every device
            return
        self.go_on(entry, error)

    def _believed(self, job: Job, device: DeviceId, error: MeshError) -> bool:
        others = [tried.code for tried in job.failed(but=device)]
        return believed(error.wire_code, others, own=self._membership.is_own(device))

    def go_on(self, entry: Entry, error: MeshError) -> None:
        """An attempt has ended without a result: unless another device has the job too, it waits for one, or ends."""
        if entry.flights or entry.over.done():
            return
        job = entry.job
        wait_s = wait_before_next(job.ends, others_open=bool(entry.left), draw=_draw())
        if wait_s is not None and blames_input(error.wire_code):
            wait_s = 0.0
        if wait_s is None or job.spent:
            self._give_up(entry, error)
        elif not entry.left:
            entry.over.set_result(wait_s)
        else:
            entry.not_before_s = self.now() + wait_s
            self._line(job.spec).put(entry)

    @staticmethod
    def _give_up(entry: Entry, error: MeshError) -> None:
        """No more tries under this plan. Whoever turned the job away under a series, other than for having too much
        to do, may be known to the coordinator as out of question by now: it is asked about this very job.
        """
        job = entry.job
        if entry.plan.series is not None and not job.alone and job.refused and error.wire_kind != "too_many":
            job.alone = True
            entry.over.set_result(0.0)
        else:
            entry.over.set_exception(job.failure(error))


def _owes(flight: Flight, now: float) -> bool:
    signs = flight.signs
    return signs is not None and signs.accepted_s is None and deadlines.silence(signs, 0.0, now) is not None


def _draw() -> float:
    return random.random()  # noqa: S311 - spreads load, guards nothing
