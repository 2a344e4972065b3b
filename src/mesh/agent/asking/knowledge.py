"""What a requester knows of the devices that it sends jobs to: their load as they say it, and what they have shown.

Times are seconds of the requester's own attentive clock: while its loop did not run, nobody was silent.

Touches: nothing.
"""

from mesh.agent.asking.flight import DeviceSeen, ModelSeen
from mesh.agent.asking.job import Job
from mesh.agent.asking.plan import Plan, Target
from mesh.ids import DeviceId
from mesh.jobs.dispatch import Candidate
from mesh.jobs.learning import Shown
from mesh.protocol.values import JobSpec

SERVICE_UNKNOWN_S = 0.05
"""What a job counts as at a device of which nobody said how fast it is."""
MODELS_MAX = 1024
"""Pairs of device and model that are remembered; the one learned first is forgotten for a new one."""


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
            open=device.silent is None and model.slow is None and plan.covers(job.units, target),
        )
