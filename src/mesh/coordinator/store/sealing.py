"""The chain of a network's postings in SQL: what is not sealed yet, what is, and the head.

Touches: database (through the store it is given).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, func, select, update

from mesh.coordinator.store import ledger_hours
from mesh.coordinator.store.connection import Prepared, Store, adding_once, side_by_side
from mesh.coordinator.store.schema.ledger import accounts, entries, ledger_heads, postings
from mesh.credits.chain import GENESIS, linked
from mesh.ids import NetworkId

SEAL_MOST = 500
"""Postings sealed in one transaction: about 15 ms of the writer."""
CHUNK = 2000
"""Postings read at a time where all are: a megabyte."""

_CONTENT = (
    postings.c.id, postings.c.kind, postings.c.business, postings.c.payer, postings.c.earner, postings.c.requester,
    postings.c.worker, postings.c.job, postings.c.attempt, postings.c.permit, postings.c.tariff_version,
    postings.c.units, postings.c.price_micro, postings.c.price_per, postings.c.approver, postings.c.receipt,
    postings.c.reason, postings.c.posted_ms,
)  # fmt: skip
"""What of a posting is sealed, in the order in which it is hashed; after it come its entries."""
_UNSEALED = and_(postings.c.network == bindparam("network"), postings.c.sealed_number.is_(None))
_WAITING = Prepared(select(postings.c.network).where(postings.c.sealed_number.is_(None)).distinct())
_NEXT = Prepared(select(*_CONTENT).where(_UNSEALED).order_by(postings.c.id).limit(bindparam("most")))
_COUNT_UNSEALED = Prepared(select(func.count()).select_from(postings).where(_UNSEALED))
_RANGE = and_(
    postings.c.network == bindparam("network"),
    postings.c.sealed_number >= bindparam("first"),
    postings.c.sealed_number <= bindparam("last"),
)
_SEALED = Prepared(
    select(postings.c.sealed_number, postings.c.sealed_hash, *_CONTENT).where(_RANGE).order_by(postings.c.sealed_number)
)


def _entries(of: Select[Any]) -> Select[Any]:
    return of.join(entries, entries.c.posting == postings.c.id).join(accounts, accounts.c.id == entries.c.account)


_ENTRY = (postings.c.id, accounts.c.kind, accounts.c.member, entries.c.amount)
_SEALED_ENTRIES = Prepared(_entries(select(*_ENTRY)).where(_RANGE))
_ENTRIES_OF = Prepared(_entries(select(*_ENTRY)).where(_UNSEALED).where(postings.c.id <= bindparam("until")))
_SEAL = Prepared(
    update(postings)
    .where(postings.c.id == bindparam("posting"))
    .where(postings.c.sealed_number.is_(None))
    .values(sealed_number=bindparam("number"), sealed_hash=bindparam("hash"))
)
_HASH_AT = Prepared(
    select(postings.c.sealed_hash)
    .where(postings.c.network == bindparam("network"))
    .where(postings.c.sealed_number == bindparam("number"))
)
_BEYOND = Prepared(
    select(func.count())
    .select_from(postings)
    .where(postings.c.network == bindparam("network"))
    .where(postings.c.sealed_number > bindparam("number"))
)
_HEAD = select(ledger_heads).where(ledger_heads.c.network == bindparam("in_network"))
_READ_HEAD, _LOCK_HEAD = Prepared(_HEAD), Prepared(_HEAD.with_for_update())
_OPEN_HEAD = adding_once(ledger_heads, "network", "number", "hash", "signed", "sealed_ms")
_MOVE_HEAD = Prepared(
    update(ledger_heads)
    .where(ledger_heads.c.network == bindparam("in_network"))
    .values(
        number=bindparam("number"), hash=bindparam("hash"), signed=bindparam("signed"), sealed_ms=bindparam("sealed_ms")
    )
)
_HEADS = Prepared(select(ledger_heads.c.network, ledger_heads.c.signed).where(ledger_heads.c.number > 0))


class Head(NamedTuple):
    """How far a network is sealed: the last number, its hash, both signed, and when."""

    number: int
    hash: str
    signed: str
    sealed_ms: int


def waiting(store: Store) -> list[NetworkId]:
    """Networks with postings that are not sealed."""
    return [NetworkId(row.network) for row in store.rows(_WAITING)]


def heads(store: Store) -> dict[NetworkId, str]:
    """The signed head of every network that has one."""
    return {NetworkId(row.network): row.signed for row in store.rows(_HEADS)}


def head(store: Store, network: NetworkId) -> Head | None:
    """A network's head; None before the first."""
    row = store.row(_READ_HEAD, {"in_network": network})
    return None if row is None or not row.number else Head(row.number, row.hash, row.signed, row.sealed_ms)


