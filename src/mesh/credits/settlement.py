"""Who is believed: from the signed facts of one job to what is paid, taken back, owed and ended.

A pure function of all that is known about a job. It is run on every arrival and once more when a share closes, and is
the same for facts that come once, often, late or in another order. One function below per answer the requester can
give; each line of theirs is a row of the decision table, and named so in tests/rules/test_settlement_table.py.

Never is more paid than the Submit allows, than its share has, or than is free; at most one payment stands per job (a
second only against a requester that signed for two). What cannot be paid is shown as owed, and never collected by
itself.

Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mesh.credits.tariff import Rate

Outcome = Literal["done", "broken", "failed"]
How = Literal["used", "second", "count", "one_sided"]
ShareState = Literal["open", "closing", "ended"]
AttemptState = Literal[
    "submitted", "claimed", "paid", "paid_second", "one_sided", "final", "owed", "reversed", "superseded",
    "failed", "unknown", "disproved",
]  # fmt: skip
"""``disproved``: its pay was taken back because its worker was found to make answers up; nothing brings it back."""
MarkKind = Literal["double_use", "denied", "unsupported", "unanswered"]
FAR_BELOW = 2
"""An acknowledgment of less than one part in so many of what a finished attempt claims is a denial of the rest: two
honest sides of finished work count the same."""
UNANSWERED_MAX = 3
"""So many claims of one job may stay unanswered: a requester that vanished had two devices at it, and one before."""


class ShareFacts(NamedTuple):
    """A share as it is: ``left`` is still set aside in it; ``single``: of a one-job permit.

    A closing share of a series is ended by whoever closes it, after the last of its jobs; a single one here.
    """

    share: str
    state: ShareState
    left: int
    single: bool
    rate: Rate


class AttemptFacts(NamedTuple):
    """What is known of an attempt: the evidence (None: there is none of that kind), and what was decided before.

    Units are raw counts; amounts are micro-credits. ``deniable``: a one-sided payment that is still in its day.
    ``timely``: the claim came before the end of the day after its share ended.
    """

    attempt: int
    share: str
    maximum: int
    claimed: int | None = None
    outcome: Outcome | None = None
    timely: bool = True
    counted: int = 0
    used: int | None = None
    failed: bool = False
    superseded: bool = False
    state: AttemptState = "submitted"
    pay: int = 0
    how: How | None = None
    deniable: bool = False
    owed: int = 0


class Pay(NamedTuple):
    """Pay an attempt, from its share (``draws``) or from what is free."""

    attempt: int
    amount: int
    units: int
    how: How
    draws: bool


class Lower(NamedTuple):
    """Take back what is above ``to`` from a deniable payment, which afterwards rests on ``how`` (None: it is gone)."""

    attempt: int
    to: int
    how: How | None


class Owe(NamedTuple):
    """Show an amount as owed, on that evidence: paying it would cross the floor."""

    attempt: int
    amount: int
    how: How


class End(NamedTuple):
    """End a share and release what is left of it."""

    share: str


class Mark(NamedTuple):
    """Something that counts against a device: the requester, and for ``denied`` both sides. Attempt 0: the job.

    A denial counts from when it and the claim are known, whether or not their share is still open: a requester that
    leaves its shares open gets no more work for nothing than one that closes them.
    """

    kind: MarkKind
    attempt: int


class Become(NamedTuple):
    """An attempt's new state."""

    attempt: int
    state: AttemptState


Decision = Pay | Lower | Owe | End | Mark | Become


def settle_job(
    attempts: Sequence[AttemptFacts],
    shares: Mapping[str, ShareFacts],
    *,
    free: int | None,
    own_used: bool = False,
) -> tuple[Decision, ...]:
    """Decide everything about one job, in the order in which it is to be done; empty if nothing changes.

    ``free``: what the payer can pay beyond what is held (None: no limit). ``own_used``: the requester reported that a
    device of its own delivered the result, so that other attempts were rightly superseded.
    """
    work = _Working(attempts, shares, free)
    for _ in range(3 * len(attempts) + len(shares) + 2):  # each attempt is paid, lowered and paid again at most
        if not work.decide_once():
            break
    else:
        raise AssertionError("settlement does not come to rest")
    work.close_shares()
    work.mark(own_used)
    return (*work.decisions, *work.changes())


