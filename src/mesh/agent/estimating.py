"""What a job would cost and where it would go, said before it runs: nothing is set aside and nothing is kept of it.

Touches: the clock, randomness (an id), the coordinator (through its arguments).
"""

import secrets

import msgspec

from mesh.agent.asking.asked import Ask
from mesh.agent.asking.job import Job
from mesh.agent.asking.numbers import Numbered
from mesh.agent.asking.planning import Planner
from mesh.agent.coordination import Coordination
from mesh.agent.membership import Membership
from mesh.ids import ULID_RANDOM_BYTES, JobId, RequestId, ulid
from mesh.jobs.spec import check_spec
from mesh.protocol.link import EstimateRequest
from mesh.sdk.control import Estimated


class Estimating:
    """Says what jobs would cost."""

    def __init__(self, membership: Membership, planner: Planner, coordination: Coordination) -> None:
        self._membership = membership
        self._planner = planner
        self._coordination = coordination

    async def job(self, ask: Ask) -> Estimated:
        """Of one job. Raises BadInput, BadSpec, LinkDown."""
        ask.workload.check(ask.payload)
        return await self._of(ask, ask.workload.count(ask.payload, None))

    async def alike(self, ask: Ask, jobs: int) -> Estimated:
        """Of so many jobs of one unit each, which may cost ``ask.max_cost`` together. Raises BadSpec, LinkDown."""
        most = None if ask.max_cost is None else ask.max_cost // jobs
        found = await self._of(ask._replace(max_cost=most), 1)
        return msgspec.structs.replace(found, cost=found.cost * jobs)

    async def _of(self, ask: Ask, units: int) -> Estimated:
        """Ask the coordinator, or look among one's own devices where it is away."""
        spec = ask.spec(units)
        check_spec(spec)
        name = ulid(self._membership.clock.now_ms(), secrets.token_bytes(ULID_RANDOM_BYTES))
        pinned = spec.routing.device
        if self._coordination.up and not (pinned is not None and self._membership.is_own(pinned)):
            said = await self._coordination.ask_estimate(EstimateRequest(RequestId(name), spec, self._planner.paths()))
            return Estimated(said.device, said.cost, said.expected_s, said.explanation, said.error, said.tariff)
        placement = self._planner.rank_here(Job(Numbered(JobId(name), b"", 0), ask, units))
        if not placement.ranked:
            return Estimated(explanation=placement.explanation, error=placement.nowhere().wire())
        first = placement.ranked[0]
        return Estimated(first.facts.device, 0, first.expected_s, placement.explanation)
