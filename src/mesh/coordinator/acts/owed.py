"""What is owed: shown to both sides and to admins, never collected by itself, settled by a named act of an admin.

Touches: database (through the store it is given).
"""

from typing import NamedTuple

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.paying import carry_out
from mesh.coordinator.acts.settle import known_of
from mesh.coordinator.store import decisions, evidence, ledger
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.evidence import JobKey
from mesh.credits.settlement import Become, How, Pay
from mesh.errors import MeshError
from mesh.ids import MemberId, NetworkId

OWED_MAX = 500
"""Lines of one answer."""


class NotOwed(MeshError):
    """Nothing is owed for that attempt (any more). See what is: `mesh ledger owed`."""

    code = "credits.not_owed"
    kind = "not_found"


class NotCovered(MeshError):
    """The payer has too little free for what they owe. Give them credits first, or a lower floor."""

    code = "credits.not_covered"
    kind = "conflict"


class Owed(NamedTuple):
    """An amount that one member owes another for an attempt, in micro-credits, and on which evidence."""

    requester: str
    job: str
    attempt: int
    payer: MemberId
    earner: MemberId
    worker: str
    amount: int
    how: str
    since_ms: int


def listed(store: Store, network: NetworkId, member: MemberId | None) -> tuple[Owed, ...]:
    """What is owed by or to a member, or by all (None), the oldest first."""
    return tuple(
        Owed(
            row.requester, row.job, row.attempt, row.payer, row.earner, row.worker, row.owed, row.how, row.changed_ms
        )
        for row in evidence.owed(store, network, member, OWED_MAX)
    )  # fmt: skip


def settle_owed(store: Store, key: JobKey, attempt: int, by: MemberId, moment: Moment) -> int:
    """Pay what an attempt is owed out of what its payer has free; returns the amount. Raises NotOwed, NotCovered."""
    known = known_of(store, key)
    row = None if known is None else known.attempts.get(attempt)
    if known is None or row is None or row.state != "owed":
        raise NotOwed
    # The admin's word stands for an answer: what was owed on the worker's word alone can be denied no more.
    how: How = "used" if row.how == "one_sided" else row.how
    state: Become = Become(attempt, "paid_second" if how == "second" else "paid")
    units = row.owed * known.shares[row.share].price_per // max(1, known.shares[row.share].price_micro)
    try:
        carry_out(store, known, [Pay(attempt, row.owed, units, how, False), state], moment, reason="owed")
    except ledger.FloorCrossed as error:
        raise NotCovered from error
    facts = {"amount": row.owed, "attempt": attempt, "payer": known.payer, "earner": row.earner}
    decisions.add(store, NetworkId(key.network), by, ("credit.settle_owed", key.job), facts, moment.now_ms)
    return int(row.owed)
