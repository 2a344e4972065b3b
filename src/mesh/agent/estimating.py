"""What a job would cost and where it would go, said before it runs: nothing is set aside and nothing is kept of it.

Touches: the clock, randomness (an id), the coordinator (through its arguments).
"""

import secrets

from mesh.agent.asked import Ask, Job
from mesh.agent.coordination import Coordination
from mesh.agent.membership import Membership
from mesh.agent.numbers import Numbered
from mesh.agent.planning import Planner
from mesh.ids import ULID_RANDOM_BYTES, JobId, RequestId, ulid
from mesh.jobs.placement import NowhereToRun
from mesh.jobs.spec import check_spec
from mesh.protocol.link import EstimateRequest
from mesh.sdk.control import Estimated


async def estimate(ask: Ask, membership: Membership, planner: Planner, coordination: Coordination) -> Estimated:
    """Ask the coordinator, or look among one's own devices where it is away. Raises BadInput, BadSpec, LinkDown."""
    ask.workload.check(ask.payload)
    spec = ask.spec(ask.workload.count(ask.payload, None))
    check_spec(spec)
    now_ms = membership.clock.now_ms()
    name = ulid(now_ms, secrets.token_bytes(ULID_RANDOM_BYTES))
    pinned = spec.routing.device
    if coordination.up and not (pinned is not None and membership.is_own(pinned)):
        said = await coordination.ask_estimate(EstimateRequest(RequestId(name), spec))
        return Estimated(said.device, said.cost, said.expected_s, said.explanation, said.error)
    job = Job(Numbered(JobId(name), b"", 0), ask, spec.units)
    placement = planner.rank_here(job)
    if not placement.ranked:
        return Estimated(explanation=placement.explanation, error=NowhereToRun().wire())
    first = placement.ranked[0]
    return Estimated(first.facts.device, 0, first.expected_s, placement.explanation)
