"""Watches what is under way: who owes a sign of life is benched, what is overdue is copied, who is benched is tried.

It looks forty times a second while any job is under way, and rests when none is. A look that comes late shows that this
device's own loop did not run: for so long nobody else was silent.

Touches: the event loop, the agent's sessions and exchanges (through its arguments).
"""

import asyncio

from mesh.agent.asking.dispatch import Dispatch, Reason
from mesh.agent.asking.exchange import Exchanges
from mesh.agent.asking.flight import DeviceSeen, Entry, Flight
from mesh.agent.asking.line import Line
from mesh.agent.asking.plan import Target
from mesh.agent.peers.sessions import Sessions
from mesh.agent.peers.stream import PeerSilent
from mesh.concurrency import Spawn
from mesh.errors import MeshError
from mesh.ids import DeviceId
from mesh.jobs import hedging
from mesh.jobs.benching import bench, looked_in_vain, missed
from mesh.jobs.deadlines import ACCEPT_HEDGE_S, silence
from mesh.jobs.dispatch import Candidate
from mesh.protocol import frames
from mesh.protocol.values import Choice
from mesh.transport.interface import Address

LOOK_S = 0.025
"""Half of the shortest deadline."""
LOOK_WHILE_READ_S = 0.25
"""While all that flies is being read by its callers, no deadline of it runs: only benched devices are looked at."""
LATE_S = 0.010
"""A look that comes later than this was held up here."""
DIAL_HEDGE_S = 1.0
"""A dial that takes longer than most: a relayed one over two continents takes 2 s, others a tenth."""
PING_LIMIT_S = 2.0
PINGED_S = 60.0
"""A benched device is pinged for so long after the last job that could have gone there."""


class NoSign(MeshError):
    """The device gave no sign of progress for far longer than such jobs take there. The job is done elsewhere."""

    code = "job.no_sign"
    kind = "timed_out"


