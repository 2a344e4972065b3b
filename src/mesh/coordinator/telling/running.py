"""Jobs that run right now, as their workers say: for people who watch, and to reach whoever must stop one.

Soft and bounded: it settles nothing, a worker's word is forgotten with its link, and only jobs that run for about a
second are told at all.

Touches: nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.protocol.link import Started

WORKER_JOBS_MAX = 64
"""Jobs that one worker may show: twice what its engines hold; more is noise."""
NAME_LENGTH_MAX = 63


class Running(NamedTuple):
    """A job at work: who asked from which device, where it runs, and since when it is known (ms)."""

    network: NetworkId
    job: JobId
    member: MemberId
    requester: DeviceId
    worker: DeviceId
    own: bool
    since_ms: int
    said: Started


class RunningJobs:
    """All that workers say of what they run."""

    def __init__(self) -> None:
        self._by_worker: dict[DeviceId, dict[tuple[DeviceId, JobId, int], Running]] = {}

    def told(self, job: Running) -> None:
        """A worker says that an attempt runs, or has ended."""
        key = (job.requester, job.job, job.said.attempt)
        jobs = self._by_worker.setdefault(job.worker, {})
        if job.said.ended:
            jobs.pop(key, None)
        elif len(jobs) < WORKER_JOBS_MAX and max(len(job.said.workload), len(job.said.model)) <= NAME_LENGTH_MAX:
            jobs.setdefault(key, job)
        if not jobs:
            del self._by_worker[job.worker]

    def forget(self, worker: DeviceId) -> None:
        """A worker's link has ended: what it says is not known any more."""
        self._by_worker.pop(worker, None)

    def of(self, network: NetworkId, member: MemberId | None = None, job: JobId | None = None) -> Iterator[Running]:
        """What runs in a network: of one person, or of all (None); one job, or all (None)."""
        for jobs in self._by_worker.values():
            for one in jobs.values():
                if one.network == network and member in (None, one.member) and job in (None, one.job):
                    yield one
