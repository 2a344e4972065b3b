"""What time does to money: shares whose report window is over close, deniable pay matures, old permits are forgotten.

Windows count in the coordinator's uptime: after a restart outboxes get their 15 minutes before anything closes.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.leaving import burn_left_behind
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.series import close_due
from mesh.coordinator.acts.settle import DAY_MS, HORIZON_MS, UPTIME_MS, Effect, settle
from mesh.coordinator.store import evidence, ledger, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey, Standing
from mesh.coordinator.store.ledger import About, Books
from mesh.credits import transfers
from mesh.ids import MemberId, NetworkId, PermitId

SWEEP_MOST = 64
"""Shares and payments in one transaction: a backlog after days of absence must not hold up live jobs."""


class Swept(NamedTuple):
    """How much was done. ``more``: call again at once."""

    closed: int
    matured: int
    pruned: int
    more: bool
    effects: tuple[Effect, ...]


def sweep(store: Store, moment: Moment, ready_ms: int) -> Swept:
    """Close, mature, prune and roll up what is due. ``ready_ms``: since when this coordinator is up."""
    if moment.now_ms < ready_ms + UPTIME_MS:
        return Swept(0, 0, 0, False, ())
    due: dict[JobKey, set[str]] = {}
    effects: list[Effect] = []
    rows = permits.due(store, moment.now_ms, SWEEP_MOST)
    for row in rows:
        if row.job is None:
            effects += close_due(store, row.id, moment, ready_ms)
        else:
            due.setdefault(JobKey(row.network, row.requester, row.job), set()).add(row.id)
    for key, shares in due.items():
        effects += settle(store, key, moment, ready_ms, closing=frozenset(shares))
    matured = _mature(store, moment)
    pruned = permits.prune(store, moment.now_ms - HORIZON_MS)
    burnt = burn_left_behind(store, moment, SWEEP_MOST)
    ledger.roll_up(store)
    more = SWEEP_MOST in (len(rows), matured, burnt)
    return Swept(len(rows), matured, pruned, more, tuple(effects))


def _mature(store: Store, moment: Moment) -> int:
    """Payments whose day is over become the earners' to spend, whatever the reports of the same moment say."""
    rows = evidence.deniable_until(store, moment.now_ms - DAY_MS, SWEEP_MOST)
    for row in rows:
        price = permits.by_id(store, PermitId(row.permit))
        key = JobKey(row.network, row.requester, row.job)
        books = Books(store, NetworkId(row.network), moment.now_ms, moment.new_id)
        books.post(
            transfers.mature(MemberId(row.earner), row.pay - row.fee),
            About(
                business=f"mature:{row.requester}:{row.job}:{row.attempt}:{row.changes}",
                earner=row.earner,
                requester=row.requester,
                worker=row.worker,
                job=row.job,
                attempt=row.attempt,
                permit=row.permit,
                tariff_version=None if price is None else price.tariff_version,
                units=row.units_paid,
                price_micro=None if price is None else price.price_micro,
                price_per=None if price is None else price.price_per,
            ),
        )
        books.flush()
        final = Standing(
            "final", row.pay, row.fee, row.owed, row.how, row.units_paid, row.changes + 1, True, row.paid_ms
        )
        evidence.save_attempt(store, key, row.attempt, final, moment.now_ms)
    return len(rows)
