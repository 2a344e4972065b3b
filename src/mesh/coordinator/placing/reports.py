"""Reports: signed facts and job records go into the ledger, and only then the device hears that they did.

Touches: database (through the acts it calls), clock (through ``parts``).
"""

import structlog

from mesh.coordinator import evidence
from mesh.coordinator.acts import checks, record
from mesh.coordinator.acts.drawing import AskCheck
from mesh.coordinator.acts.jobs import cancel, record_jobs
from mesh.coordinator.acts.settle import Effect, SendClose
from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.store.networks import Network
from mesh.coordinator.telling.live import LiveLinks
from mesh.errors import MeshError
from mesh.ids import JobId, is_ulid
from mesh.protocol import signed
from mesh.protocol.link import REPORT_FACTS_MAX, Check, Close, Report, ReportAck, Reported
from mesh.protocol.receipt import Verdict

log = structlog.get_logger()


class ReportTooLong(MeshError):
    """A report holds at most 64 facts and records. Send the rest in further ones."""

    code = "report.too_long"
    kind = "too_large"


class OddReport(MeshError):
    """A report names a job by something that is no id. Update Mesh on the device."""

    code = "report.odd"
    kind = "invalid"


class Reports:
    """Takes reports of devices, and tells others what follows from them."""

    def __init__(self, parts: Parts, live: LiveLinks) -> None:
        self._parts = parts
        self._live = live

    async def take(self, seen: Seen, report: Report) -> ReportAck:
        """Keep a batch and settle by it. What was known already is taken again without effect."""
        if len(report.facts) + len(report.jobs) > REPORT_FACTS_MAX:
            raise ReportTooLong
        refused: tuple[tuple[int, str], ...] = ()
        if report.facts:
            refused = await self._facts(seen, report.facts)
        if report.jobs:
            refused += await self._jobs(seen, report)
        self._live.changed(seen.kept.network, "jobs")
        head = self._parts.snapshot.heads.get(seen.kept.network)
        return ReportAck(report.batch, tuple(Reported(index, code) for index, code in sorted(refused)), head)

    async def _facts(self, seen: Seen, tokens: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        parts, network = self._parts, seen.kept.network
        keys = await parts.database.read(record.keys_of, network, evidence.permits_named(tokens))
        opened = evidence.open_batch(tokens, keys, network)
        recorded = await parts.database.write(
            record.record_facts, network, opened.facts, parts.moment(), parts.snapshot.started_ms
        )
        self.perform(recorded.effects)
        return opened.refused + recorded.refused

    async def _jobs(self, seen: Seen, report: Report) -> tuple[tuple[int, str], ...]:
        """Keep job records; in the answer their places count on from the facts'."""
        parts, kept = self._parts, seen.kept
        if not all(is_ulid(record.job) for record in report.jobs):
            raise OddReport
        refused, _ = await parts.database.write(record_jobs, kept.network, kept.id, report.jobs, parts.moment())
        return tuple((len(report.facts) + index, code) for index, code in refused)

    def perform(self, effects: tuple[Effect, ...]) -> None:
        """Tell devices what follows from what was committed; who is away is told when it comes back."""
        for effect in effects:
            if isinstance(effect, SendClose):
                link = self._live.of(effect.worker)
                if link is not None:
                    link.say(Close(effect.permit))
            elif isinstance(effect, AskCheck):
                link = self._live.of(effect.requester)
                if link is not None:
                    link.say(Check(effect.check, effect.job, effect.attempt, effect.worker, effect.until_ms))

    async def judged(self, seen: Seen, token: str) -> Network | None:
        """A requester's verdict about an attempt that it was asked to do again; the network, where that changed it.

        Raises BadToken, NoSuchCheck.
        """
        parts, kept = self._parts, seen.kept
        verdict = signed.verify(token, Verdict, kept.key, kept.network)
        if verdict.requester != kept.id:
            raise checks.NoSuchCheck
        judged = await parts.database.write(checks.judge, kept.network, verdict, token, parts.moment())
        if judged.network is not None:
            log.warning("device.quarantined", device=judged.worker)
            parts.snapshot.put_quarantine(judged.worker, True)
            self._live.changed(kept.network, "devices")
        return judged.network

    async def cancelled(self, seen: Seen, job: JobId) -> None:
        """The requester gave up a job. Its money follows from the answers to its attempts."""
        await self._parts.database.write(cancel, seen.kept.network, seen.kept.id, job, self._parts.moment())
