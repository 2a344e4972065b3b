"""Which rows of which tables are about a person: found from the schema itself, so that no table can be forgotten.

A column tells by what it points at: the person, or a device, link or account of theirs. What becomes of such rows when
the person's account is deleted is said for each table in ``FATES``; a table without an entry fails the tests.

Touches: database (through the store it is given).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, String, Table, and_, delete, func, literal, or_, select, tuple_, update

from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.schema import METADATA
from mesh.coordinator.store.schema.columns import ID, KEY
from mesh.coordinator.store.schema.devices import devices
from mesh.coordinator.store.schema.ledger import accounts
from mesh.coordinator.store.schema.networks import join_tokens
from mesh.ids import MemberId

PART = 500
"""Rows read at a time: half a megabyte at most."""
NOBODY = "Somebody who left"
"""What a person is called whose account is gone."""

WITHOUT_KEY: Mapping[str, tuple[str, ...]] = {
    "accounts.member": ("members",),
    "decisions.by": ("members",),
    "decisions.subject": ("members", "devices"),
    "evidence.worker": ("devices",),
    "idempotency.caller": ("members", "devices"),
    "jobs.job": (),
    "ledger_hours.requester": ("devices",),
    "ledger_hours.worker": ("devices",),
    "marks.job": (),
    "permits.job": (),
    "permits.request": (),
    "postings.approver": ("members",),
    "postings.earner": ("members",),
    "postings.job": (),
    "postings.network": (),
    "postings.payer": ("members",),
    "postings.permit": (),
    "postings.requester": ("devices",),
    "postings.worker": ("devices",),
    "shares.network": (),
    "shares.payer": ("members",),
    "successions.subject": ("devices",),
}
"""Columns with an id in them that no foreign key explains: which of the tables below it may be of."""
BESIDE = frozenset(
    {
        "devices.approved_by",
        "devices.token",
        "installation.operator",
        "jobs.device",
        "marks.other",
        "memberships.approved_by",
        "memberships.invited_by",
        "networks.created_by",
        "relays.token",
    }
)
"""Columns by which a row names a person without being theirs: of it they are told ids and times."""
SHOWN_KEYS = frozenset(
    {
        *("candidates.key", "certificates.key", "decisions.hash", "device_keys.key", "pairings.key"),
        *("permits.requester_key", "postings.receipt", "postings.sealed_hash", "successions.new", "successions.old"),
    }
)
"""Keys and hashes that are no secret; all others stay out of exports, as they could help somebody to get in."""
HIDDEN = frozenset({"idempotency.answer"})
"""Sealed answers may hold a link's secret."""


class Fate(NamedTuple):
    """What becomes of a person's own rows: they go; or columns are overwritten; or they stay. ``why`` they stay."""

    erased: bool = False
    values: Mapping[str, Any] = {}
    why: str = ""


_GOES = Fate(erased=True)
_RECORD = Fate(
    why="others' pay may rest on what is not settled yet; it names an id alone, and goes with the network's records"
)
_BOOKS = Fate(why="the ledger has to add up for everybody else; it names an id alone")
FATES: Mapping[str, Fate] = {
    "accounts": _BOOKS,
    "api_keys": _GOES,
    "attempts": _RECORD,
    "candidates": _RECORD,
    "certificates": Fate(why="what was signed is counted, and refused until it ends; it names ids and a key alone"),
    "checks": _RECORD,
    "decision_starts": Fate(why="of a network, not of a person"),
    "decisions": Fate(why="the log of decisions is a chain that members check; it names an id alone"),
    "deletions": Fate(why="this report"),
    "device_keys": Fate(why="a removed device is known by its key if it comes back; the key says nothing else"),
    "devices": Fate(
        values={"name": "removed", "capability": None, "tags": [], "start": "", "installation": 0},
        why="job records and the ledger name it by its id",
    ),
    "entries": _BOOKS,
    "evidence": _RECORD,
    "explanations": _RECORD,
    "idempotency": _GOES,
    "identities": _GOES,
    "installation": Fate(why="of the installation, not of a person"),
    "jobs": _RECORD,
    "invite_letters": _GOES,
    "join_tokens": Fate(values={"name": None, "address": None}, why="who came by the link is known by it"),
    "ledger_heads": Fate(why="of a network, not of a person"),
    "ledger_hours": _BOOKS,
    "logins": _GOES,
    "marks": _GOES,
    "members": Fate(values={"name": NOBODY}, why="the id that the ledger names; it says nothing else any more"),
    "memberships": Fate(
        values={"invite_name": None, "address": None, "ended": None, "why": None},
        why="whose account in the ledger it is; it names an id alone",
    ),
    "networks": Fate(why="of a network, not of a person"),
    "pairings": _GOES,
    "passkeys": _GOES,
    "permits": _RECORD,
    "policies": Fate(why="the network's rules, which hold on; they name an id alone"),
    "postings": _BOOKS,
    "relays": Fate(why="of the installation, not of a person"),
    "sessions": _GOES,
    "shares": _RECORD,
    "sign_in_links": _GOES,
    "successions": _GOES,
    "tariffs": Fate(why="the network's prices and why, which hold on; they name an id alone"),
}
"""Every table; ``tests/shape`` compares it with the schema."""


