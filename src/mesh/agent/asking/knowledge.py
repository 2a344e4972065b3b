"""What a requester knows of the devices that it sends jobs to: their load as they say it, and what they have shown.

Times are seconds of the requester's own attentive clock: while its loop did not run, nobody was silent.

Touches: nothing.
"""

from typing import TYPE_CHECKING

from mesh.agent.asking.job import Job, Plan, Target
from mesh.ids import DeviceId
from mesh.jobs.benching import Bench
from mesh.jobs.dispatch import Candidate
from mesh.jobs.facts import RATE_NEAR_BYTES_S, RATE_UNKNOWN_BYTES_S
from mesh.jobs.learning import Shown
from mesh.protocol.session import Key
from mesh.protocol.values import JobSpec, Load
from mesh.transport.interface import Address

if TYPE_CHECKING:
    from mesh.agent.asking.flight import Flight

SERVICE_UNKNOWN_S = 0.05
"""What a job counts as at a device of which nobody said how fast it is."""
MODELS_MAX = 1024
"""Pairs of device and model that are remembered; the one learned first is forgotten for a new one."""
LOAD_OLD_S = 5.0
"""Words that overtake each other are milliseconds apart."""
FAST_RTT_S = 0.005
"""A round trip below this is within a building, where networks are fast too."""


class DeviceSeen:
    """A device's load, and whether it is there.

    ``rtt_s`` None: not measured yet. It then counts as near, or a device that was never used never would be.
    """

    def __init__(self, device: DeviceId) -> None:
        self.device = device
        self.silent: Bench | None = None
        self.rtt_s: float | None = None
        self.heard_s = 0.0
        self.wanted_s = 0.0
        """When a job last could have gone there."""
        self.address: Address | None = None
        self.flights: set[Flight] = set()
        self._load = Load()
        self._load_s = 0.0
        self._unseen: dict[Key, float] = {}

    def see(self, load: Load, now_s: float) -> None:
        """The device says how much it has to do; only the newest such word counts.

        A device that has started anew counts from the beginning again: what it said long before does not stand.
        """
        self.heard_s = now_s
        if load.sequence > self._load.sequence or now_s - self._load_s > LOAD_OLD_S:
            self._load, self._load_s = load, now_s

    def sent(self, key: Key, service_s: float) -> None:
        """A job goes there that its load does not count yet."""
        self._unseen[key] = service_s

    def counted(self, key: Key) -> None:
        """From now on its load counts that job, or never will."""
        self._unseen.pop(key, None)

    def forget(self) -> None:
        """It was lost: when it comes back it begins anew, with nothing of ours."""
        self._load, self._unseen = Load(), {}

    def wait_s(self, now_s: float) -> float:
        """Seconds of work that wait there, as far as is known here."""
        told = max(0.0, self._load.work_s - (now_s - self._load_s))
        return told + sum(self._unseen.values())

    def carry_s(self, size: int) -> float:
        """Seconds in which an input of this size should get there."""
        if self.rtt_s == 0.0:
            return 0.0
        near = self.rtt_s is None or self.rtt_s < FAST_RTT_S
        return size / (RATE_NEAR_BYTES_S if near else RATE_UNKNOWN_BYTES_S)


class ModelSeen:
    """A device with one model: what its jobs have shown, which of ours are there, whether its engine does anything."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.flights: set[Flight] = set()
        self.misses = 0
        self.slow: Bench | None = None
        self.canary: Flight | None = None
        self.done_s = 0.0


class Knowledge:
    """All of it."""

    def __init__(self) -> None:
        self.devices: dict[DeviceId, DeviceSeen] = {}
        self._models: dict[tuple[DeviceId, str, str], ModelSeen] = {}

    def device(self, device: DeviceId) -> DeviceSeen:
        """What is known of a device; nothing at first."""
        seen = self.devices.get(device)
        if seen is None:
            seen = self.devices[device] = DeviceSeen(device)
        return seen

    def model(self, target: Target, spec: JobSpec) -> ModelSeen:
        """What is known of a device with a job's model; at first what the permit says of it."""
        key = (target.device, spec.workload, spec.model)
        seen = self._models.get(key)
        if seen is None:
            if len(self._models) >= MODELS_MAX:
                self._models.pop(next(iter(self._models)))
            shown = Shown(max(spec.work, 1), target.service_s or SERVICE_UNKNOWN_S)
            seen = self._models[key] = ModelSeen(shown)
        return seen

    def models(self, spec: JobSpec, plan: Plan) -> list[tuple[Target, ModelSeen]]:
        """The devices of a plan with a job's model, as far as they were used."""
        found = ((target, self._models.get((target.device, spec.workload, spec.model))) for target in plan.targets)
        return [(target, seen) for target, seen in found if seen is not None]

    def candidate(self, job: Job, plan: Plan, target: Target, now_s: float) -> Candidate:
        """A device as the rules of dispatch see it for one job."""
        device, model = self.device(target.device), self.model(target, job.spec)
        return Candidate(
            device=target.device,
            wait_s=device.wait_s(now_s),
            extra_s=device.carry_s(len(job.raw)),
            service_s=model.shown.service_s(job.spec.work),
            rtt_s=device.rtt_s or 0.0,
            in_flight=len(model.flights),
            open=device.silent is None and model.slow is None and plan.covers(job, target),
        )
