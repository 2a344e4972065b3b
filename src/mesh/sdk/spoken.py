"""What an agent says of a streamed result while it is made.

Touches: nothing.
"""

from mesh.ids import DeviceId, JobId
from mesh.protocol.values import PathKind
from mesh.sdk.lines import Answer


class Begun(Answer, frozen=True):
    """The first of a streamed result is here: where it is made, and the most that it can cost (micro-credits)."""

    job: JobId
    device: DeviceId
    path: PathKind
    estimate: int
    model: str


class Said(Answer, frozen=True):
    """The next text of a streamed result. ``Ran`` brings the whole."""

    text: str


class Joined(Answer, frozen=True):
    """The stream broke after ``at`` characters and goes on as a further job: there. ``after``: the job that broke, by
    what ``cause``, and its ``charge`` (micro-credits), which that of ``Ran`` includes.
    """

    at: int
    job: JobId
    device: DeviceId
    path: PathKind
    after: JobId
    cause: str
    charge: int
