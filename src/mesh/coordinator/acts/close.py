"""What time does to money: shares whose report window is over close, deniable pay matures, old permits are forgotten.

Windows count in the coordinator's uptime: after a restart outboxes get their 15 minutes before anything closes.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.leaving import burn_left_behind
from mesh.coordinator.acts.maturing import mature, mature_checked
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.series import close_due
from mesh.coordinator.acts.settle import HORIZON_MS, UPTIME_MS, Effect, settle
from mesh.coordinator.store import ledger, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey

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
    matured = mature(store, moment, SWEEP_MOST)
    checked = mature_checked(store, moment, ready_ms, SWEEP_MOST)
    pruned = permits.prune(store, moment.now_ms - HORIZON_MS)
    burnt = burn_left_behind(store, moment, SWEEP_MOST)
    ledger.roll_up(store)
    more = SWEEP_MOST in (len(rows), matured, burnt)
    return Swept(len(rows), matured + checked, pruned, more, tuple(effects))
