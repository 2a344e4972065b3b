"""People, networks and their devices.

A frozen copy of the tables as they were then; later changes are migrations of their own.

Touches: files (the database).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ID, KEY, WORD, NAME = sa.String(26), sa.String(64), sa.String(32), sa.String(63)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def col(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, nullable=False, **options)


def upgrade() -> None:
    """Create the tables, parents first."""
    _idempotency()
    _members()
    _installation()
    _networks()
    _join_tokens()
    _memberships()
    _devices()
    _relays()
    _certificates()
    _device_keys()
    _sessions()


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        col("caller", ID),
        col("key", sa.String(length=128)),
        col("body_hash", KEY),
        col("status", sa.Integer),
        col("answer", sa.Text),
        col("created_ms", WHOLE),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_ms", "idempotency", ["created_ms"])


def _members() -> None:
    op.create_table(
        "members",
        col("id", ID),
        col("name", sa.String(length=128)),
        col("created_ms", WHOLE),
        sa.Column("removed_ms", WHOLE),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
    )


def _installation() -> None:
    op.create_table(
        "installation",
        col("one", sa.Integer, autoincrement=False),
        col("coordinator_key", KEY),
        col("starts", WHOLE, server_default="0"),
        sa.Column("operator", ID),
        col("created_ms", WHOLE),
        sa.Column("claimed_ms", WHOLE),
        sa.CheckConstraint("one = 1", name="ck_installation_single_row"),
        sa.ForeignKeyConstraint(["operator"], ["members.id"], name="fk_installation_operator_members"),
        sa.PrimaryKeyConstraint("one", name="pk_installation"),
    )


def _networks() -> None:
    op.create_table(
        "networks",
        col("id", ID),
        col("name", NAME),
        col("network_key", KEY),
        col("epoch", WHOLE, server_default="1"),
        col("credit_line", WORD, server_default="friends"),
        col("fee_ppm", sa.Integer, server_default="50000"),
        col("tariff_version", sa.Integer, server_default="1"),
        col("settings", DOCUMENT, server_default=sa.text("'{}'")),
        col("created_by", ID),
        col("created_ms", WHOLE),
        sa.Column("deleted_ms", WHOLE),
        sa.CheckConstraint("credit_line in ('friends', 'strict')", name="ck_networks_credit_line"),
        sa.ForeignKeyConstraint(["created_by"], ["members.id"], name="fk_networks_created_by_members"),
        sa.PrimaryKeyConstraint("id", name="pk_networks"),
    )
    op.create_index(
        "uq_networks_name_live",
        "networks",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted_ms is null"),
        postgresql_where=sa.text("deleted_ms is null"),
    )


def _join_tokens() -> None:
    op.create_table(
        "join_tokens",
        col("id", ID),
        col("purpose", WORD),
        col("secret_hash", KEY),
        sa.Column("network", ID),
        sa.Column("role", WORD),
        sa.Column("name", sa.String(length=128)),
        col("approve", sa.Boolean, server_default=sa.text("(false)")),
        col("uses_max", sa.Integer, server_default="1"),
        col("uses_left", sa.Integer, server_default="1"),
        sa.Column("created_by", ID),
        col("created_ms", WHOLE),
        col("expires_ms", WHOLE),
        sa.Column("used_ms", WHOLE),
        sa.Column("revoked_ms", WHOLE),
        sa.CheckConstraint("purpose in ('claim', 'member', 'device', 'relay')", name="ck_join_tokens_purpose"),
        sa.CheckConstraint("uses_left >= 0", name="ck_join_tokens_uses_left"),
        sa.ForeignKeyConstraint(["created_by"], ["members.id"], name="fk_join_tokens_created_by_members"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_join_tokens_network_networks"),
        sa.PrimaryKeyConstraint("id", name="pk_join_tokens"),
        sa.UniqueConstraint("secret_hash", name="uq_join_tokens_secret_hash"),
    )
    op.create_index("ix_join_tokens_network", "join_tokens", ["network"])


def _memberships() -> None:
    op.create_table(
        "memberships",
        col("network", ID),
        col("member", ID),
        col("role", WORD),
        col("state", WORD, server_default="active"),
        sa.Column("invited_by", ID),
        sa.Column("approved_by", ID),
        sa.Column("credit_floor", WHOLE),
        col("joined_ms", WHOLE),
        sa.Column("approved_ms", WHOLE),
        sa.Column("removed_ms", WHOLE),
        sa.CheckConstraint("role in ('admin', 'member', 'guest')", name="ck_memberships_role"),
        sa.CheckConstraint("state in ('pending', 'active', 'removed')", name="ck_memberships_state"),
        sa.ForeignKeyConstraint(["approved_by"], ["members.id"], name="fk_memberships_approved_by_members"),
        sa.ForeignKeyConstraint(["invited_by"], ["members.id"], name="fk_memberships_invited_by_members"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_memberships_member_members"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_memberships_network_networks"),
        sa.PrimaryKeyConstraint("network", "member", name="pk_memberships"),
    )
    op.create_index("ix_memberships_member", "memberships", ["member"])


def _devices() -> None:
    op.create_table(
        "devices",
        col("id", ID),
        col("network", ID),
        col("owner", ID),
        col("name", NAME),
        col("state", WORD, server_default="active"),
        sa.Column("capability", DOCUMENT),
        sa.Column("token", ID),
        sa.Column("approved_by", ID),
        col("joined_ms", WHOLE),
        sa.Column("approved_ms", WHOLE),
        sa.Column("seen_ms", WHOLE),
        sa.Column("removed_ms", WHOLE),
        sa.CheckConstraint("state in ('pending', 'active', 'revoked')", name="ck_devices_state"),
        sa.ForeignKeyConstraint(["approved_by"], ["members.id"], name="fk_devices_approved_by_members"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_devices_network_networks"),
        sa.ForeignKeyConstraint(["owner"], ["members.id"], name="fk_devices_owner_members"),
        sa.ForeignKeyConstraint(["token"], ["join_tokens.id"], name="fk_devices_token_join_tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )
    op.create_index("ix_devices_owner", "devices", ["owner"])
    op.create_index(
        "uq_devices_network_name_live",
        "devices",
        ["network", "name"],
        unique=True,
        sqlite_where=sa.text("removed_ms is null"),
        postgresql_where=sa.text("removed_ms is null"),
    )


def _relays() -> None:
    op.create_table(
        "relays",
        col("id", ID),
        col("key", KEY),
        col("name", NAME),
        col("url", sa.String(length=255)),
        sa.Column("token", ID),
        col("joined_ms", WHOLE),
        sa.Column("seen_ms", WHOLE),
        sa.Column("removed_ms", WHOLE),
        sa.ForeignKeyConstraint(["token"], ["join_tokens.id"], name="fk_relays_token_join_tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_relays"),
        sa.UniqueConstraint("key", name="uq_relays_key"),
    )


def _certificates() -> None:
    op.create_table(
        "certificates",
        col("id", ID),
        col("network", ID),
        col("device", ID),
        col("key", KEY),
        col("epoch", WHOLE),
        col("signed", sa.Text),
        col("issued_ms", WHOLE),
        col("expires_ms", WHOLE),
        sa.Column("revoked_ms", WHOLE),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_certificates_device_devices"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_certificates_network_networks"),
        sa.PrimaryKeyConstraint("id", name="pk_certificates"),
    )
    op.create_index("ix_certificates_device", "certificates", ["device"])
    op.create_index("ix_certificates_network", "certificates", ["network"])


def _device_keys() -> None:
    op.create_table(
        "device_keys",
        col("device", ID),
        col("key", KEY),
        col("valid_from_ms", WHOLE),
        sa.Column("valid_to_ms", WHOLE),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_device_keys_device_devices"),
        sa.PrimaryKeyConstraint("device", "key", name="pk_device_keys"),
    )
    op.create_index("ix_device_keys_key", "device_keys", ["key"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        col("id", ID),
        col("token_hash", KEY),
        col("member", ID),
        sa.Column("device", ID),
        col("scope", WORD, server_default="full"),
        sa.Column("label", NAME),
        col("created_ms", WHOLE),
        col("expires_ms", WHOLE),
        sa.Column("revoked_ms", WHOLE),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_sessions_device_devices"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_sessions_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_member", "sessions", ["member"])
