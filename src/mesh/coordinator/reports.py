"""Reports: signed facts and job records go into the ledger, and only then the device hears that they did.

Touches: database (through the acts it calls), clock (through ``parts``).
"""

from mesh.coordinator import evidence
from mesh.coordinator.acts import settle
from mesh.coordinator.acts.settle import Effect, SendClose
from mesh.coordinator.live import LiveLinks
from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.protocol.link import REPORT_FACTS_MAX, Cancel, Close, Report, ReportAck, Reported


class ReportTooLong(MeshError):
    """A report holds at most 64 facts and records. Send the rest in further ones."""

    code = "report.too_long"
    kind = "too_large"


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
        return ReportAck(report.batch, tuple(Reported(index, code) for index, code in sorted(refused)))

    async def _facts(self, seen: Seen, tokens: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        parts, network = self._parts, seen.kept.network
        keys = await parts.database.read(settle.keys_of, network, evidence.permits_named(tokens))
        opened = evidence.open_batch(tokens, keys, network)
        recorded = await parts.database.write(
            settle.record_facts, network, opened.facts, parts.moment(), parts.snapshot.started_ms
        )
        self.perform(recorded.effects)
        return opened.refused + recorded.refused

    def perform(self, effects: tuple[Effect, ...]) -> None:
        """Tell devices what follows from what was committed; who is away is told when it comes back."""
        for effect in effects:
            if isinstance(effect, SendClose):
                link = self._live.of(effect.worker)
                if link is not None:
                    link.say(Close(effect.permit))

    async def cancelled(self, seen: Seen, job: JobId) -> None:
        """The requester gave up a job. Its attempts are answered by facts; here the device itself is told to stop."""
        link = self._live.of(seen.kept.id)
        if link is not None:
            link.say(Cancel(job))