class Lookout:
    """Looks after one dispatch."""

    def __init__(self, dispatch: Dispatch, exchanges: Exchanges, sessions: Sessions) -> None:
        self._dispatch = dispatch
        self._exchanges = exchanges
        self._sessions = sessions
        self.spawn: Spawn
        """Set by the wiring."""
        self._due: asyncio.TimerHandle | None = None
        self._pinging: dict[DeviceId, asyncio.Task[None]] = {}
        dispatch.awake = dispatch.hearing.awake = self.awake

    def awake(self) -> None:
        """There is something to watch."""
        self._look_after(LOOK_S)

    def stop(self) -> None:
        """Look no more."""
        if self._due is not None:
            self._due.cancel()
        for task in self._pinging.values():
            task.cancel()

    def _look_after(self, wait_s: float) -> None:
        """Look in so many seconds, or earlier if that was said before."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + wait_s
        if self._due is not None:
            if self._due.when() <= due_s:
                return
            self._due.cancel()
        self._due = loop.call_at(due_s, self._look, due_s)

    def _look(self, due_s: float) -> None:
        self._due = None
        late_s = asyncio.get_running_loop().time() - due_s
        if late_s > LATE_S:
            self._dispatch.clock.missed_s += late_s
        now = self._dispatch.now()
        for line in list(self._dispatch.lines.values()):
            for flight in line.flights():
                self._check(line, flight, now)
            self._canaries(line, now)
            if line.waiting:
                self._dispatch.pump(line)
        for seen in self._dispatch.knowledge.devices.values():
            for flight in [one for one in seen.flights if one.canary and one.entry.over.done()]:
                self._check_canary(flight, now)
        self._ping_benched(now)
        lines = self._dispatch.lines.values()
        if any(line.entries for line in lines) or self._dispatch.flying:
            flights = [flight for seen in self._dispatch.knowledge.devices.values() for flight in seen.flights]
            read = not any(line.waiting for line in lines) and all(one.job.reads(one.tried) for one in flights)
            self._look_after(LOOK_WHILE_READ_S if flights and read else LOOK_S)

    # --- signs of life ------------------------------------------------------------------------------------------------

    def _check(self, line: Line, flight: Flight, now: float) -> None:
        """What an attempt's silence, or its age, means now."""
        if flight.canary:
            self._check_canary(flight, now)
            return
        if flight.job.reads(flight.tried):
            return  # it goes on there or nowhere; the session's own beats tell whether anybody is there
        if flight.signs is None:
            if now - flight.began_s > DIAL_HEDGE_S and line.may_copy():
                self._copy(line, flight)
            return
        what = silence(flight.signs, flight.deadline_s(), now)
        if what == "silent":
            self._bench_silent(line, flight.device, now)
        elif what == "late":
            self._late(line, flight, now)
        elif what == "unaccepted":
            if line.may_copy():  # where all devices are starved of time, more work would only starve them more
                self._copy(line, flight)
        elif not line.waiting:
            self._back_up(line, flight, now)

    def _bench_silent(self, line: Line, device: DeviceSeen, now: float) -> None:
        """Nobody is there: what has not begun is taken back, what has is copied."""
        if device.silent is None:
            device.silent = bench("silent", now)
            device.forget()
        for flight in list(device.flights):
            if flight.canary or not (self._elsewhere(flight, now) or self._was_slow(flight)):
                continue
            if flight.started:
                self._copy(line, flight)
            else:
                self._dispatch.take_back(flight, "unstarted", PeerSilent())

    def _late(self, line: Line, flight: Flight, now: float) -> None:
        """It answers, and does nothing: a hung engine, or one that is very slow."""
        if not flight.late:
            flight.late = True
            flight.model.misses += 1
            beat_missing = now - flight.device.heard_s > 2 * frames.BEAT_S
            if missed(flight.model.misses, beat_missing=beat_missing):
                flight.model.slow = bench("slow", now, flight.model.slow)
        for other in list(flight.model.flights):
            if other.canary or other.job.reads(other.tried):
                continue
            if other.job.copyable:
                self._copy(line, other)
            elif other.late and self._elsewhere(other, now):
                self._dispatch.take_back(other, "lost", NoSign())

    def _elsewhere(self, flight: Flight, now: float) -> list[tuple[Target, Candidate]]:
        """The other devices of a job's plan that could take it, each as it is known now."""
        entry = flight.entry
        flown, job, plan = entry.flown, entry.job, entry.plan
        found = [
            (target, self._dispatch.view(job, plan, target, now))
            for target in entry.left
            if target.device not in flown and plan.covers(job.units, target)
        ]
        return [(target, view) for target, view in found if view.open]

    def _was_slow(self, flight: Flight) -> bool:
        """Whether a device that is benched for having been slow could take it: it is there, and a silent one is not."""
        entry, knowledge = flight.entry, self._dispatch.knowledge
        others = [target for target in entry.left if target.device not in entry.flown]
        return any(
            knowledge.device(one.device).silent is None and entry.plan.covers(entry.job.units, one) for one in others
        )

    # --- copies -------------------------------------------------------------------------------------------------------

    def _back_up(self, line: Line, flight: Flight, now: float) -> None:
        """Nothing waits: an idle device may have a copy, where that gains."""
        entry = flight.entry
        if flight.signs is None or len(entry.flights) != 1 or not flight.job.copyable:
            return
        age_s = now - flight.signs.submitted_s
        if age_s <= ACCEPT_HEDGE_S or not line.may_copy():
            return
        overdue = self._dispatch.hearing.overdue(flight, now)
        if not overdue and (line.burst <= 1 or flight.signs.loading):
            return
        idle = [one for one in self._elsewhere(flight, now) if one[1].in_flight == 0 and one[1].wait_s <= 0]
        if not idle:
            return
        target, view = min(idle, key=lambda one: one[1].finish_s)
        if overdue or hedging.gains(age_s, flight.choice.expected_s, view.finish_s):
            self._send_copy(line, entry, target, view, "backup")

    def _copy(self, line: Line, flight: Flight) -> None:
        """Something is wrong with an attempt: the best other device gets the job, too."""
        entry = flight.entry
        if len(entry.flights) != 1 or not flight.job.copyable or entry.over.done():
            return
        ready = [one for one in self._elsewhere(flight, self._dispatch.now()) if one[1].ready]
        if ready:
            target, view = min(ready, key=lambda one: one[1].finish_s)
            self._send_copy(line, entry, target, view, "backup")

    def _send_copy(self, line: Line, entry: Entry, target: Target, view: Candidate, reason: Reason) -> Flight | None:
        job = entry.job
        if job.spent:
            return None
        number = job.attempts_before + len(job.tried) + 1
        choice = Choice(target.device, number, round(view.finish_s, 6), round(view.wait_s, 6), reason)
        entry.copied = entry.copied or reason == "backup"
        return self._dispatch.send(line, entry, target, choice, [view])

    # --- the benched --------------------------------------------------------------------------------------------------

    def _canaries(self, line: Line, now: float) -> None:
        """A device that was slow gets a copy of a job that runs elsewhere, now and then."""
        for entry in list(line.entries):
            if len(entry.flights) != 1 or not entry.job.copyable or entry.over.done():
                continue
            for target, model in self._dispatch.knowledge.models(entry.job.spec, entry.plan):
                due = model.slow is not None and model.canary is None and model.slow.next_s <= now
                there = self._dispatch.knowledge.device(target.device).silent is None
                if due and there and target.device not in entry.flown and entry.plan.covers(entry.job.units, target):
                    view = self._dispatch.view(entry.job, entry.plan, target, now)
                    model.canary = self._send_copy(line, entry, target, view, "canary")
                    break

    def _check_canary(self, flight: Flight, now: float) -> None:
        signs = flight.signs
        if signs is not None and silence(signs, flight.deadline_s(), now) not in ("silent", "late"):
            return
        if signs is None and now - flight.began_s <= DIAL_HEDGE_S:
            return
        self._dispatch.hearing.canary_failed(flight)
        self._dispatch.take_back(flight, "outrun", NoSign())

    def _ping_benched(self, now: float) -> None:
        for device, seen in self._dispatch.knowledge.devices.items():
            wanted = seen.silent is not None and seen.silent.next_s <= now and now - seen.wanted_s <= PINGED_S
            if wanted and device not in self._pinging and seen.address is not None:
                self._pinging[device] = self.spawn(self._ping(seen, seen.address))

    async def _ping(self, seen: DeviceSeen, address: Address) -> None:
        """Ask a benched device whether it is there; its answer, with its load, ends the bench."""
        try:
            async with asyncio.timeout(PING_LIMIT_S):
                peer = await self._sessions.reach(address)
                await self._exchanges.beat(await peer.asking())
        except (MeshError, TimeoutError):
            if seen.silent is not None:
                seen.silent = looked_in_vain(seen.silent, self._dispatch.now())
        else:
            seen.silent = None
        finally:
            self._pinging.pop(seen.device, None)
