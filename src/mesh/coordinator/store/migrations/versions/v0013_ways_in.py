"""Signing in by a code, a provider, an address or a passkey.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

ID = sa.String(26)
KEY = sa.String(64)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the tables and columns; sessions that there are stay unlimited, links that there are work in any browser."""
    op.add_column("sessions", sa.Column("admin_until_ms", WHOLE))
    op.add_column("sign_in_links", sa.Column("browser_hash", KEY))
    op.add_column("sign_in_links", sa.Column("address", sa.String(255)))
    _logins()
    _ways_in()


def _logins() -> None:
    op.create_table(
        "logins",
        sa.Column("id", ID, nullable=False),
        sa.Column("handle", sa.String(4), nullable=False),
        sa.Column("label", sa.String(63), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("address", sa.String(45)),
        sa.Column("secret_hash", KEY, nullable=False),
        sa.Column("commitment", KEY, nullable=False),
        sa.Column("coordinator_nonce", KEY, nullable=False),
        sa.Column("nonce", KEY),
        sa.Column("wrong", sa.Integer, nullable=False, server_default="0"),
        sa.Column("outcome", sa.String(32)),
        sa.Column("member", ID),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("expires_ms", WHOLE, nullable=False),
        sa.CheckConstraint("outcome in ('confirmed', 'refused', 'closed')", name="ck_logins_outcome"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_logins_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_logins"),
        sa.UniqueConstraint("secret_hash", name="uq_logins_secret_hash"),
    )
    op.create_index("ix_logins_handle", "logins", ["handle"])


def _ways_in() -> None:
    op.create_table(
        "identities",
        sa.Column("id", ID, nullable=False),
        sa.Column("member", ID, nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("used_ms", WHOLE),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_identities_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identities_issuer_subject"),
    )
    op.create_index("ix_identities_member", "identities", ["member"])
    op.create_table(
        "passkeys",
        sa.Column("id", ID, nullable=False),
        sa.Column("member", ID, nullable=False),
        sa.Column("credential", sa.String(1400), nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("uses", WHOLE, nullable=False, server_default="0"),
        sa.Column("label", sa.String(63), nullable=False),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("used_ms", WHOLE),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_passkeys_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_passkeys"),
        sa.UniqueConstraint("credential", name="uq_passkeys_credential"),
    )
    op.create_index("ix_passkeys_member", "passkeys", ["member"])
