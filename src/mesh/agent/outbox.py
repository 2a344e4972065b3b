"""The outbox: signed facts and job records that the coordinator must get, kept until it says that they are committed.

Reports of a burst are joined; one batch is under way at a time. What was sent and not acknowledged is sent again after
a reconnect or a restart: the coordinator takes every fact once. A report that it can never take is sent again piece by
piece; what it still refuses is set aside and shown to the owner, so that it holds up nothing else.

Touches: the agent's store and link (through its arguments).
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from mesh.agent.store import Outgoing, Store, StoreBroken
from mesh.concurrency import expected
from mesh.errors import MeshError
from mesh.ids import JobId
from mesh.protocol import link
from mesh.transport.link import LinkDown

JOIN_S = 0.1
"""Facts of a burst are reported together; nobody notices a ledger that is a tenth of a second behind."""
ACK_S = 30.0
"""A coordinator that commits nothing for so long is asked again."""
REPORT_BYTES_MAX = link.MESSAGE_BYTES_MAX // 2
"""What waits beyond that goes in the next report; one that is longer than a message would end the link each time."""

FOR_GOOD = frozenset(("invalid", "too_large"))
"""Kinds of error that say that the report itself is wrong: it would be refused again each time."""

log = structlog.get_logger()
_job_reports: msgspec.json.Decoder[link.JobReport] = msgspec.json.Decoder(link.JobReport)


class Sender(Protocol):
    """The link, as far as the outbox needs it."""

    async def send(self, message: link.Message) -> None:
        """Send a message. Raises LinkDown."""
        ...


class ReportRefused(MeshError):
    """The coordinator can take this report neither now nor later. See `mesh status`."""

    code = "outbox.refused"
    kind = "invalid"


class Outbox:
    """Everything on its way to the coordinator."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Event()
        self._up = asyncio.Event()
        self._sent = asyncio.Event()
        self._leaving = False
        self._batch = 0
        self._singly = 0
        """So many of the oldest are sent one by one: something among them was refused."""
        self._ack: asyncio.Future[link.ReportAck] | None = None

    @staticmethod
    def fact(token: str) -> Outgoing:
        """A signed fact as the store keeps it."""
        return Outgoing("fact", token.encode())

    @staticmethod
    def job(report: link.JobReport) -> Outgoing:
        """A job record as the store keeps it."""
        return Outgoing("job", msgspec.json.encode(report))

    async def add_facts(self, tokens: Sequence[str]) -> None:
        """Keep facts durably and have them reported."""
        await self._store.add_out([self.fact(token) for token in tokens])
        self.wake()

    async def outdo(self, number: int, token: str) -> None:
        """Keep a fact that holds an earlier one in it: only this one need be reported."""
        try:
            await self._store.outdo(number, self.fact(token))
        except StoreBroken as error:
            log.error("outbox.fact_not_kept", code=error.code)  # the earlier fact is still there, and is reported
        self.wake()

    async def add_answers(self, job: JobId, attempt: int | None, items: Sequence[Outgoing], now_ms: int) -> bool:
        """Choose ``attempt`` for good, durably, with the job's answers; False if the job was answered before."""
        chosen = await self._store.add_answers(job, attempt, items, now_ms)
        self.wake()
        return chosen

    def wake(self) -> None:
        """Something was put into the store's outbox."""
        self._news.set()

    def link_up(self) -> None:
        """The link stands: whatever waits may go."""
        self._up.set()
        self._news.set()

    def link_down(self) -> None:
        """The link is gone: what is under way is sent again later."""
        self._up.clear()
        self._sent.set()
        if self._ack is not None and not self._ack.done():
            self._ack.set_exception(LinkDown())

    def acknowledged(self, ack: link.ReportAck) -> None:
        """The coordinator has committed a batch."""
        if self._ack is not None and not self._ack.done() and ack.batch == self._batch:
            self._ack.set_result(ack)

    def refused(self, problem: MeshError) -> None:
        """The coordinator could not take a batch, if it is that which it speaks of; what may pass is tried again."""
        mine = problem.facts.get("batch") == self._batch and problem.wire_kind in FOR_GOOD
        if mine and self._ack is not None and not self._ack.done():
            self._ack.set_exception(ReportRefused(code=problem.wire_code))

    async def set_aside(self) -> int:
        """How many facts and records the coordinator would not take."""
        return await self._store.set_aside_size()

    async def size(self) -> int:
        """How many facts and records wait."""
        return await self._store.outbox_size()

    async def emptied(self, limit_s: float) -> int:
        """Before this device leaves: report what there is while ``run`` runs, as far as that goes in ``limit_s``.

        Returns how much stays, durably, until the device is back. Without a link that is known at once.
        """
        self._leaving = True
        self.wake()
        try:
            async with asyncio.timeout(limit_s):
                while self._up.is_set():
                    self._sent.clear()
                    if not await self.size():
                        return 0
                    await self._sent.wait()
        except TimeoutError:
            log.info("outbox.not_emptied", limit_s=limit_s)
        return await self.size()

    async def run(self, sender: Sender) -> None:
        """Report until cancelled."""
        while True:
            await self._up.wait()
            await self._news.wait()
            if not self._leaving:
                await asyncio.sleep(JOIN_S)
            self._news.clear()
            while self._up.is_set() and (batch := await self._store.outbox(link.REPORT_FACTS_MAX)):
                fitting = batch[:1] if self._singly else _fitting(batch)
                try:
                    await self._report(sender, fitting)
                    self._singly = max(0, self._singly - 1)
                except ReportRefused as refusal:
                    await self._part(fitting, str(refusal.facts["code"]))
                except (LinkDown, TimeoutError):
                    self._news.set()  # later, and from the oldest on
                    break
                finally:
                    self._sent.set()

    async def _report(self, sender: Sender, batch: list[Outgoing]) -> None:
        facts = [item for item in batch if item.kind == "fact"]
        jobs = [item for item in batch if item.kind == "job"]
        self._batch += 1
        self._ack = expected()
        await sender.send(
            link.Report(
                self._batch,
                tuple(item.content.decode() for item in facts),
                tuple(_job_reports.decode(item.content) for item in jobs),
            )
        )
        async with asyncio.timeout(ACK_S):
            ack = await self._ack
        for refused in ack.refused:
            log.warning("outbox.refused", code=refused.code, kind="fact" if refused.index < len(facts) else "job")
        await self._store.sent([item.number for item in batch])

    async def _part(self, batch: list[Outgoing], code: str) -> None:
        """Something in a batch is refused for good: set it aside, once it is known which."""
        if len(batch) > 1:
            self._singly = len(batch)
            return
        self._singly = max(0, self._singly - 1)
        log.error("outbox.set_aside", kind=batch[0].kind, code=code)
        await self._store.set_aside(batch[0], code)


def _fitting(batch: list[Outgoing]) -> list[Outgoing]:
    """As many of the oldest as fit into one report, and never none."""
    size = 0
    for count, item in enumerate(batch):
        size += len(item.content)
        if count and size > REPORT_BYTES_MAX:
            return batch[:count]
    return batch
