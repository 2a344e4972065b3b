"""Closing a share of a series: settle each of its jobs that still waits, then release the rest, in one transaction.

Touches: database (through the store it is given).
"""

from typing import Any

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.paying import end_share
from mesh.coordinator.acts.settle import Effect, settle
from mesh.coordinator.store import series
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey

JOBS_MOST = 512
"""Jobs settled in one transaction, about a second's work: with more the share stays open for another round."""


def close_if_through(store: Store, share: str, moment: Moment, ready_ms: int) -> list[Effect]:
    """Close a share if both sides are through with it and all that they said they sent is in."""
    row = series.share(store, share)
    if row.state != "open" or row.requester_no_more is None or row.worker_no_more is None:
        return []
    known = series.counts(store, row.permit, row.worker)
    if known.answered < row.requester_no_more or known.claimed < row.worker_no_more or known.unanswered:
        return []
    return _close(store, row, moment, ready_ms, reason="no_more")


def close_due(store: Store, share: str, moment: Moment, ready_ms: int) -> list[Effect]:
    """Close a share whose report window is over."""
    return _close(store, series.share(store, share), moment, ready_ms, reason="window")


def _close(store: Store, row: Any, moment: Moment, ready_ms: int, *, reason: str) -> list[Effect]:
    effects: list[Effect] = []
    closing = frozenset({row.id})
    waiting = series.waiting(store, row.id, JOBS_MOST)
    jobs = waiting if len(waiting) == JOBS_MOST else (*waiting, *series.superseded(store, row.id))
    for job in dict.fromkeys(jobs):
        effects += settle(store, JobKey(row.network, row.requester, job), moment, ready_ms, closing=closing)
    if len(waiting) < JOBS_MOST:
        end_share(store, series.share(store, row.id), moment, reason=reason)
    return effects
