"""What an agent says of a job before it runs: why it waits, what it would cost and where it would go.

Touches: nothing.
"""

from typing import Any

from mesh.ids import DeviceId, JobId
from mesh.protocol.values import Explanation
from mesh.sdk.lines import Answer


class Waiting(Answer, frozen=True):
    """A job waits for a device, or for the coordinator: by which error, and for how long until it looks again."""

    job: JobId
    error: dict[str, Any]
    retry_s: float


class Estimated(Answer, frozen=True):
    """What a job would cost at most (micro-credits), where it would go, and when its result should be there.

    ``device`` None: nowhere now; ``error`` says why, as a MeshError's wire form. ``tariff``: by which version of the
    network's prices; 0 where it costs nothing. What is paid is by the version that holds when the job is permitted.
    """

    device: DeviceId | None = None
    cost: int = 0
    expected_s: float = 0.0
    explanation: Explanation = Explanation()
    error: dict[str, Any] | None = None
    tariff: int = 0
