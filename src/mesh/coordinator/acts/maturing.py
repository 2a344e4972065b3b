"""Pay that waited becomes the earner's to spend: its day is over, or what its device did was checked since.

Touches: database (through the store it is given).
"""

from typing import Any, Literal

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.settle import DAY_MS, day_over
from mesh.coordinator.store import checks as rows
from mesh.coordinator.store import evidence, permits
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.coordinator.store.ledger import About, Books
from mesh.coordinator.store.outcomes import Outcomes, Standing
from mesh.credits import checks, transfers
from mesh.credits.checks import Pending
from mesh.ids import DeviceId, MemberId, NetworkId, PermitId


def mature(store: Store, moment: Moment, most: int) -> int:
    """Payments whose day is over become the earners' to spend, whatever the reports of the same moment say.

    Returns how many; those that also wait for checks are left to ``mature_checked``.
    """
    found = evidence.deniable_until(store, moment.now_ms - DAY_MS, most)
    for row in found:
        _mature(store, row, permits.by_id(store, PermitId(row.permit)), moment)
    return len(found)


def mature_checked(store: Store, moment: Moment, ready_ms: int, most: int) -> int:
    """Pay that waits for checks, of each device the oldest first, as far as it is free by now; returns how many."""
    rows.skip_late(store, moment.now_ms)
    matured = 0
    for worker in rows.workers_with_pending(store):
        passes = rows.passes(store, DeviceId(worker.worker))
        for place, row in enumerate(rows.pending_of(store, DeviceId(worker.worker), most)):
            deniable = row.how == "one_sided" and not day_over(row.paid_ms, moment.now_ms, ready_ms)
            later = worker.waiting - place - 1
            waits = Pending(later, moment.now_ms - row.paid_ms, _check(row), deniable)
            if checks.held_back(row.credit_line, bool(row.trusted), quarantined=False) and row.earner != row.payer:
                free = checks.may_be_spent(waits, passes)
            else:
                free = row.how != "one_sided"  # else ``mature`` has it when its day is over
            if free:
                _mature(store, row, row, moment)
                matured += 1
    return matured


def mature_all(store: Store, network: NetworkId, moment: Moment) -> None:
    """Let nothing wait any more in a network, not even what is in quarantine: for when it can be spent nowhere."""
    for row in rows.pending_in(store, network):
        _mature(store, row, row, moment)


def _check(row: Any) -> Literal["none", "open", "passed", "missed"]:
    if row.check_state == "missed":
        return "passed" if row.check_cleared_ms is not None else "missed"
    if row.check_state == "asked":
        return "open"
    return "passed" if row.check_state == "passed" else "none"


def _mature(store: Store, row: Any, price: Any, moment: Moment) -> None:
    """Move an attempt's pay from pending to its earner's balance; ``price``: its permit's, None if that is gone."""
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
    state = "final" if row.how == "one_sided" else row.state
    standing = Standing(state, row.pay, row.fee, row.owed, row.how, row.units_paid, row.changes + 1, True, row.paid_ms)
    outcomes = Outcomes(store)
    outcomes.attempt(JobKey(row.network, row.requester, row.job), row.attempt, standing, moment.now_ms)
    outcomes.flush()
