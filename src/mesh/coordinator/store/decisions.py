"""What admins decided, in SQL: a log that only grows, each line's hash over the one before it.

Touches: database (through the store it is given).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, select

from mesh.coordinator.store.connection import Prepared, Store, adding
from mesh.coordinator.store.schema.ledger import decisions
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
) -> None:
    """Log a decision in the transaction that carries it out; ``what``: its kind and its subject."""
    last = store.row(_LAST, {"network": network})
    number, before = (1, GENESIS) if last is None else (last.number + 1, last.hash)
    kind, subject = what
    body = msgspec.json.encode(facts, order="sorted").decode()
    row = {"network": network, "number": number, "at_ms": now_ms, "by": by, "kind": kind}
    content = (network, number, now_ms, by, kind, subject, body)
    store.run(_ADD, {**row, "subject": subject, "facts": body, "hash": linked(before, content)})


def page(store: Store, network: NetworkId, *, before: int, most: int) -> list[Decision]:
    """Decisions newest first, from before a number."""
    return [_decision(row) for row in store.rows(_PAGE, {"network": network, "before": before, "most": most})]


def subjects(store: Store, network: NetworkId, kind: str, since_ms: int) -> frozenset[str]:
    """What decisions of a kind since then were about."""
    found = store.rows(_SUBJECTS, {"network": network, "kind": kind, "since": since_ms})
    return frozenset(row.subject for row in found)


def first_broken(store: Store, network: NetworkId) -> int | None:
    """The number of the first decision that is missing, or is not what its hash says; None: the log is whole."""
    before = GENESIS
    for number, row in enumerate(_forward(store, network), 1):
        content = (network, row.number, row.at_ms, row.by, row.kind, row.subject, row.facts)
        before = linked(before, content)
        if row.number != number or row.hash != before:
            return number
    return None


def _forward(store: Store, network: NetworkId) -> Iterator[Any]:
    after = 0
    while rows := store.rows(_FORWARD, {"network": network, "after": after, "most": _STEP}):
        yield from rows
        after = rows[-1].number


def _decision(row: Any) -> Decision:
    facts = msgspec.json.decode(row.facts)
    return Decision(row.number, row.at_ms, row.by, row.kind, row.subject, facts, row.hash)
