"""What a device says over its link, and what it is answered.

Touches: database (through the acts it calls), clock (through ``parts``).
"""

import structlog

from mesh.coordinator.acts import devices as device_acts
from mesh.coordinator.acts.permit import unanswered_closes
from mesh.coordinator.keeping.rotating import Rotating
from mesh.coordinator.parts import Parts
from mesh.coordinator.placing.granting import Placing
from mesh.coordinator.placing.reports import Reports
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.telling.admissions import RelayAdmissions
from mesh.coordinator.telling.live import Link, LiveLinks
from mesh.coordinator.telling.news import News
from mesh.coordinator.telling.relays import Relays
from mesh.coordinator.telling.running import Running
from mesh.devices.addresses import home, neighbourhood
from mesh.devices.capability import check
from mesh.devices.copies import COPIED, WORD_LENGTH_MAX, CopiedHome, Start
from mesh.errors import MeshError
from mesh.ids import PermitId, is_ulid
from mesh.protocol import link
from mesh.protocol.link import (
    Beat,
    BeatAnswer,
    CancelJob,
    Close,
    EstimateRequest,
    Hello,
    Judged,
    KeyTaken,
    NewKey,
    PermitRequest,
    Problem,
    Prove,
    Report,
    Started,
)

ADDRESSES_KEPT = 16
"""What one device may name of itself; more is noise, and it is filtered before anybody is told."""
URL_LENGTH_MAX = 255
COUNT_MAX = 2**53 - 1
"""Starts of a home: what fits a database and every JSON reader."""

log = structlog.get_logger()


class NotHere(MeshError):
    """A relay asks for nothing and reports nothing: only devices do. Update the relay."""

    code = "link.not_a_device"
    kind = "forbidden"


