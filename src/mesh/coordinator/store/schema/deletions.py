"""The table of accounts that their people want deleted: deletions.

Touches: database (describes its tables).
"""

from sqlalchemy import Column, ForeignKey, Table, Text

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, time_ms

deletions = Table(
    "deletions",
    METADATA,
    Column("member", ID, ForeignKey("members.id"), primary_key=True),
    Column("receipt_hash", KEY, nullable=False, unique=True),
    time_ms("asked_ms"),
    time_ms("due_ms"),
    time_ms("closed_ms", nullable=True),
    time_ms("done_ms", nullable=True),
    Column("report", Text),
)
"""A person who takes it back has no row any more. ``closed_ms``: since when the account is closed for good; ``report``:
from then on how many rows each table had about them, as JSON, and once all is done what became of those.
"""
