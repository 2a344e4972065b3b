"""This device's conversation with its coordinator: presence, news of the network, permits, cancels, the outbox.

Touches: the link (through its argument).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog

from mesh.agent.asking.requester import Requester
from mesh.agent.membership import Membership
from mesh.agent.outbox import Outbox
from mesh.agent.store import Store
from mesh.agent.turning import Turning
from mesh.agent.working.worker import Worker
from mesh.concurrency import expected
from mesh.devices.copies import CopiedHome
from mesh.errors import MeshError, from_wire
from mesh.ids import PermitId, RequestId
from mesh.networks.rotation import KeyInUse, NotNext, TooOften
from mesh.protocol import link
from mesh.protocol.succession import ChainBroken
from mesh.sdk.heads import Heads, HistoryChanged, KeptHead
from mesh.transport.link import REMOVED, Down, Event, LinkClient, LinkDown, Up

PERMIT_S = 10.0
"""A coordinator that answers no permit request for so long counts as away for that job."""

REMEMBER_S = 1.0
"""News of a network that comes in a burst is written down once."""

HEADS_S = 30.0
"""How often the newest ledger head is written down: what is lost with it is half a minute of evidence."""

KEY_REFUSED = frozenset({NotNext.code, KeyInUse.code, TooOften.code, ChainBroken.code, "link.proof_refused"})
"""Codes with which a coordinator refuses a device's next key."""

KEY_REPLACED = "link.key_replaced"
OLDER_COPY = (
    "This device's key was replaced, and what runs here has an older one: it is a copy of the device's folder, or its "
    "backup. Stop it, or let it join anew: mesh device join LINK"
)
PENDING = "This device waits for an admin's approval. An admin runs: mesh device approve NAME"

log = structlog.get_logger()


class Parts(NamedTuple):
    """Whom the coordinator's messages concern."""

    membership: Membership
    store: Store
    outbox: Outbox
    worker: Worker
    requester: Requester


