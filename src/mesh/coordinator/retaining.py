"""What is not kept for good: accounts that were to be deleted go when their month is over.

Touches: database, clock (through ``parts``).
"""

import structlog

from mesh.coordinator.acts import deletion as acts
from mesh.coordinator.acts.settle import HORIZON_MS
from mesh.coordinator.news import News
from mesh.coordinator.parts import Parts
from mesh.coordinator.store import deletions, networks, records
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.deletions import Deletion
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId

FORGET_MOST = 200
"""Jobs in one transaction: some 20 ms of the writer, so that live jobs are not held up."""

log = structlog.get_logger()


class Retaining:
    """Carries out, a part at a time, what time has decided."""

    def __init__(self, parts: Parts, news: News) -> None:
        self._parts = parts
        self._news = news
        self._told: set[MemberId] = set()

    async def once(self) -> None:
        """One round."""
        parts = self._parts
        for due in await parts.database.read(_due, parts.now_ms()):
            try:
                await self._delete(due)
            except MeshError as error:
                if due.member not in self._told:
                    log.warning("account.stays", member=due.member, code=error.wire_code)
                self._told.add(due.member)

    async def _delete(self, due: Deletion) -> None:
        """Close the account, forget what its person asked for, then who it was; each step survives a restart."""
        parts, member = self._parts, due.member
        if due.closed_ms is None:
            closed = await parts.database.write(acts.close, member, parts.moment())
            for gone in closed.gone:
                await self._news.person_left(gone)
            for network in closed.ended:
                self._news.network_ended(network)
        before_ms = parts.now_ms() - HORIZON_MS
        for network in await parts.database.read(networks.ever_of_member, member):
            while await parts.database.write(_forget, network, before_ms, member) == FORGET_MOST:
                pass
        kept = await parts.database.read(deletions.of, member)
        if kept is not None:
            await parts.database.write(acts.finish, kept, parts.moment())
            log.info("account.deleted", member=member)


def _due(store: Store, now_ms: int) -> list[Deletion]:
    return deletions.due(store, now_ms=now_ms)


def _forget(store: Store, network: NetworkId, before_ms: int, member: MemberId | None) -> int:
    return records.forget(store, network, before_ms=before_ms, most=FORGET_MOST, member=member)
