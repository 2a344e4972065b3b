"""Tables of machines: devices, device_keys, certificates, relays.

Touches: database (describes its tables).
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, text

from mesh.coordinator.store.schema.columns import DOCUMENT, ID, KEY, METADATA, NAME, WHOLE, WORD, money, time_ms

devices = Table(
    "devices",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("owner", ID, ForeignKey("members.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("state", WORD, nullable=False, server_default="active"),
    Column("capability", DOCUMENT),
    Column("token", ID, ForeignKey("join_tokens.id")),
    Column("tags", DOCUMENT, nullable=False, server_default=text("'[]'")),
    Column("leaves_after_s", Integer),
    Column("installation", WHOLE, nullable=False, server_default=text("0")),
    Column("start", String(32), nullable=False, server_default=text("('')")),
    Column("held", WORD),
    money("day_limit", nullable=True),
    Column("streak", Integer, nullable=False, server_default=text("0")),
    time_ms("quarantined_ms", nullable=True),
    Column("approved_by", ID, ForeignKey("members.id")),
    time_ms("joined_ms"),
    time_ms("approved_ms", nullable=True),
    time_ms("seen_ms", nullable=True),
    time_ms("removed_ms", nullable=True),
    CheckConstraint("state in ('pending', 'active', 'revoked')", name="state"),
    Index(
        "uq_devices_network_name_live",
        "network",
        "name",
        unique=True,
        sqlite_where=text("removed_ms is null"),
        postgresql_where=text("removed_ms is null"),
    ),
    Index("ix_devices_owner", "owner"),
)
"""A machine in a network. Its key is an attribute (``device_keys``), so that a reinstalled laptop keeps its history.

``installation`` and ``start``: the newest start of its home (a count, and a random word). ``held``: why an admitted
device was put back to pending. ``leaves_after_s``: it is removed by itself after so long offline.
``day_limit``: what its jobs may cost in 24 hours. ``streak``: jobs that it was paid for since a check found it wrong,
counted up to where the number does not matter any more. ``quarantined_ms``: since when it works for its owner alone.
"""

device_keys = Table(
    "device_keys",
    METADATA,
    Column("device", ID, ForeignKey("devices.id"), primary_key=True),
    Column("key", KEY, primary_key=True),
    time_ms("valid_from_ms"),
    time_ms("valid_to_ms", nullable=True),
    Index("ix_device_keys_key", "key"),
)
"""Which public key speaks for a device, and since when; ``valid_to_ms`` is null for the current one."""

certificates = Table(
    "certificates",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("device", ID, ForeignKey("devices.id"), nullable=False),
    Column("key", KEY, nullable=False),
    Column("epoch", WHOLE, nullable=False),
    Column("signed", Text, nullable=False),
    time_ms("issued_ms"),
    time_ms("expires_ms"),
    time_ms("revoked_ms", nullable=True),
    Index("ix_certificates_device", "device"),
    Index("ix_certificates_network", "network"),
)
"""Membership certificates as issued (compact JWS in ``signed``), also expired and revoked ones."""

relays = Table(
    "relays",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("key", KEY, nullable=False, unique=True),
    Column("name", NAME, nullable=False),
    Column("url", String(255), nullable=False),
    Column("token", ID, ForeignKey("join_tokens.id")),
    time_ms("joined_ms"),
    time_ms("seen_ms", nullable=True),
    time_ms("removed_ms", nullable=True),
)
"""Relays of the installation; each joins by its own key."""
