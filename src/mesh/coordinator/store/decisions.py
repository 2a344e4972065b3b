"""What admins decided, in SQL: a log that only grows, each line's hash over the one before it.

Touches: database (through the store it is given).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, delete, select

from mesh.coordinator.store.connection import Prepared, Store, adding
from mesh.coordinator.store.schema.ledger import decision_starts, decisions
from mesh.credits.chain import GENESIS, linked
from mesh.ids import MemberId, NetworkId

_LAST = Prepared(
    select(decisions.c.number, decisions.c.hash)
    .where(decisions.c.network == bindparam("network"))
    .order_by(decisions.c.number.desc())
    .limit(1)
)
_ADD = adding(decisions, "network", "number", "at_ms", "by", "kind", "subject", "facts", "hash")
_PAGE = Prepared(
    select(decisions)
    .where(decisions.c.network == bindparam("network"))
    .where(decisions.c.number < bindparam("before"))
    .order_by(decisions.c.number.desc())
    .limit(bindparam("most"))
)
_FORWARD = Prepared(
    select(decisions)
    .where(decisions.c.network == bindparam("network"))
    .where(decisions.c.number > bindparam("after"))
    .order_by(decisions.c.number)
    .limit(bindparam("most"))
)
_OLDEST = Prepared(
    select(decisions)
    .where(decisions.c.network == bindparam("network"))
    .order_by(decisions.c.number)
    .limit(bindparam("most"))
)
_START = Prepared(select(decision_starts).where(decision_starts.c.network == bindparam("network")))
_FORGET = Prepared(
    delete(decisions).where(decisions.c.network == bindparam("of")).where(decisions.c.number <= bindparam("last"))
)
_DROP_START = Prepared(delete(decision_starts).where(decision_starts.c.network == bindparam("of")))
_ADD_START = adding(decision_starts, "network", "number", "hash")
_SUBJECTS = Prepared(
    select(decisions.c.subject)
    .where(decisions.c.network == bindparam("network"))
    .where(decisions.c.kind == bindparam("kind"))
    .where(decisions.c.at_ms >= bindparam("since"))
)
_STEP = 1000


class Decision(NamedTuple):
    """Who decided what, about whom or what, when; ``facts`` in codes and numbers."""

    number: int
    at_ms: int
    by: MemberId
    kind: str
    subject: str
    facts: Mapping[str, Any]
    hash: str


def add(
    store: Store, network: NetworkId, by: MemberId, what: tuple[str, str], facts: Mapping[str, Any], now_ms: int
) -> int:
    """Log a decision in the transaction that carries it out; ``what``: its kind and its subject. Returns its number."""
    last = store.row(_LAST, {"network": network})
    number, before = (1, GENESIS) if last is None else (last.number + 1, last.hash)
    kind, subject = what
    body = msgspec.json.encode(facts, order="sorted").decode()
    row = {"network": network, "number": number, "at_ms": now_ms, "by": by, "kind": kind}
    content = (network, number, now_ms, by, kind, subject, body)
    store.run(_ADD, {**row, "subject": subject, "facts": body, "hash": linked(before, content)})
    return number


def page(store: Store, network: NetworkId, *, before: int, most: int) -> list[Decision]:
    """Decisions newest first, from before a number."""
    return [_decision(row) for row in store.rows(_PAGE, {"network": network, "before": before, "most": most})]


def subjects(store: Store, network: NetworkId, kind: str, since_ms: int) -> frozenset[str]:
    """What decisions of a kind since then were about."""
    found = store.rows(_SUBJECTS, {"network": network, "kind": kind, "since": since_ms})
    return frozenset(row.subject for row in found)


def first_broken(store: Store, network: NetworkId) -> int | None:
    """The number of the first decision that is missing, or is not what its hash says; None: the log is whole, as far
    as it is kept.
    """
    start = store.row(_START, {"network": network})
    first, before = (1, GENESIS) if start is None else (start.number + 1, start.hash)
    for number, row in enumerate(_forward(store, network), first):
        content = (network, row.number, row.at_ms, row.by, row.kind, row.subject, row.facts)
        before = linked(before, content)
        if row.number != number or row.hash != before:
            return number
    return None


def forget(store: Store, network: NetworkId, *, before_ms: int, most: int) -> int:
    """Forget the oldest decisions, from before a moment; at most ``most``, and never the newest. Returns how many.

    What follows them is checked by the hash of the last that went.
    """
    rows = store.rows(_OLDEST, {"network": network, "most": most + 1})
    old = rows[:-1]
    recent = next((at for at, row in enumerate(old) if row.at_ms >= before_ms), len(old))
    if recent == 0:
        return 0
    last = old[recent - 1]
    store.run(_FORGET, {"of": network, "last": last.number})
    store.run(_DROP_START, {"of": network})
    store.run(_ADD_START, {"network": network, "number": last.number, "hash": last.hash})
    return recent


def _forward(store: Store, network: NetworkId) -> Iterator[Any]:
    after = 0
    while rows := store.rows(_FORWARD, {"network": network, "after": after, "most": _STEP}):
        yield from rows
        after = rows[-1].number


def _decision(row: Any) -> Decision:
    facts = msgspec.json.decode(row.facts)
    return Decision(row.number, row.at_ms, row.by, row.kind, row.subject, facts, row.hash)
