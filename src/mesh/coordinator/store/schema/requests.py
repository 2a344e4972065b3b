"""Tables that make repeats harmless: idempotency (answers already given).

Touches: database (describes its tables).
"""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, time_ms

idempotency = Table(
    "idempotency",
    METADATA,
    Column("caller", ID, primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("body_hash", KEY, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    time_ms("created_ms"),
    Index("ix_idempotency_created_ms", "created_ms"),
)
"""The first answer per caller and ``Idempotency-Key``, kept 24 h; the same key with another body is an error."""
