"""How money moves: set aside, pay, take back, mature, welcome. And the line that nobody crosses.

A hold only marks money; no posting is made for it. Paying takes from what is held (which never looks at the floor: that
money is already set aside) or from what is free (``balance - held - floor``).

Touches: nothing.
"""

from typing import Literal

from mesh.credits.accounts import Account, Posting, posting
from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.units import CREDIT

CreditLine = Literal["friends", "strict"]

WELCOME = 600 * CREDIT
"""What each approved person starts with under *strict*: about 100 minutes of a laptop."""

_ISSUE = Account("issue")
_VERIFICATION = Account("verification")
_BURN = Account("burn")


class HoldRefused(MeshError):
    """Not enough free credits for this job. Lower its limit, wait for running jobs to end, or ask an admin."""

    code = "credits.hold_refused"
    kind = "nowhere"


def floor(line: CreditLine, own_floor: int | None) -> int | None:
    """The lowest that a member's balance less their holds may reach; None: no limit.

    ``own_floor`` is what an admin set for this person; without one *friends* has no floor and *strict* has 0.
    """
    if own_floor is not None:
        return own_floor
    return None if line == "friends" else 0


def free(balance: int, held: int, lowest: int | None) -> int | None:
    """What may still be set aside or paid without crossing the floor (never negative); None: no limit."""
    return None if lowest is None else max(0, balance - held - lowest)


def covers(available: int | None, amount: int) -> bool:
    """Whether what is free covers an amount."""
    return available is None or amount <= available


def pay(payer: MemberId, earner: MemberId, *, amount: int, fee: int, waits: bool, second: bool = False) -> Posting:
    """A payment: the payer's whole amount, split between the worker's owner and the fee.

    Answered pay is earned at once. What rests on the worker's word alone ``waits`` in pending, and so does all pay for
    whom nobody vouches for until its work was checked (``checks``).
    ``second``: the requester signed for two attempts of one job.
    """
    assert 0 <= fee <= amount
    earned = Account("pending" if waits else "balance", earner)
    return posting(
        "second" if second else "settle",
        (Account("balance", payer), -amount),
        (earned, amount - fee),
        (_VERIFICATION, fee),
    )


def take_back(payer: MemberId, earner: MemberId, *, amount: int, fee: int) -> Posting:
    """Reverse part of a deniable payment, with its part of the fee. Takes from pending only."""
    assert 0 <= fee <= amount
    return posting(
        "reverse",
        (Account("balance", payer), amount),
        (Account("pending", earner), fee - amount),
        (_VERIFICATION, -fee),
    )


def mature(earner: MemberId, amount: int) -> Posting:
    """What was deniable becomes the earner's to spend."""
    assert amount >= 0
    return posting("mature", (Account("pending", earner), -amount), (Account("balance", earner), amount))


def welcome(member: MemberId, amount: int = WELCOME) -> Posting:
    """The allowance of a newly approved person; with a named act of an admin the only source of credits."""
    return posting("welcome", (_ISSUE, -amount), (Account("balance", member), amount))


def give(member: MemberId, amount: int) -> Posting:
    """A named act of an admin: credits issued to a member, or (negative) taken back to where they came from."""
    return posting("admin", (_ISSUE, -amount), (Account("balance", member), amount))


def swap(member: MemberId, balance: int, aside: int) -> Posting:
    """The credit line changes: what a member had under the old one is set aside, what they had under the new one counts
    again. Nothing is made and nothing is lost.
    """
    more = aside - balance
    return posting("line", (Account("balance", member), more), (Account("aside", member), -more))


def burn(member: MemberId, amount: int) -> Posting:
    """What somebody leaves behind is nobody's: it is out of use for good."""
    assert amount > 0
    return posting("burn", (Account("balance", member), -amount), (_BURN, amount))
