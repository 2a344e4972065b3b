"""Whether a job asks for something that can be: everywhere it is asked for, before anything is placed.

Touches: nothing.
"""

from mesh.devices.capability import PHONE_CPU, SERVER_GPU
from mesh.errors import MeshError
from mesh.protocol.values import JobSpec
from mesh.units import DAY, MICRO_LIMIT

LIMIT_S_MAX = DAY
"""No job runs longer than a day; its hold would be out for as long."""
UNITS_MAX = 10**12
"""A terabyte of text: more is a mistake, and its cost would leave the range of money."""
NAME_LENGTH_MAX = 63
"""Workloads and models have short names."""
TAGS_MAX = 16
"""More than any device has."""
MEMORY_BYTES_MAX = 1 << 50
"""A petabyte: more is a mistake."""


class BadSpec(MeshError):
    """The job asks for something impossible: the facts name what. Check it, and ask again."""

    code = "jobs.bad_spec"
    kind = "invalid"


def check_spec(spec: JobSpec) -> None:
    """Refuse what no device could ever do. Raises BadSpec, whose fact ``what`` names the field."""
    need, routing = spec.need, spec.routing
    tiers = range(PHONE_CPU, SERVER_GPU + 1)
    wrong = {
        "workload": not 0 < len(spec.workload) <= NAME_LENGTH_MAX,
        "model": not 0 < len(spec.model) <= NAME_LENGTH_MAX,
        "units": not 0 <= spec.units <= UNITS_MAX,
        "input_bytes": not 0 <= spec.input_bytes <= UNITS_MAX,
        "effort": not 0 <= spec.effort <= UNITS_MAX,
        "limit_s": not 0 < spec.limit_s <= LIMIT_S_MAX,  # false for what is no number, too
        "max_cost": spec.max_cost is not None and not 0 <= spec.max_cost <= MICRO_LIMIT,
        "need.tier_min": need.tier_min not in tiers,
        "need.memory_bytes": not 0 <= need.memory_bytes <= MEMORY_BYTES_MAX,
        "need.tags": len(need.tags) > TAGS_MAX or any(not 0 < len(tag) <= NAME_LENGTH_MAX for tag in need.tags),
        "need.latency_s": need.latency_s is not None and not 0 < need.latency_s <= LIMIT_S_MAX,
        "routing.device": (routing.mode == "device") != (routing.device is not None),
        "routing.tier": (routing.mode == "tier") != (routing.tier is not None)
        or (routing.tier is not None and routing.tier not in tiers),
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise BadSpec(f"The job's {what} is impossible. Check it, and ask again.", what=what)
