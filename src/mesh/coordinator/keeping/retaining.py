"""What is not kept for good: accounts that were to be deleted go when their month is over, and once an hour old job
records, decisions where a network has it so, ended sign-ins and the names on ended links are forgotten, and requests to
come in that nobody answered expire.

Touches: database, clock (through ``parts``).
"""

import structlog

from mesh.coordinator.acts import applicants as applicant_acts
from mesh.coordinator.acts import deletion as acts
from mesh.coordinator.acts.settle import HORIZON_MS
from mesh.coordinator.parts import Parts
from mesh.coordinator.store import applicants, decisions, deletions, networks, people, records, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.deletions import Deletion
from mesh.coordinator.telling.news import News
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId
from mesh.networks.retention import retention_of
from mesh.units import DAY, HOUR

FORGET_MOST = 200
"""Jobs in one transaction: some 20 ms of the writer, so that live jobs are not held up."""

FORGET_EVERY_MS = int(HOUR * 1000)
ENDED_MS = int(30 * DAY * 1000)
"""A sign-in or a link that ended a month ago tells its owner nothing any more."""

log = structlog.get_logger()


class Retaining:
    """Carries out, a part at a time, what time has decided."""

    def __init__(self, parts: Parts, news: News) -> None:
        self._parts = parts
        self._news = news
        self._told: set[MemberId] = set()
        self._next_ms = 0

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
        if parts.now_ms() >= self._next_ms:
            await self._forget_old(parts.now_ms())
            self._next_ms = parts.now_ms() + FORGET_EVERY_MS

    async def _forget_old(self, now_ms: int) -> None:
        database = self._parts.database
        for network in list(self._parts.snapshot.networks.values()):
            kept = retention_of(network.settings)
            while await database.write(_forget, network.id, kept.jobs_before_ms(now_ms), None) == FORGET_MOST:
                pass
            before_ms = kept.decisions_before_ms(now_ms)
            while before_ms is not None and await database.write(_forget_decisions, network.id, before_ms) > 0:
                pass
        while overdue := await database.write(applicant_acts.expire, self._parts.moment()):
            for one in overdue:
                self._news.request_ended(one.network)
        await database.write(_forget_ended, now_ms - ENDED_MS)
        await database.write(tokens.lose_letters, now_ms)

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


def _forget_decisions(store: Store, network: NetworkId, before_ms: int) -> int:
    return decisions.forget(store, network, before_ms=before_ms, most=FORGET_MOST)


def _forget_ended(store: Store, before_ms: int) -> None:
    people.forget_sessions(store, before_ms=before_ms)
    tokens.forget_names(store, before_ms=before_ms)
    applicants.forget(store, before_ms=before_ms)
