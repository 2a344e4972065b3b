"""Tables of the installation and its people: installation, members, sessions.

Touches: database (describes its tables).
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, NAME, WHOLE, WORD, time_ms

installation = Table(
    "installation",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("coordinator_key", KEY, nullable=False),
    Column("starts", WHOLE, nullable=False, server_default="0"),
    Column("operator", ID, ForeignKey("members.id")),
    time_ms("created_ms"),
    time_ms("claimed_ms", nullable=True),
    CheckConstraint("one = 1", name="single_row"),
)
"""One row. ``starts`` counts starts of the coordinator; ``operator`` is the person who claimed the installation."""

members = Table(
    "members",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("name", String(128), nullable=False),
    time_ms("created_ms"),
    time_ms("removed_ms", nullable=True),
)
"""People of this installation. A person may be in many networks (``memberships``)."""

sessions = Table(
    "sessions",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("token_hash", KEY, nullable=False, unique=True),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    Column("device", ID, ForeignKey("devices.id")),
    Column("scope", WORD, nullable=False, server_default="full"),
    Column("label", NAME),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    time_ms("revoked_ms", nullable=True),
    time_ms("admin_until_ms", nullable=True),
    Index("ix_sessions_member", "member"),
)
"""Bearer tokens, only as SHA-256. ``scope`` is ``full``, or ``device`` for the read-only session of a device's key.
``admin_until_ms`` is null but for sessions that came by a code: until then they may what only admins may.
"""
