"""The table of keys that followed one another.

Touches: database (describes its tables).
"""

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, WORD, time_ms

successions = Table(
    "successions",
    METADATA,
    Column("purpose", WORD, primary_key=True),
    Column("subject", ID, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("old", KEY, nullable=False),
    Column("new", KEY, nullable=False),
    Column("statement", Text, nullable=False),
    time_ms("at_ms"),
    CheckConstraint("purpose in ('device', 'network', 'coordinator')", name="purpose"),
    CheckConstraint("number > 0", name="number"),
)
"""Every change of a device's, a network's or the coordinator's key (subject ''), with the statement of both keys."""