class Conversations:
    """Answers devices; one object for all links."""

    def __init__(
        self, parts: Parts, live: LiveLinks, news: News, relays: Relays, admissions: RelayAdmissions,
        rotating: Rotating,
    ) -> None:  # fmt: skip
        self._parts = parts
        self._live = live
        self._placing = Placing(parts, live)
        self._reports = Reports(parts, live)
        self._admissions = admissions
        self.relays = relays
        self.news = news
        self.rotating = rotating

    def opened(self, fresh: Link, seen: Seen | None) -> None:
        """A link stands: its device is here, and gets what it must know; a relay learns whom to admit."""
        if seen is None:
            self._admissions.join(fresh.say)
            return
        seen.linked = True
        seen.last_beat_ms = self._parts.now_ms()
        if seen.kept.standing == "active":
            self.news.show_peers(fresh, seen)

    def closed(self, ended: Link, seen: Seen | None, *, newest: bool) -> None:
        """A link ended; ``newest`` unless its device has connected again already."""
        if seen is None:
            self._admissions.leave(ended.say)
            return
        if not newest:
            return
        seen.linked = False
        self._live.running.forget(seen.kept.id)
        if self._parts.snapshot.device(seen.kept.id) is seen:  # else it was removed, and others were told that
            self.news.own_device_changed(seen)

    def hear(self, fresh: Link, message: link.FromDevice) -> bool:
        """Take what needs no waiting; False: call ``answer``."""
        seen = self._parts.snapshot.device(fresh.device)
        if isinstance(message, Beat):
            now_ms = self._parts.now_ms()
            fresh.say(BeatAnswer(message.number, now_ms))
            if seen is not None and self._parts.snapshot.beat(seen, message.condition, now_ms):
                self.news.own_device_changed(seen)
            return True
        if isinstance(message, Prove):
            fresh.say(Problem(link.LinkError(reason="order").wire()))
            return True
        if isinstance(message, Problem):
            log.warning("link.problem", device=fresh.device, code=str(message.error.get("code"))[:64])
            return True
        if isinstance(message, Started):
            self._runs(seen, message)
            return True
        return False

    def _runs(self, worker: Seen | None, said: Started) -> None:
        """A worker says what it runs: shown to who asked for it, if both are of one network."""
        asker = self._parts.snapshot.device(said.requester)
        if worker is None or asker is None or asker.kept.network != worker.kept.network or not is_ulid(said.job):
            return
        network, own = asker.kept.network, asker.kept.owner == worker.kept.owner
        ids = (network, said.job, asker.kept.owner, asker.kept.id, worker.kept.id)
        self._live.changed(network, "jobs")
        self._live.running.told(Running(*ids, own, self._parts.now_ms(), said))

    async def answer(self, fresh: Link, message: link.FromDevice) -> None:
        """Answer what may wait for the database."""
        seen = self._parts.snapshot.device(fresh.device)
        try:
            if seen is None:
                await self._relay(fresh, message)
                return
            if isinstance(message, PermitRequest):
                fresh.say(await self._placing.answer(seen, message))
            elif isinstance(message, EstimateRequest):
                fresh.say(await self._placing.estimate(seen, message))
            elif isinstance(message, Report):
                fresh.say(await self._reports.take(seen, message))
            elif isinstance(message, Hello):
                await self._greeted(fresh, seen, message)
            elif isinstance(message, NewKey):
                await self._new_key(fresh, seen, message)
            elif isinstance(message, CancelJob):
                await self._reports.cancelled(seen, message.job)
            elif isinstance(message, Judged):
                changed = await self._reports.judged(seen, message.verdict)
                if changed is not None:
                    await self.news.network_changed(changed)
        except MeshError as error:
            if isinstance(message, Report):
                error.facts["batch"] = message.batch
            fresh.say(Problem(error.wire()))

    async def _new_key(self, fresh: Link, seen: Seen, message: NewKey) -> None:
        """A device replaces its key; one that repeats itself is answered as the first time."""
        turned = await self.rotating.device(seen.kept.id, seen.kept.network, message.succession)
        if not turned.fresh:
            fresh.say(KeyTaken(turned.device.key, None if turned.certificate is None else turned.certificate.signed))

    async def _relay(self, fresh: Link, message: link.FromDevice) -> None:
        """A relay says where it is, and nothing else."""
        if not isinstance(message, Hello):
            raise NotHere
        await self.relays.said(fresh.device, message.relay, message.observer)

    async def _started(self, fresh: Link, seen: Seen, hello: Hello) -> None:
        """Notice copied and restored homes; a held device hears so each time it comes. Relays keep no such count."""
        start = Start(max(0, min(hello.installation, COUNT_MAX)), hello.start[:WORD_LENGTH_MAX])
        if seen.kept.standing == "active" and start != seen.kept.started:
            moment = self._parts.moment()
            kept, changed = await self._parts.database.write(device_acts.started, seen.kept.id, start, moment)
            if changed is not None:
                log.warning("device.copied", device=kept.id, installation=start.installation)
                await self.news.device_held(kept, changed)
            elif self._parts.snapshot.device(kept.id) is seen:
                seen.kept = seen.kept._replace(started=kept.started)
        if seen.kept.held == COPIED:
            fresh.say(Problem(CopiedHome().wire()))

    async def _greeted(self, fresh: Link, seen: Seen, hello: Hello) -> None:
        """A device says what it is; with its first word it also hears which permits it must close."""
        seen.relay = hello.relay if hello.relay and len(hello.relay) <= URL_LENGTH_MAX else None
        seen.addresses = hello.addresses[:ADDRESSES_KEPT]
        seen.attested = self.relays.attested(hello.observed, seen.kept.key, self._parts.now_ms())
        seen.home = neighbourhood(home(seen.attested, fresh.seen_from))
        news = hello.capability is not None and hello.capability != seen.kept.capability
        if hello.capability is not None and news:
            check(hello.capability)
            before = seen.capability
            seen.kept = seen.kept._replace(capability=hello.capability)
            if (before.tier, before.phone) != (hello.capability.tier, hello.capability.phone):
                self.news.sight_changed(seen.kept.network)
        await self._started(fresh, seen, hello)
        if hello.capability is not None and news:
            await self._parts.database.write(device_acts.report_capability, seen.kept.id, hello.capability)
        self.news.own_device_changed(seen)
        for permit in await self._parts.database.read(unanswered_closes, seen.kept.id):
            fresh.say(Close(PermitId(permit)))
