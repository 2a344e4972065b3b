"""The table of command lines that ask to be signed in by a code: logins.

Touches: database (describes its tables).
"""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, NAME, WORD, time_ms

logins = Table(
    "logins",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("handle", String(4), nullable=False),
    Column("label", NAME, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("address", String(45)),
    Column("secret_hash", KEY, nullable=False, unique=True),
    Column("commitment", KEY, nullable=False),
    Column("coordinator_nonce", KEY, nullable=False),
    Column("nonce", KEY),
    Column("wrong", Integer, nullable=False, server_default="0"),
    Column("outcome", WORD),
    Column("member", ID, ForeignKey("members.id")),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    CheckConstraint("outcome in ('confirmed', 'refused', 'closed')", name="outcome"),
    Index("ix_logins_handle", "handle"),
)
"""``outcome`` is null while a login waits; ``member`` is who said yes. Rows go a day after they ended."""
