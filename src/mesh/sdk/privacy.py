"""What the coordinator answers about one's own data, and the calls that ask for it.

Touches: nothing.
"""

import msgspec

from mesh.ids import MemberId, NetworkId
from mesh.protocol.values import Role
from mesh.sdk.answers import Answer, Done
from mesh.sdk.calls import Call


class ExportedTable(Answer, frozen=True):
    """A line of an export's report."""

    table: str
    rows: int


class ExportReport(Answer, frozen=True):
    """What of an export is read by a program: its report."""

    report: tuple[ExportedTable, ...]


class NetworkLeft(Answer, frozen=True):
    """What deleting an account means in one network. Amounts in micro-credits.

    ``parting``: ``leave``; ``end``, as nobody else is in it; ``blocked``, as it would have no admin.
    """

    network: NetworkId
    name: str
    role: Role
    parting: str
    balance: int
    pending: int
    held: int
    devices: tuple[str, ...]


class TableFate(Answer, frozen=True):
    """What becomes of a table's rows about a person; ``why`` some stay."""

    table: str
    rows: int
    erased: int
    pseudonymised: int
    kept: int
    why: str = ""


class DeletionPlan(Answer, frozen=True):
    """What deleting the account means, and whether that was asked for (``due_ms``: when it happens)."""

    asked_ms: int | None
    due_ms: int | None
    operator: bool
    networks: tuple[NetworkLeft, ...]
    tables: tuple[TableFate, ...]


class DeletionAsked(Answer, frozen=True):
    """A deletion waits. ``receipt``: by it its report can be read in the end, when nobody can sign in any more."""

    asked_ms: int
    due_ms: int
    receipt: str


class DeletionSeen(Answer, frozen=True):
    """How far a deletion is; ``tables`` once it is done."""

    asked_ms: int
    due_ms: int
    closed_ms: int | None
    done_ms: int | None
    tables: tuple[TableFate, ...] = ()


def export() -> Call[bytes]:
    """All that is kept about me, as one JSON document."""
    return Call("GET", "/v1/me/export", bytes)


def report_of(document: bytes) -> ExportReport:
    """The report at the end of an export."""
    return msgspec.json.decode(document, type=ExportReport)


def deletion() -> Call[DeletionPlan]:
    """What deleting my account would mean, and whether it waits."""
    return Call("GET", "/v1/me/deletion", DeletionPlan)


def delete(name: str) -> Call[DeletionAsked]:
    """Delete my account in 30 days; ``name`` is my own, as a confirmation."""
    return Call("POST", "/v1/me/deletion", DeletionAsked, {"name": name})


def keep() -> Call[Done]:
    """Take the deletion back."""
    return Call("DELETE", "/v1/me/deletion", Done)


def hand_over(member: MemberId) -> Call[Done]:
    """Let somebody else operate the installation (for its operator)."""
    return Call("PUT", "/v1/operator", Done, {"member": member})


def look(receipt: str) -> Call[DeletionSeen]:
    """How far a deletion is, by its receipt."""
    return Call("POST", "/v1/deletions/look", DeletionSeen, {"receipt": receipt})
