"""What other weights would change: the newest placements replayed, and the call that asks for it.

Touches: nothing.
"""

from collections.abc import Mapping

from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.protocol.values import DeviceScore
from mesh.sdk.answers import Answer
from mesh.sdk.calls import Call


class Moved(Answer, frozen=True):
    """A placement that would go elsewhere. ``then``: the score that won; ``stays`` and ``goes``: both now."""

    job: JobId
    requester: DeviceId
    member: MemberId
    workload: str
    created_ms: int
    then: DeviceScore
    stays: DeviceScore
    goes: DeviceScore


class Tried(Answer, frozen=True):
    """How many placements were replayed with these weights, how many do not tell, and those that would go elsewhere."""

    weights: dict[str, float]
    replayed: int
    unknown: int
    moved: tuple[Moved, ...]


def try_weights(network: NetworkId, weights: Mapping[str, float]) -> Call[Tried]:
    """Replay the newest placements with changes to the weights (for admins); nothing is saved."""
    return Call("POST", f"/v1/networks/{network}/settings/try", Tried, {"weights": dict(weights)})