class _Attempt:
    """The working copy of an attempt: evidence priced, and what stands so far."""

    def __init__(self, facts: AttemptFacts, rate: Rate) -> None:
        self.facts = facts
        self.state: AttemptState = facts.state
        self.pay, self.how = facts.pay, facts.how
        self.deniable = facts.deniable
        claimed = facts.claimed if facts.outcome != "failed" else None
        self.counted = (rate.cost(facts.counted), facts.counted)
        self.claimed = None if claimed is None else (rate.cost(claimed), claimed)
        # Nobody counts below a count they signed.
        used = None if facts.used is None else max(facts.used, facts.counted)
        self.used = None if used is None else (rate.cost(used), used)

    @property
    def stands(self) -> bool:
        return self.pay > 0

    @property
    def one_sided(self) -> bool:
        return self.pay > 0 and self.how == "one_sided"

    @property
    def unanswered(self) -> bool:
        """Whether its worker says that it did something, and its requester nothing."""
        answered = self.facts.used is not None or self.facts.failed or self.facts.superseded
        return self.claimed is not None and self.claimed[1] > 0 and not answered

    @property
    def denied(self) -> bool:
        """Whether its requester contradicts what its worker says that it did: all of it, or more than half."""
        if self.claimed is None:
            return False
        cut = self.facts.outcome == "done" and self.used is not None and self.used[1] * FAR_BELOW < self.claimed[1]
        return self.facts.failed or cut

    def owed_by(self, *how: How) -> bool:
        """Whether it is shown as owed on this evidence: a repeat of that does not collect it, another answer may."""
        return self.state == "owed" and self.how in how

    def worth(self, *evidence: tuple[int, int] | None) -> tuple[int, int]:
        """The least of the evidence and the Submit's maximum: (micro-credits, units of that evidence)."""
        cost, units = min(known for known in evidence if known is not None)
        return min(cost, self.facts.maximum), units


