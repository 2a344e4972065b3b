"""API keys.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"

ID = sa.String(26)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table; no key is there yet."""
    op.create_table(
        "api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("network", ID, nullable=False),
        sa.Column("member", ID, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON().with_variant(JSONB, "postgresql"), nullable=False),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("expires_ms", WHOLE, nullable=False),
        sa.Column("used_ms", WHOLE),
        sa.Column("revoked_ms", WHOLE),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_api_keys_network_networks"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_api_keys_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("token_hash", name="uq_api_keys_token_hash"),
    )
    op.create_index("ix_api_keys_network_member", "api_keys", ["network", "member"])