def name_of(column: Column[Any]) -> str:
    """A column as ``table.column``."""
    return f"{column.table.name}.{column.name}"


def is_id(column: Column[Any]) -> bool:
    """Whether a column holds an id."""
    return isinstance(column.type, String) and column.type.length == ID.length


def points_at(column: Column[Any]) -> tuple[str, ...] | None:
    """Which tables' ids a column holds; None: nothing says so."""
    if name_of(column) in WITHOUT_KEY:
        return WITHOUT_KEY[name_of(column)]
    for key in column.foreign_keys:
        target = key.column
        return (target.table.name,) if target.name == "id" else points_at(target)
    if column.name == "id" and column.primary_key:
        return (column.table.name,) if column.table.name in ("members", "devices") else ()
    return None


def _theirs(column: Column[Any], member: MemberId) -> Iterator[Any]:
    """Conditions under which a column's row is about a person."""
    for table in points_at(column) or ():
        if table == "members":
            yield column == member
        elif table == "devices":
            yield column.in_(select(devices.c.id).where(devices.c.owner == member))
        elif table == "join_tokens":
            yield column.in_(select(join_tokens.c.id).where(join_tokens.c.created_by == member))
        elif table == "accounts":
            yield column.in_(select(accounts.c.id).where(accounts.c.member == member))


def _about(table: Table, member: MemberId, *, own: bool) -> Any | None:
    """Rows about a person; ``own``: without those that only name them. None: the table has nothing about people."""
    columns = [one for one in table.columns if not (own and name_of(one) in BESIDE)]
    found = [condition for column in columns for condition in _theirs(column, member)]
    return or_(*found) if found else None


def about_people() -> list[Table]:
    """The tables with rows about people, parents first."""
    anybody = MemberId("")
    return [table for table in METADATA.sorted_tables if _about(table, anybody, own=False) is not None]


def shown(column: Column[Any]) -> bool:
    """Whether an export has a column."""
    name = name_of(column)
    return name not in HIDDEN and (column.type is not KEY or name in SHOWN_KEYS)


def rows(
    store: Store, table: Table, member: MemberId, after: tuple[Any, ...] | None
) -> tuple[list[dict[str, Any]], Any]:
    """The next rows about a person in the order of their keys, and where they end (None: there are no more)."""
    keys = list(table.primary_key.columns)
    own = _about(table, member, own=True)
    columns = [one for one in table.columns if shown(one) or one.primary_key]
    query = select(*columns, (literal(False) if own is None else own).label("_own"))
    about = _about(table, member, own=False)
    assert about is not None, "asked of tables with rows about people"
    query = query.where(about).order_by(*keys).limit(PART)
    if after is not None:
        query = query.where(
            tuple_(*keys) > tuple_(*(literal(value, key.type) for key, value in zip(keys, after, strict=True)))
        )
    found = store.rows(query)
    last = tuple(found[-1]._mapping[key] for key in keys) if len(found) == PART else None
    return [_told(row, columns) for row in found], last


def _told(row: Any, columns: Sequence[Column[Any]]) -> dict[str, Any]:
    values = row._mapping
    told = [one for one in columns if shown(one) and (values["_own"] or is_id(one) or one.name.endswith("_ms"))]
    return {str(one.name): values[one] for one in told if values[one] is not None}


def counts(store: Store, member: MemberId) -> dict[str, int]:
    """How many rows each table has that are a person's own."""
    found = {}
    for table in about_people():
        own = _about(table, member, own=True)
        if own is not None:
            found[str(table.name)] = int(store.value(select(func.count()).select_from(table).where(own)))
    return found


def scrub(store: Store, member: MemberId) -> None:
    """Carry out the fates: erase a person's own rows, or overwrite what in them says who it was.

    The ids of the person, their devices, links and accounts stay, so that the order of tables does not matter.
    """
    for table in reversed(about_people()):
        own, fate = _about(table, member, own=True), FATES[table.name]
        if own is None:
            continue
        if fate.erased:
            store.run(delete(table).where(own))
        elif fate.values:
            store.run(update(table).where(and_(own)).values(**fate.values))
