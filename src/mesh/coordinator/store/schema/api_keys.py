"""Table of API keys.

Touches: database (describes its tables).
"""

from sqlalchemy import Column, ForeignKey, Index, Table

from mesh.coordinator.store.schema.columns import DOCUMENT, ID, KEY, METADATA, NAME, time_ms

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("token_hash", KEY, nullable=False, unique=True),
    Column("scopes", DOCUMENT, nullable=False),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    time_ms("used_ms", nullable=True),
    time_ms("revoked_ms", nullable=True),
    Index("ix_api_keys_network_member", "network", "member"),
)
"""What programs sign in with, only as SHA-256; each for one network and a list of permissions (``scopes``)."""
