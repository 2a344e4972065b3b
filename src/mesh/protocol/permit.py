"""The permit: the coordinator's signed permission to spend up to so much, there, until then.

Touches: nothing.
"""

from typing import Annotated, ClassVar, Literal

import msgspec

from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, PermitId, RequestId
from mesh.protocol.signed import Paper
from mesh.protocol.values import Candidate, Role, Sensitivity
from mesh.units import MICRO_LIMIT

START_WITHIN_S = 240.0
"""Longest time from a permit to the last Submit under it: 4 minutes, so that a removal ends all new work within 5."""

CLOCK_LEEWAY_S = 30.0
"""Two devices may differ by this much in what they take the coordinator's clock to say."""


class Price(msgspec.Struct, frozen=True):
    """Price by the named tariff version: ``micro`` micro-credits for every ``per`` units, rounded up once.

    A price below zero, for no units, or beyond what a whole number of JSON holds is refused as it is read.
    """

    version: int
    micro: Annotated[int, msgspec.Meta(ge=0, le=MICRO_LIMIT)]
    per: Annotated[int, msgspec.Meta(ge=1, le=MICRO_LIMIT)]


class Permit(Paper, frozen=True, kw_only=True):
    """Permission for one job, or a series. Signed by the coordinator key.

    ``share``: ``one``: one share of ``maximum``, open to every candidate; ``each``: every candidate has its own cap.
    """

    TYP: ClassVar[str] = "mesh-permit"

    permit: PermitId
    request: RequestId
    payer: MemberId
    requester: DeviceId
    requester_key: DeviceKey
    role: Role
    workload: str
    model: str
    sensitivity: Sensitivity
    price: Price
    candidates: tuple[Candidate, ...]
    maximum: Annotated[int, msgspec.Meta(ge=0, le=MICRO_LIMIT)]
    share: Literal["one", "each"] = "one"
    job: JobId | None = None
    """The one job of a one-job permit."""
    epoch: int
    issued_ms: int
    start_by_ms: int
    finish_by_ms: int
