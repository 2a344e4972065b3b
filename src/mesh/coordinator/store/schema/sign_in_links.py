"""Table of links by which a person who is known signs in on a further machine.

Touches: database (describes its tables).
"""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, time_ms

sign_in_links = Table(
    "sign_in_links",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("secret_hash", KEY, nullable=False, unique=True),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    time_ms("used_ms", nullable=True),
    Column("browser_hash", KEY),
    Column("address", String(255)),
    Index("ix_sign_in_links_member", "member"),
)
"""Each works once, for minutes; its secret only as SHA-256. Rows go a day after their end. A link that was sent
to an e-mail ``address`` works only in the browser that asked for it: ``browser_hash`` is of a cookie there.
"""
