"""What follows when the owner, or an admin from afar, changes this device's state or terms.

A pause hands back at once what waits for other people (they have it done elsewhere, and it costs them no attempt); what
runs for them is finished. A drain finishes all that was taken. Terms count from the next job on.

Touches: the agent's store and engines (through its arguments).
"""

from collections.abc import Callable

import structlog

from mesh.agent.engines.pool import Pool
from mesh.agent.myself import Myself, Wanted
from mesh.agent.store import Store, StoreBroken
from mesh.agent.working.door import paused
from mesh.agent.working.worker import Worker
from mesh.protocol.link import Drain

log = structlog.get_logger()


class Steering:
    """Applies what was set."""

    def __init__(
        self, myself: Myself, worker: Worker, engines: Pool, store: Store, beat_soon: Callable[[], None]
    ) -> None:
        self._myself, self._worker, self._engines, self._store = myself, worker, engines, store
        self._beat_soon = beat_soon

    def follow(self) -> None:
        """Act on the state and the terms as they are now, and let the coordinator know."""
        terms = self._myself.terms
        self._engines.limit_others(terms.share)
        self._worker.work.others_max = terms.jobs_max
        if self._myself.wanted == "paused":
            self._worker.hand_back(paused("paused"))
        self._worker.feed()
        self._beat_soon()

    def steered(self, news: Drain) -> None:
        """The coordinator says that the owner, or an admin, wants another state."""
        state: Wanted = "ready" if news.resume else "paused" if news.pause else "draining"
        log.info("device.steered", state=state, by=news.by)
        self._myself.want(state, news.by)
        self._worker.spawn(self._keep())

    async def _keep(self) -> None:
        try:
            await self._myself.remember(self._store)
        except StoreBroken as error:
            log.error("device.state_not_kept", code=error.code)
