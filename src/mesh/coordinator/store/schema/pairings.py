"""The table of machines that ask to join by a code: pairings.

Touches: database (describes its tables).
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, NAME, WORD, time_ms

pairings = Table(
    "pairings",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("handle", String(4), nullable=False),
    Column("key", KEY, nullable=False),
    Column("name", NAME, nullable=False),
    Column("machine", String(80), nullable=False),
    Column("address", String(45)),
    Column("secret_hash", KEY, nullable=False, unique=True),
    Column("commitment", KEY, nullable=False),
    Column("coordinator_nonce", KEY, nullable=False),
    Column("nonce", KEY),
    Column("wrong", Integer, nullable=False, server_default="0"),
    Column("outcome", WORD),
    Column("token", ID, ForeignKey("join_tokens.id")),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    CheckConstraint("outcome in ('confirmed', 'refused', 'closed', 'withdrawn')", name="outcome"),
    Index("ix_pairings_handle", "handle"),
    Index("ix_pairings_token", "token"),
)
"""A machine that waits for a member to type its code. ``outcome`` is null while it waits; ``token`` is the join token
that a yes made. Rows go a day after they ended.
"""
