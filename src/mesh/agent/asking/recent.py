"""What this device asked others for lately, and what it got: kept for as long as it may be asked to do it again.

Only what was paid for and may be checked, only in memory, and only so much: the oldest goes first.

Touches: nothing.
"""

from collections import OrderedDict
from typing import NamedTuple

from mesh.credits.checks import CHECK_S, checkable
from mesh.ids import DeviceId, JobId
from mesh.protocol.values import JobSpec
from mesh.units import MIB
from mesh.workloads.contract import Payload

JOBS_MAX = 1024
BYTES_MAX = 16 * MIB
"""Of inputs and results together; a job that is larger than all of it is not kept."""


class Done(NamedTuple):
    """A job that was done for this device: by whom, what was asked, what came back, when (s), and its size in bytes."""

    worker: DeviceId
    spec: JobSpec
    payload: Payload
    result: Payload
    done_s: float
    size: int


class Recent:
    """The newest jobs, by job and attempt."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[JobId, int], Done] = OrderedDict()
        self._bytes = 0

    def keep(self, job: JobId, attempt: int, done: Done) -> None:
        """A job is done."""
        self._forget(done.done_s)
        if done.size > BYTES_MAX or not checkable(done.spec.workload, done.spec.sensitivity):
            return
        self._kept[(job, attempt)] = done
        self._bytes += done.size
        while self._bytes > BYTES_MAX or len(self._kept) > JOBS_MAX:
            self._drop()

    def take(self, job: JobId, attempt: int, now_s: float) -> Done | None:
        """A job that is to be done again; None where it was not kept, or not for so long."""
        self._forget(now_s)
        return self._kept.get((job, attempt))

    def _forget(self, now_s: float) -> None:
        while self._kept and next(iter(self._kept.values())).done_s < now_s - CHECK_S:
            self._drop()

    def _drop(self) -> None:
        _, gone = self._kept.popitem(last=False)
        self._bytes -= gone.size


def size_of(payload: Payload, encoded: int) -> int:
    """About the bytes that a result takes beside its ``encoded`` input."""
    return encoded + sum(len(blob) for blob in payload.blobs) + len(str(payload.manifest))
