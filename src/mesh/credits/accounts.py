"""Accounts and postings: money only moves between accounts, and every posting sums to zero.

Per network: each member has a ``balance`` and a ``pending`` account (earned, but still deniable), and ``aside``: what
their balance was under the other credit line, which counts again when that one does. The system has
``issue`` (where credits come from; goes negative), ``verification`` (the fee; pays for spot checks) and ``burn``.
What is set aside for running work (``held``) is no account: it is a mark on the payer's balance.

Touches: nothing.
"""

from typing import Literal, NamedTuple

from mesh.errors import MeshError
from mesh.ids import MemberId
from mesh.units import MICRO_LIMIT

AccountKind = Literal["balance", "pending", "aside", "issue", "verification", "burn"]
PostingKind = Literal["settle", "second", "reverse", "mature", "welcome", "admin", "burn", "line"]

SYSTEM = MemberId("")
"""The holder of the accounts that belong to nobody."""


class Unbalanced(MeshError):
    """A posting does not sum to zero. Nothing was written; please report this."""

    code = "credits.unbalanced"
    kind = "failed"


class Account(NamedTuple):
    """Names an account within a network."""

    kind: AccountKind
    member: MemberId = SYSTEM


class Entry(NamedTuple):
    """What a posting does to one account, in micro-credits."""

    account: Account
    amount: int


class Posting(NamedTuple):
    """One balanced event. ``entries`` name each account once, sum to zero, and none is 0 (a fee of 0 has no entry)."""

    kind: PostingKind
    entries: tuple[Entry, ...]


def posting(kind: PostingKind, *amounts: tuple[Account, int]) -> Posting:
    """Build a posting from amounts, leaving out zeros. Raises Unbalanced (a bug of the caller, kept on in production).

    Amounts on one account are joined, so that a member who works for themselves would simply get the fee's entry.
    """
    joined: dict[Account, int] = {}
    for account, amount in amounts:
        joined[account] = joined.get(account, 0) + amount
    if sum(joined.values()) != 0 or any(abs(amount) > MICRO_LIMIT for amount in joined.values()):
        raise Unbalanced(kind=kind, amounts=[amount for _, amount in amounts])
    return Posting(kind, tuple(Entry(account, amount) for account, amount in joined.items() if amount))