def unsealed(store: Store, network: NetworkId) -> int:
    """How many postings wait for the sealer."""
    return int(store.value(_COUNT_UNSEALED, {"network": network}))


def hash_at(store: Store, network: NetworkId, number: int) -> str | None:
    """The hash of a posting by its number."""
    found: str | None = store.value(_HASH_AT, {"network": network, "number": number})
    return found


@side_by_side
def seal(store: Store, network: NetworkId, sign: Callable[[int, str], str], now_ms: int) -> Head | None:
    """Number and chain the next postings, count them into the sums, sign the new head; None if there were none.

    The head's row is locked first: two sealers follow one another.
    """
    store.run(_OPEN_HEAD, {"network": network, "number": 0, "hash": GENESIS, "signed": "", "sealed_ms": now_ms})
    store.lock(_LOCK_HEAD, {"in_network": network})
    last = store.row(_READ_HEAD, {"in_network": network})
    assert last is not None
    rows = store.rows(_NEXT, {"network": network, "most": SEAL_MOST})
    if not rows:
        return None
    lines = _by_posting(store.rows(_ENTRIES_OF, {"network": network, "until": rows[-1].id}))
    number, before, sealed = int(last.number), str(last.hash), []
    for row in rows:
        number += 1
        before = linked(before, _content(network, number, row, lines))
        sealed.append({"posting": row.id, "number": number, "hash": before})
    store.run(_SEAL, sealed)
    ledger_hours.add(store, network, int(last.number) + 1, number)
    after = Head(number, before, sign(number, before), now_ms)
    store.run(_MOVE_HEAD, {"in_network": network, **after._asdict()})
    return after


class Broken(NamedTuple):
    """The first number at which the chain does not hold, the posting there (empty: it is missing), and why."""

    number: int
    posting: str
    why: str


def first_broken(store: Store, network: NetworkId) -> Broken | None:
    """Derive the whole chain again; the first place where what is there is not what was sealed, or None."""
    known = head(store, network)
    last = 0 if known is None else known.number
    before = GENESIS
    for first in range(1, last + 1, CHUNK):
        until = min(first + CHUNK - 1, last)
        span = {"network": network, "first": first, "last": until}
        lines = _by_posting(store.rows(_SEALED_ENTRIES, span))
        rows = store.rows(_SEALED, span)
        for number, row in enumerate(rows, first):
            if row[0] != number:
                return Broken(number, "", "a sealed posting is missing")
            before = linked(before, _content(network, number, row[2:], lines))
            if row[1] != before:
                return Broken(number, row[2], "a sealed posting was changed, or one before it put in")
        if len(rows) < until - first + 1:
            return Broken(first + len(rows), "", "a sealed posting is missing")
    if known is not None and known.hash != before:
        return Broken(last, "", "the head is another than the last posting's")
    if store.value(_BEYOND, {"network": network, "number": last}):
        return Broken(last + 1, "", "postings are numbered beyond the head")
    return None


def _by_posting(rows: Iterable[Sequence[Any]]) -> dict[str, list[tuple[str, str, int]]]:
    lines: dict[str, list[tuple[str, str, int]]] = {}
    for posting, kind, member, amount in rows:
        lines.setdefault(posting, []).append((kind, member, amount))
    return lines


def _content(
    network: NetworkId, number: int, row: Sequence[Any], lines: dict[str, list[tuple[str, str, int]]]
) -> list[object]:
    return [network, number, *row, sorted(lines.get(row[0], ()))]
