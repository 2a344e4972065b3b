"""What workers say, heard: their load, the signs of life of each attempt, what a result shows of a device.

Touches: the event loop's clock.
"""

import asyncio
from collections.abc import Callable

from mesh.agent.asking.flight import Flight, load_of
from mesh.agent.asking.knowledge import Knowledge
from mesh.ids import DeviceId
from mesh.jobs import deadlines, hedging
from mesh.jobs.benching import bench, looked_in_vain
from mesh.jobs.facts import RTT_UNKNOWN_S
from mesh.protocol import frames
from mesh.protocol.frames import AnyFrame
from mesh.protocol.values import Load


class AttentiveClock:
    """Seconds in which this device could have heard something."""

    def __init__(self) -> None:
        self.missed_s = 0.0
        """Seconds in which its loop did not run: nobody was silent for that long."""

    def now(self) -> float:
        """The time; it stands still while the loop does."""
        return asyncio.get_running_loop().time() - self.missed_s


class Hearing:
    """Keeps what is heard in the knowledge that dispatch goes by."""

    def __init__(self, knowledge: Knowledge, clock: AttentiveClock) -> None:
        self.knowledge = knowledge
        self.clock = clock
        self.awake: Callable[[], None] = lambda: None
        """Called when there is something to watch."""
        self.on_read: Callable[[Flight], None] = lambda flight: None
        """Called when bytes of a stream have come that its caller reads."""

    def overdue(self, flight: Flight, now: float) -> bool:
        """Whether an attempt is older than 95 % of such attempts there get."""
        assert flight.signs is not None
        if flight.signs.loading:
            return False
        p95_s = deadlines.p95_s(flight.model.shown, flight.job.spec.work)
        since_s = flight.signs.life_s if flight.moving else flight.signs.submitted_s
        age_s = now - since_s
        return age_s > deadlines.ACCEPT_HEDGE_S and hedging.overdue(
            age_s, waited_s=flight.choice.wait_s, p95_s=p95_s, rtt_s=flight.signs.rtt_s
        )

    def beaten(self, elder: Flight, now: float) -> None:
        """A copy was faster than an attempt that is older than it should be: its device is out at once."""
        if elder.signs is not None and elder.signs.accepted_s is None:
            elder.device.silent = bench("silent", now, elder.device.silent)
        else:
            elder.model.slow = bench("slow", now, elder.model.slow)

    def learn(self, flight: Flight) -> None:
        """A result came: how long the work took there, beside the other jobs of this device, and the answer."""
        model, signs, now = flight.model, flight.signs, self.clock.now()
        model.misses, flight.device.silent = 0, None
        model.slow = model.canary = None
        if signs is None or signs.started_s is None:
            return
        busy_since_s = max(signs.started_s, model.done_s)
        limit_s = flight.deadline_s()
        model.shown.worked(flight.job.spec.work, min(max(0.0, now - busy_since_s), limit_s))
        model.shown.answered(flight.job.spec.work, min(now - signs.started_s, limit_s))
        model.done_s = now

    def told(self, flight: Flight, frame: AnyFrame | None) -> None:
        """A worker's word about an attempt; None: there is a connection, and the Submit leaves now."""
        now = self.clock.now()
        device = flight.device
        if frame is None:
            rtt_s = RTT_UNKNOWN_S if device.rtt_s is None else device.rtt_s
            flight.signs = deadlines.Signs(now, rtt_s, 2 * device.carry_s(len(flight.job.raw)), life_s=now)
            return
        load = load_of(frame)
        if load is not None:
            device.see(load, now)
        device.heard_s, device.silent = now, None
        device.counted(flight.key)
        if flight.signs is None:
            return
        if isinstance(frame, frames.Accept):
            flight.signs = flight.signs._replace(accepted_s=now, wait_s=frame.wait_s, life_s=now)
        elif isinstance(frame, frames.Started):
            flight.signs = flight.signs._replace(accepted_s=now, started_s=now, life_s=now)
        elif isinstance(frame, frames.Progress) and frame.stage != "running":
            begun_s = None if flight.signs.started_s is None else now
            flight.signs = flight.signs._replace(
                submitted_s=now, accepted_s=now, started_s=begun_s, life_s=now, loading=True
            )
        elif isinstance(frame, frames.Progress | frames.Chunk):
            accepted_s = flight.signs.accepted_s or now
            flight.signs = flight.signs._replace(accepted_s=accepted_s, life_s=now, loading=False)
            flight.moving = True
            if isinstance(frame, frames.Chunk) and flight.job.reads(flight.tried):
                self.on_read(flight)

    def beat(self, device: DeviceId, load: Load) -> None:
        """A worker's beat: it is there."""
        seen = self.knowledge.devices.get(device)
        if seen is not None:
            seen.see(load, self.clock.now())
            seen.silent = None

    def lost(self, device: DeviceId) -> None:
        """A device is gone: nothing goes there until it answers."""
        seen = self.knowledge.device(device)
        seen.silent = bench("silent", self.clock.now(), seen.silent)
        seen.forget()
        self.awake()

    def canary_failed(self, flight: Flight) -> None:
        """Its device stays benched, and is tried again after twice the time."""
        model = flight.model
        if model.canary is flight:
            model.canary = None
            if model.slow is not None:
                model.slow = looked_in_vain(model.slow, self.clock.now())