class _Working:
    """One run over one job: a mutable copy, and the decisions made on the way."""

    def __init__(self, attempts: Sequence[AttemptFacts], shares: Mapping[str, ShareFacts], free: int | None) -> None:
        ordered = sorted(attempts, key=lambda facts: facts.attempt)
        self.attempts = [_Attempt(facts, shares[facts.share].rate) for facts in ordered]
        self.shares = dict(shares)
        self.free = free
        self.decisions: list[Decision] = []
        self.any_used = any(attempt.used is not None for attempt in self.attempts)

    def decide_once(self) -> bool:
        """Go through all attempts: acknowledged ones first, then denied, superseded, silent.

        True if money moved or a share ended: that may decide about an attempt that was looked at before.
        """
        before = len(self.decisions)
        open_ones = [attempt for attempt in self.attempts if attempt.state != "disproved"]
        for attempt in open_ones:
            if attempt.used is not None:
                attempt.state = self._used(attempt)
        for attempt in open_ones:
            if attempt.used is None and attempt.facts.failed:
                attempt.state = self._failed(attempt)
        for attempt in open_ones:
            if attempt.used is None and not attempt.facts.failed and attempt.facts.superseded:
                attempt.state = self._superseded(attempt)
        for attempt in open_ones:
            if attempt.used is None and not attempt.facts.failed and not attempt.facts.superseded:
                attempt.state = self._silent(attempt)
        return len(self.decisions) != before

    def close_shares(self) -> None:
        for share in list(self.shares.values()):
            if share.state == "closing" and share.single:
                self._end(share)

    def mark(self, own_used: bool) -> None:
        if sum(attempt.used is not None for attempt in self.attempts) > 1:
            self.decisions.append(Mark("double_use", 0))
        over = all(share.state != "open" for share in self.shares.values())
        if over and sum(attempt.unanswered for attempt in self.attempts) > UNANSWERED_MAX:
            self.decisions.append(Mark("unanswered", 0))
        for attempt in self.attempts:
            facts = attempt.facts
            if attempt.denied:
                self.decisions.append(Mark("denied", facts.attempt))
            others = (other for other in self.attempts if other is not attempt)
            unpaid = not own_used and not any(other.stands or other.state == "owed" for other in others)
            if attempt.state == "superseded" and facts.superseded and over and unpaid:
                self.decisions.append(Mark("unsupported", facts.attempt))

    def changes(self) -> list[Decision]:
        return [Become(a.facts.attempt, a.state) for a in self.attempts if a.state != a.facts.state]

    # --- the rows, by the requester's answer --------------------------------------------------------------------------

    def _used(self, attempt: _Attempt) -> AttemptState:
        if attempt.state in ("paid", "paid_second") or attempt.owed_by("used", "second"):
            return attempt.state
        if attempt.facts.outcome == "failed":
            return "failed"
        assert attempt.used is not None
        if attempt.one_sided:
            if not attempt.deniable:
                return "final"
            self._lower(attempt, attempt.worth(attempt.used, attempt.claimed)[0], "used")
            return "paid"
        standing = self._standing_beside(attempt)
        if any(other.how in ("used", "second") for other in standing):
            if attempt.claimed is None:
                return "submitted" if self._waits(attempt) else "unknown"
            return self._pay(attempt, attempt.worth(attempt.used, attempt.claimed), "second")
        if any(other.how == "count" or not other.deniable for other in standing):
            return "superseded"
        if attempt.claimed is None and self._waits(attempt):
            return "submitted"
        for other in standing:
            self._lower(other, 0, None)
            other.state = "reversed"
        return self._pay(attempt, attempt.worth(attempt.used, attempt.claimed), "used")

    def _failed(self, attempt: _Attempt) -> AttemptState:
        if attempt.one_sided:
            if not attempt.deniable:
                return "final"
            proven = attempt.worth(attempt.counted, attempt.claimed)[0]
            self._lower(attempt, proven, "count" if proven else None)
            return "paid" if proven else "reversed"
        if attempt.stands or attempt.owed_by("count"):
            return attempt.state
        gone: AttemptState = "reversed" if attempt.state == "reversed" else "failed"
        if attempt.facts.outcome == "failed":
            return gone
        if self._waits(attempt):  # a Used may follow
            return "submitted" if attempt.claimed is None else "claimed"
        if attempt.claimed is None or self.any_used or self._standing_beside(attempt):
            return gone
        proven_units = attempt.worth(attempt.counted, attempt.claimed)
        return self._pay(attempt, proven_units, "count") if proven_units[0] else gone

    def _superseded(self, attempt: _Attempt) -> AttemptState:
        if attempt.one_sided:
            if not attempt.deniable:
                return "final"
            self._lower(attempt, 0, None)
            return "superseded"
        if attempt.facts.outcome == "failed":
            return "failed"
        return attempt.state if attempt.stands else "superseded"

    def _silent(self, attempt: _Attempt) -> AttemptState:
        if attempt.facts.outcome == "failed":
            return "failed"
        if attempt.one_sided:
            return "one_sided" if attempt.deniable else "final"
        if attempt.stands or attempt.state in ("owed", "reversed"):  # stands: an admin has settled what was owed
            return attempt.state
        waits = self._waits(attempt)
        if attempt.claimed is None:
            return "submitted" if waits else "unknown"
        if self._standing_beside(attempt):
            return "superseded"
        if waits:
            return "claimed"
        if self.any_used:
            return "superseded"
        if not attempt.facts.timely:
            return "unknown"
        if attempt.facts.outcome == "broken":
            delivered = attempt.worth(attempt.claimed, attempt.counted)
        else:
            delivered = attempt.worth(attempt.claimed)
        return self._pay(attempt, delivered, "one_sided") if delivered[0] else "failed"

    # --- money --------------------------------------------------------------------------------------------------------

    def _standing_beside(self, attempt: _Attempt) -> list[_Attempt]:
        return [other for other in self.attempts if other is not attempt and other.stands]

    def _waits(self, attempt: _Attempt) -> bool:
        return self.shares[attempt.facts.share].state == "open"

    def _pay(self, attempt: _Attempt, worth: tuple[int, int], how: How) -> AttemptState:
        share = self.shares[attempt.facts.share]
        draws = share.state != "ended"
        amount = min(worth[0], share.left) if draws else worth[0]
        if not draws and self.free is not None:
            if amount > self.free:
                self.decisions.append(Owe(attempt.facts.attempt, amount, how))
                attempt.how = how
                return "owed"
            self.free -= amount
        if amount:
            self.decisions.append(Pay(attempt.facts.attempt, amount, worth[1], how, draws))
        attempt.pay, attempt.how, attempt.deniable = amount, how, how == "one_sided"
        if draws:
            share = self.shares[share.share] = share._replace(left=share.left - amount)
        if draws and share.single and how in ("used", "second"):
            self._end(share)
        if how == "one_sided":
            return "one_sided"
        return "paid_second" if how == "second" else "paid"

    def _lower(self, attempt: _Attempt, to: int, how: How | None) -> None:
        back = max(0, attempt.pay - to)
        if self.free is not None:
            self.free += back
        attempt.pay, attempt.how, attempt.deniable = attempt.pay - back, how, False
        self.decisions.append(Lower(attempt.facts.attempt, attempt.pay, how))

    def _end(self, share: ShareFacts) -> None:
        if self.free is not None:
            self.free += share.left
        self.shares[share.share] = share._replace(state="ended", left=0)
        self.decisions.append(End(share.share))