class Coordination:
    """Turns link messages into calls, and calls into link messages."""

    def __init__(self, client: LinkClient) -> None:
        self.parts: Parts
        """Set by the wiring before ``run``, as ``hello`` is: what this device is and runs now."""
        self.hello: Callable[[], link.Hello]
        self.on_drain: Callable[[link.Drain], None] = lambda news: None
        self.on_check: Callable[[link.Check], None] = lambda check: None
        self.turning: Turning
        """Set by the wiring too: it hears what becomes of this device's next key."""
        self.heads: Heads
        """Set by the wiring too: the ledger heads that this home keeps."""
        self.welcomed = asyncio.Event()
        """Set once the coordinator has welcomed this device with a State and a certificate, and its peers are known."""
        self.removed: str | None = None
        self.notice = ""
        """Why this device takes no part yet, in words for its owner; empty when it does."""
        self.on_notice: Callable[[str], None] = lambda words: None
        self.last_down = ""
        self._client = client
        self._asked: dict[RequestId, asyncio.Future[Any]] = {}
        self._closing: asyncio.Queue[PermitId] = asyncio.Queue()
        self._unwanted: asyncio.Queue[str] = asyncio.Queue()
        """Permits that came when nobody waited for them any more."""
        self._remember = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the link stands."""
        return self._client.up

    async def send(self, message: link.Message) -> None:
        """Send a message. Raises LinkDown."""
        await self._client.send(message)

    async def ask_permit(self, request: link.PermitRequest) -> link.Placed | link.Refused:
        """Ask where a job may run. Raises LinkDown."""
        answer: link.Placed | link.Refused = await self._ask(request)
        return answer

    async def ask_estimate(self, request: link.EstimateRequest) -> link.Estimated:
        """Ask what a job would cost and who would do it. Raises LinkDown."""
        answer: link.Estimated = await self._ask(request)
        return answer

    async def _ask(self, request: link.PermitRequest | link.EstimateRequest) -> Any:
        answer = expected()  # the link may end while the question is still being sent
        self._asked[request.request] = answer
        try:
            await self._client.send(request)
            async with asyncio.timeout(PERMIT_S):
                return await answer
        except TimeoutError as error:
            raise LinkDown("The coordinator does not answer now. Try again in a moment.") from error
        finally:
            del self._asked[request.request]

    async def say_hello(self) -> None:
        """Tell what this device is and runs: after every Welcome, and when it changes."""
        await self._client.send(self.hello())

    async def run(self) -> None:
        """Keep the link until this device is removed or the program ends."""
        self.parts.membership.on_newer = self._remember.set
        async with asyncio.TaskGroup() as group:
            works = (self._close_permits(), self._decline_permits(), self._keep_membership(), self._keep_heads())
            helpers = [group.create_task(work) for work in works]
            await self._client.run(self._event)
            for helper in helpers:
                helper.cancel()

    # --- news -----------------------------------------------------------------------------------------------------

    def _event(self, event: Event) -> Awaitable[None] | None:
        if isinstance(event, Up):
            return self._up(event.welcome)
        if isinstance(event, link.KeyTaken):
            return self._key_taken(event)
        if isinstance(event, Down):
            self._down(event)
        elif isinstance(event, link.Placed | link.Refused | link.Estimated):
            answer = self._asked.get(event.request)
            if answer is not None and not answer.done():
                answer.set_result(event)
            elif isinstance(event, link.Placed) and event.permit is not None:
                self._unwanted.put_nowait(event.permit)
        elif isinstance(event, link.ReportAck):
            self.parts.outbox.acknowledged(event)
            self._keep_head(event.head)
        else:
            try:
                self._news(event)
            except MeshError as error:
                log.warning("link.news_refused", news=type(event).__name__, code=error.wire_code)
        return None

    def _news(self, event: link.FromCoordinator) -> None:
        membership = self.parts.membership
        if isinstance(event, link.StateUpdate):
            membership.adopt_state(event.state, trusted=True)
            self._keep_head(membership.state.ledger_head if membership.state else None)
            self._remember.set()
        elif isinstance(event, link.CertificateUpdate):
            membership.take_certificate(event.certificate)
            self.notice = ""
            self._remember.set()
        elif isinstance(event, link.Peers):
            membership.take_peers(event)
            self._remember.set()
            self._check_welcomed()
        elif isinstance(event, link.Close):
            self._closing.put_nowait(event.permit)
        elif isinstance(event, link.Cancel):
            self.parts.requester.cancel(event.job)
            self.parts.worker.cancel_job(event.job)
        elif isinstance(event, link.Drain):
            self.on_drain(event)
        elif isinstance(event, link.Check):
            self.on_check(event)
        elif isinstance(event, link.Removed):
            self.removed = event.code
        elif isinstance(event, link.Problem):
            problem = from_wire(event.error)
            log.warning("link.problem", code=problem.wire_code)
            self.parts.outbox.refused(problem)
            if problem.wire_code in KEY_REFUSED:
                self.turning.refused(problem)
            if problem.wire_code == CopiedHome.code:
                self._tell(str(problem))

    async def _up(self, welcome: link.Welcome) -> None:
        membership = self.parts.membership
        try:
            if welcome.state is not None:
                membership.adopt_state(welcome.state, trusted=True, chain=welcome.successions)
            await self.turning.taken(None, None)  # the proof just now was that of the next key, if there is one
            if welcome.certificate is not None:
                membership.take_certificate(welcome.certificate)
        except MeshError as error:
            log.warning("link.welcome_refused", code=error.wire_code)
        log.info("link.up")
        if welcome.device_state != "pending":
            self.notice = ""
        elif not self.notice:  # what was said before says more
            self._tell(PENDING)
        self._remember.set()
        await self.say_hello()
        self.parts.outbox.link_up()

    async def _key_taken(self, taken: link.KeyTaken) -> None:
        try:
            await self.turning.taken(taken.key, taken.certificate)
        except MeshError as error:
            log.warning("link.key_refused", code=error.wire_code)
        self._remember.set()
        await self.say_hello()  # what observers sign and relays admit is about keys

    def _tell(self, words: str) -> None:
        """Let the owner know, once for as long as it stays so."""
        if words != self.notice:
            self.notice = words
            self.on_notice(words)

    def _down(self, event: Down) -> None:
        if self.last_down != event.code or event.retry_s == 0:
            log.info("link.down", code=event.code)
        self.last_down = event.code
        if event.code in KEY_REFUSED:
            self.turning.refused(from_wire({"code": event.code}))
        if event.code == KEY_REPLACED:
            self._tell(OLDER_COPY)
        if event.code == REMOVED:
            self.removed = event.code
        self.parts.outbox.link_down()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkDown())

    def _keep_head(self, token: str | None) -> None:
        """Keep how far the ledger was sealed; a coordinator that shows another past is told of to the owner."""
        if token is None:
            return
        try:
            head = self.parts.membership.check_head(token)
            self.heads.take(self.parts.membership.network, KeptHead(head.number, head.hash, head.time_ms, token))
        except HistoryChanged as error:
            log.error("ledger.history_changed", number=error.facts["number"])
            self._tell(str(error))
        except MeshError as error:
            log.warning("ledger.head_refused", code=error.wire_code)

    def _check_welcomed(self) -> None:
        if self.parts.membership.state is not None and self.parts.membership.certified:
            self.welcomed.set()

    # --- what needs the disk --------------------------------------------------------------------------------------

    async def _close_permits(self) -> None:
        while True:
            await self.parts.worker.close_permit(await self._closing.get())

    async def _decline_permits(self) -> None:
        while True:
            await self.parts.requester.decline(await self._unwanted.get())

    async def _keep_heads(self) -> None:
        try:
            while True:
                await asyncio.sleep(HEADS_S)
                if self.heads.dirty:
                    await asyncio.to_thread(self.heads.write)
        finally:
            if self.heads.dirty:
                self.heads.write()

    async def _keep_membership(self) -> None:
        """Write down what is news, some at a time; what is not written yet when this device stops is written then."""
        try:
            while True:
                await self._remember.wait()
                await asyncio.sleep(REMEMBER_S)
                self._remember.clear()
                await self.parts.membership.remember(self.parts.store)
        finally:
            if self._remember.is_set():
                await self.parts.membership.remember(self.parts.store)
