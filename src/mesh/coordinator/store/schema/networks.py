"""Tables of networks and how one gets in: networks, policies, memberships, join_tokens.

Touches: database (describes its tables).
"""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, text

from mesh.coordinator.store.schema.columns import DOCUMENT, ID, KEY, METADATA, NAME, WHOLE, WORD, money, time_ms

networks = Table(
    "networks",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("name", NAME, nullable=False),
    Column("network_key", KEY, nullable=False),
    Column("epoch", WHOLE, nullable=False, server_default="1"),
    Column("credit_line", WORD, nullable=False, server_default="friends"),
    Column("fee_ppm", Integer, nullable=False, server_default="50000"),
    Column("tariff_version", Integer, nullable=False, server_default="1"),
    Column("settings", DOCUMENT, nullable=False, server_default=text("'{}'")),
    Column("created_by", ID, ForeignKey("members.id"), nullable=False),
    time_ms("created_ms"),
    time_ms("deleted_ms", nullable=True),
    CheckConstraint("credit_line in ('friends', 'strict')", name="credit_line"),
    Index(
        "uq_networks_name_live",
        "name",
        unique=True,
        sqlite_where=text("deleted_ms is null"),
        postgresql_where=text("deleted_ms is null"),
    ),
)
"""``epoch`` grows with every change that the signed State carries; ``fee_ppm`` is the fee in parts per million."""

policies = Table(
    "policies",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("note", String(255), nullable=False),
    Column("by", ID, ForeignKey("members.id"), nullable=False),
    time_ms("at_ms"),
)
"""Every version of a network's policy as its admins wrote it; the rules made of the newest are in ``settings``."""

memberships = Table(
    "memberships",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("member", ID, ForeignKey("members.id"), primary_key=True),
    Column("role", WORD, nullable=False),
    Column("state", WORD, nullable=False, server_default="active"),
    Column("invited_by", ID, ForeignKey("members.id")),
    Column("approved_by", ID, ForeignKey("members.id")),
    money("credit_floor", nullable=True),
    money("day_limit", nullable=True),
    Column("trusted", Boolean, nullable=False, server_default=text("false")),
    time_ms("joined_ms"),
    time_ms("approved_ms", nullable=True),
    time_ms("removed_ms", nullable=True),
    Column("invite_name", String(128)),
    Column("address", String(255)),
    Column("ended", WORD),
    Column("why", String(255)),
    CheckConstraint("role in ('admin', 'member', 'guest')", name="role"),
    CheckConstraint("state in ('pending', 'active', 'removed')", name="state"),
    Index("ix_memberships_member", "member"),
)
"""A person in a network. ``credit_floor`` is their own line where an admin set one; else the network's applies.

``day_limit``: what their jobs may cost in 24 hours, where an admin set it. While somebody is ``pending``,
``invite_name`` is for whom their invite was, and ``address`` the one that they proved by coming; ``ended`` says how a
request ended that led to nothing, and ``why`` what an admin gave as the reason."""

join_tokens = Table(
    "join_tokens",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("purpose", WORD, nullable=False),
    Column("secret_hash", KEY, nullable=False, unique=True),
    Column("network", ID, ForeignKey("networks.id")),
    Column("role", WORD),
    Column("name", String(128)),
    Column("approve", Boolean, nullable=False, server_default=text("false")),
    Column("tags", DOCUMENT, nullable=False, server_default=text("'[]'")),
    Column("leaves_after_s", Integer),
    Column("address", String(255)),
    Column("letter", String(8)),
    Column("uses_max", Integer, nullable=False, server_default="1"),
    Column("uses_left", Integer, nullable=False, server_default="1"),
    Column("created_by", ID, ForeignKey("members.id")),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    time_ms("used_ms", nullable=True),
    time_ms("revoked_ms", nullable=True),
    CheckConstraint("purpose in ('claim', 'member', 'device', 'relay')", name="purpose"),
    CheckConstraint("uses_left >= 0", name="uses_left"),
    Index("ix_join_tokens_network", "network"),
)
"""One kind of token for all ways in; the secret only as SHA-256. ``approve``: who comes by it waits for an admin.
``address``: the e-mail address of the one person who may use it; ``letter``: what became of the letter to it."""

invite_letters = Table(
    "invite_letters",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("secret_hash", KEY, nullable=False, unique=True),
    Column("token", ID, ForeignKey("join_tokens.id"), nullable=False),
    Column("browser_hash", KEY, nullable=False),
    time_ms("created_ms"),
    time_ms("expires_ms"),
    Index("ix_invite_letters_token", "token"),
)
"""Letters to the address of an invite, for minutes: who opens one in the browser that asked for it, where its cookie
has ``browser_hash``, has shown that the address is theirs."""
