"""Tables of the ways in of a person beside links: identities (at providers, e-mail addresses) and passkeys.

Touches: database (describes its tables).
"""

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from mesh.coordinator.store.schema.columns import ID, METADATA, NAME, WHOLE, time_ms

identities = Table(
    "identities",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("label", String(255), nullable=False),
    time_ms("created_ms"),
    time_ms("used_ms", nullable=True),
    UniqueConstraint("issuer", "subject", name="uq_identities_issuer_subject"),
    Index("ix_identities_member", "member"),
)
"""Who somebody is elsewhere: ``issuer`` and ``subject`` say it and nothing else does; ``label`` is for people to read.
E-mail addresses have the issuer ``mailto:``.
"""

passkeys = Table(
    "passkeys",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    Column("credential", String(1400), nullable=False, unique=True),
    Column("public_key", Text, nullable=False),
    Column("uses", WHOLE, nullable=False, server_default="0"),
    Column("label", NAME, nullable=False),
    time_ms("created_ms"),
    time_ms("used_ms", nullable=True),
    Index("ix_passkeys_member", "member"),
)
"""``credential`` and ``public_key`` are base64url; ``uses`` is the authenticator's own counter, 0 where it has none."""
