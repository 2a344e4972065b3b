"""What time does: money whose windows are over, certificates to renew, answers to forget, moments to write down.

Touches: database, clock (through ``parts``).
"""

import asyncio

import structlog

from mesh.coordinator import issuing
from mesh.coordinator.acts import devices as device_acts
from mesh.coordinator.acts import rotation
from mesh.coordinator.acts.close import sweep
from mesh.coordinator.acts.once import KEPT_S
from mesh.coordinator.keeping.retaining import Retaining
from mesh.coordinator.parts import Parts
from mesh.coordinator.placing.reports import Reports
from mesh.coordinator.snapshot import SEEN_EVERY_S, Seen
from mesh.coordinator.store import devices, requests
from mesh.coordinator.telling.news import News
from mesh.devices.presence import has_left
from mesh.errors import MeshError
from mesh.ids import DeviceId

SWEEP_EVERY_S = 5.0
"""Windows are minutes long; five seconds later nobody notices."""
LAST_WORDS_S = 2.0
"""Writing down when devices were last here, at the end; without it they only lose their grace after a restart."""

log = structlog.get_logger()


class Upkeep:
    """Runs beside the server for as long as it does."""

    def __init__(self, parts: Parts, news: News, reports: Reports) -> None:
        self._parts = parts
        self._news = news
        self._reports = reports
        self._retaining = Retaining(parts, news)
        self._written: dict[DeviceId, int] = {}

    async def run(self) -> None:
        """Sweep every few seconds until cancelled; a database that refuses is tried again at the next round."""
        rounds = 0
        try:
            while True:
                try:
                    await self.once(write_seen=rounds % round(SEEN_EVERY_S / SWEEP_EVERY_S) == 0)
                except MeshError as error:
                    log.warning("upkeep.failed", code=error.wire_code)
                rounds += 1
                await asyncio.sleep(SWEEP_EVERY_S)
        finally:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.write_seen()

    async def once(self, *, write_seen: bool = True) -> None:
        """One round."""
        parts, more = self._parts, True
        while more:
            swept = await parts.database.write(sweep, parts.moment(), parts.snapshot.started_ms)
            self._reports.perform(swept.effects)
            more = swept.more
        await self._renew()
        await self._end_graces()
        await self._let_go()
        await self._retaining.once()
        if write_seen:
            await self.write_seen()
            await parts.database.write(requests.prune, before_ms=parts.now_ms() - int(KEPT_S * 1000))

    async def write_seen(self) -> None:
        """Write down when devices were last heard of, those that were heard since the last time."""
        fresh = {
            seen.kept.id: seen.last_beat_ms
            for seen in self._parts.snapshot.everywhere()
            if seen.last_beat_ms is not None and seen.last_beat_ms > self._written.get(seen.kept.id, 0)
        }
        if fresh:
            await self._parts.database.write(devices.set_seen, list(fresh.items()))
            self._written.update(fresh)

    async def _renew(self) -> None:
        for seen in self._parts.snapshot.everywhere():
            if seen.kept.standing == "active" and self._is_due(seen):
                issue = self._parts.issuer(seen.kept.network)
                renewed = await self._parts.database.write(device_acts.renew, seen.kept.id, issue, self._parts.moment())
                if renewed is not None:
                    self._news.certificate_renewed(*renewed)

    async def _end_graces(self) -> None:
        """Earlier keys of devices whose day is over are good no more."""
        parts, now_ms = self._parts, self._parts.now_ms()
        for seen in parts.snapshot.everywhere():
            still = tuple(one for one in seen.kept.former if one.until_ms > now_ms)
            if still != seen.kept.former:
                changed = await parts.database.write(rotation.grace_over, seen.kept.network)
                if changed is not None:
                    await self._news.grace_over(seen.kept._replace(former=still), changed)

    async def _let_go(self) -> None:
        """Ephemeral devices that stayed away are removed; after a start of ours all have their time anew."""
        parts, now_ms = self._parts, self._parts.now_ms()
        for seen in parts.snapshot.everywhere():
            if has_left(
                seen.kept.leaves_after_s,
                last_here_ms=max(seen.last_beat_ms or 0, seen.kept.joined_ms, parts.snapshot.started_ms),
                now_ms=now_ms,
                linked=seen.linked,
            ):
                gone = await parts.database.write(device_acts.leave, seen.kept.id, parts.moment())
                if gone is not None:
                    log.info("device.left", device=seen.kept.id)
                    await self._news.device_removed(*gone)

    def _is_due(self, seen: Seen) -> bool:
        parts = self._parts
        since_ms = parts.snapshot.histories[seen.kept.network].since_ms
        return seen.certificate is None or issuing.is_due(
            seen.certificate, key_since_ms=since_ms, now_ms=parts.now_ms()
        )
