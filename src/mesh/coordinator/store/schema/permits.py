"""Tables of permission and money set aside: permits, shares, candidates.

Touches: database (describes its tables).
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from mesh.coordinator.store.schema.columns import ID, KEY, METADATA, NAME, WHOLE, WORD, money, time_ms

permits = Table(
    "permits",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("requester", ID, ForeignKey("devices.id"), nullable=False),
    Column("request", ID, nullable=False),
    Column("kind", WORD, nullable=False, server_default="job"),
    Column("job", ID),
    Column("payer", ID, ForeignKey("members.id"), nullable=False),
    Column("requester_key", KEY, nullable=False),
    Column("role", WORD, nullable=False),
    Column("workload", NAME, nullable=False),
    Column("model", String(128), nullable=False),
    Column("sensitivity", WORD, nullable=False),
    Column("tariff_version", Integer, nullable=False),
    Column("price_micro", WHOLE, nullable=False),
    Column("price_per", Integer, nullable=False),
    Column("fee_ppm", Integer, nullable=False),
    money("hold"),
    Column("epoch", WHOLE, nullable=False),
    Column("state", WORD, nullable=False, server_default="open"),
    Column("explanation", Text),
    time_ms("issued_ms"),
    time_ms("start_by_ms"),
    time_ms("finish_by_ms"),
    time_ms("closed_ms", nullable=True),
    CheckConstraint("kind in ('job', 'series')", name="kind"),
    CheckConstraint("state in ('open', 'closed', 'pruned')", name="state"),
    UniqueConstraint("network", "requester", "request"),
    Index("ix_permits_job", "job", "requester", "network"),
    Index("ix_permits_finish_by_ms", "finish_by_ms"),
    Index("ix_permits_payer_network_issued_ms", "payer", "network", "issued_ms"),
)
"""What was permitted; enough to sign the same paper again. Price (``price_micro`` for each ``price_per`` units), tariff
version and fee are pinned here for the life of the permit. ``explanation``: why a series goes where it goes, as JSON
text; that of a one-job permit is its job's.

No index starts with the network but that of requests, for the reason given at ``jobs.LISTED``."""

shares = Table(
    "shares",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("permit", ID, ForeignKey("permits.id"), nullable=False),
    Column("network", ID, nullable=False),
    Column("payer", ID, nullable=False),
    Column("worker", ID, ForeignKey("devices.id")),
    money("amount"),
    money("left"),
    money("paid"),
    Column("state", WORD, nullable=False, server_default="open"),
    Column("requester_no_more", Integer),
    Column("end_reason", WORD),
    time_ms("due_ms"),
    time_ms("ended_ms", nullable=True),
    CheckConstraint("state in ('open', 'ended')", name="state"),
    CheckConstraint('"left" >= 0', name="left"),
    Index("ix_shares_permit", "permit"),
    Index(
        "ix_shares_open",
        "due_ms",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)
"""What ends once. ``left`` is still set aside (0 once ended), ``paid`` what went out on its account, net of reversals.

``worker`` is null where every candidate may use it (a permit for one job); a series has one share per candidate.
``due_ms``: end of the report window.
"""

candidates = Table(
    "candidates",
    METADATA,
    Column("permit", ID, ForeignKey("permits.id"), primary_key=True),
    Column("worker", ID, ForeignKey("devices.id"), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("key", KEY, nullable=False),
    Column("owner", ID, ForeignKey("members.id"), nullable=False),
    money("cap"),
    Column("no_more", Integer),
)
"""Devices that a permit names. ``no_more``: how many claims the worker said it sent, once it said it is through."""
