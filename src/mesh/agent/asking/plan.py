"""Where a job may go and what may be paid there: the devices of a permit, or of a series of jobs that has one grant.

Touches: nothing.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from mesh.credits.tariff import FREE, Rate
from mesh.ids import DeviceId
from mesh.jobs.series import renew_now
from mesh.protocol.permit import Permit
from mesh.protocol.values import Explanation
from mesh.transport.interface import Address

OWN_S = 5.0
"""What the coordinator said of one's own devices is as old as a beat at most."""
START_MARGIN_MS = 10_000
"""Nothing is sent under a permit in its last seconds: it must still be good where the job arrives."""


class Target(NamedTuple):
    """A device that may do the job, and the most that may be paid there (0: one's own).

    ``service_s``: how long it should take there, as whoever placed it said; 0 where nobody did.
    """

    device: DeviceId
    address: Address
    cap: int
    service_s: float = 0.0


class Plan(NamedTuple):
    """Where the job may go, best first; ``permit`` None: on own devices, by certificates alone.

    ``series``: what it was taken from, where it was not asked for this very job.
    """

    targets: Sequence[Target]
    permit: Permit | None
    token: str | None
    explanation: Explanation
    placed_here: bool
    series: "Series | None" = None

    @property
    def rate(self) -> Rate:
        """What the work costs there."""
        return FREE if self.permit is None else Rate(*msgspec.structs.astuple(self.permit.price))

    def covers(self, units: int, target: Target) -> bool:
        """Whether what is left for a device pays for so many units there."""
        return self.series is None or self.series.left(target.device) >= self.rate.cost(units)

    def over(self, now_ms: int) -> bool:
        """Whether nothing may be sent under it any more."""
        if self.series is not None:
            return self.series.retired
        return self.permit is not None and now_ms > self.permit.start_by_ms


class Series:
    """One grant in use. Money in micro-credits, as the workers count it too: by what each Submit allows at most."""

    def __init__(self, plan: Plan, *, budget: int, epoch: int, now_ms: int) -> None:
        """``budget``: what the jobs that were asked for cost together."""
        self.plan = plan
        self.epoch = epoch
        self.retired = False
        self.unanswered = 0
        self.answers = {target.device: 0 for target in plan.targets}
        self._budget = budget
        self._caps = {target.device: target.cap for target in plan.targets}
        self._spent = {target.device: 0 for target in plan.targets}
        own_ms = now_ms + int(OWN_S * 1000)
        self._until_ms = own_ms if plan.permit is None else plan.permit.start_by_ms - START_MARGIN_MS
        self._half_ms = (now_ms + self._until_ms) // 2

    def plan_for(self, units: int, most: int | None, avoid: Collection[DeviceId]) -> Plan | None:
        """Where a job of this kind may go but to devices to ``avoid``; None where no candidate has enough left.

        ``most``: what the job may cost at most, where somebody said so.
        """
        cost = self.plan.rate.cost(units)
        if most is not None and cost > most:
            return None
        targets = [
            target._replace(cap=target.cap - self._spent[target.device])
            for target in self.plan.targets
            if target.device not in avoid and target.cap - self._spent[target.device] >= cost
        ]
        return self.plan._replace(targets=targets, series=self) if targets else None

    def left(self, device: DeviceId) -> int:
        """What may still be earned there under it."""
        return self._caps.get(device, 0) - self._spent.get(device, 0)

    def over(self, now_ms: int, epoch: int) -> bool:
        """Whether nothing may be sent under it any more: its time has passed, or the network has changed since."""
        return now_ms > self._until_ms or epoch != self.epoch

    def wants_next(self, now_ms: int) -> bool:
        """Whether the next one should be asked for now."""
        if now_ms >= self._half_ms:
            return True
        if self.plan.permit is None:
            return False
        best = self.plan.targets[0]
        used, best_used = sum(self._spent.values()), self._spent[best.device]
        return renew_now(used=used, budget=self._budget, best_used=best_used, best_cap=best.cap)

    def submitted(self, device: DeviceId, maximum: int) -> None:
        """An attempt goes out; its maximum is spent until its end says otherwise."""
        self._spent[device] += maximum
        self.unanswered += 1

    def given_back(self, device: DeviceId, maximum: int) -> None:
        """The worker took nothing, or delivered nothing: it counts the share as free again."""
        self._spent[device] -= maximum
