"""Devices that come while jobs wait: they are used as soon as they are able, not with the next permit.

A plan names the devices that were able when it was made. While jobs of a kind wait in the line, the coordinator is
asked every few seconds who could do them now, which sets nothing aside and leaves nothing behind. Where it names a
device that the plan did not know, the next series is asked for, and what waits is planned anew, in its old place.

Touches: the event loop, the clock, randomness (ids), the coordinator (through its arguments).
"""

import asyncio
import secrets
from typing import Protocol

import structlog

from mesh.agent.asking.dispatch import Dispatch
from mesh.agent.asking.flight import Entry
from mesh.agent.asking.line import Line
from mesh.agent.asking.series import SeriesBook, kind_of
from mesh.agent.membership import Membership
from mesh.errors import MeshError
from mesh.ids import ULID_RANDOM_BYTES, DeviceId, RequestId, ulid
from mesh.protocol.link import Estimated, EstimateRequest
from mesh.protocol.values import JobSpec

LOOK_S = 2.0
"""With a second for the answers a new device has work within some three seconds. A question costs the coordinator a
placement, under a millisecond for a hundred devices, and no transaction."""
KINDS_MAX = 8
"""Kinds of job that are asked about in one go; where more wait, the others are asked about when these are done."""

AGAIN_S = 15.0
"""A device that was new and is still not in a plan may be kept apart from this one: it is no news for so long."""

log = structlog.get_logger()


class Estimates(Protocol):
    """The coordinator, as far as it is needed here."""

    async def ask_estimate(self, request: EstimateRequest) -> Estimated:
        """Ask who would do a job. Raises LinkDown."""
        ...


class Newcomers:
    """Looks for devices that what waits does not know yet."""

    def __init__(self, membership: Membership, dispatch: Dispatch, series: SeriesBook, estimates: Estimates) -> None:
        self._membership = membership
        self._dispatch = dispatch
        self._series = series
        self._estimates = estimates
        self._found: dict[tuple[DeviceId, str], float] = {}
        """When a device was last new to a model's jobs."""

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for line, entries in self._waiting()[:KINDS_MAX]:
                try:
                    await self._look(line, entries)
                except MeshError as error:  # the coordinator is away: what is known must do
                    log.debug("newcomers.not_asked", code=error.wire_code)

    def _waiting(self) -> list[tuple[Line, list[Entry]]]:
        """What waits for want of a free device, by kind; where one's own devices were placed here all are known."""
        found: list[tuple[Line, list[Entry]]] = []
        for line in self._dispatch.lines.values():
            kinds: dict[JobSpec, list[Entry]] = {}
            for entry in line.waiting:
                if entry.waited and not entry.plan.placed_here:
                    kinds.setdefault(kind_of(entry.job.spec), []).append(entry)
            found += [(line, entries) for entries in kinds.values()]
        return found

    async def _look(self, line: Line, entries: list[Entry]) -> None:
        """Ask who could do them now. Raises LinkDown."""
        spec = entries[0].job.spec
        able = (await self._estimates.ask_estimate(EstimateRequest(self._request(), spec))).explanation.passed
        able -= self._no_news(spec.model)
        unaware = [entry for entry in entries if able - self._known(entry)]
        if not unaware:
            return
        now_ms = self._membership.clock.now_ms()
        if not await self._series.renew(spec, self._request(), epoch=self._membership.epoch, now_ms=now_ms):
            return
        found = able - self._known(unaware[0])
        self._found.update({(device, spec.model): asyncio.get_running_loop().time() for device in found})
        log.info("newcomers.found", devices=len(found), waiting=len(unaware))
        for entry in unaware:
            if entry in line.waiting and entry.plan.series is None:
                self._dispatch.plan_anew(line, entry)

    def _no_news(self, model: str) -> frozenset[DeviceId]:
        now = asyncio.get_running_loop().time()
        self._found = {name: at for name, at in self._found.items() if now - at < AGAIN_S}
        return frozenset([device for device, of in self._found if of == model])

    @staticmethod
    def _known(entry: Entry) -> frozenset[DeviceId]:
        """Devices that its plan was chosen among, and those that turned the job away."""
        return entry.plan.explanation.passed.union(entry.job.avoid())

    def _request(self) -> RequestId:
        return RequestId(ulid(self._membership.clock.now_ms(), secrets.token_bytes(ULID_RANDOM_BYTES)))
