"""Machines that join by a code which a member confirms.

For a while the step 0005 made this table, and one that nothing uses: files from then have both, files from before or
after have neither. All are alike from here on.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

ID = sa.String(26)
KEY = sa.String(64)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the table where it is not there; no machine waits yet."""
    known = sa.inspect(op.get_bind())
    if known.has_table("device_starts"):
        op.drop_table("device_starts")
    if known.has_table("pairings"):
        return
    op.create_table(
        "pairings",
        sa.Column("id", ID, nullable=False),
        sa.Column("handle", sa.String(4), nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("machine", sa.String(80), nullable=False),
        sa.Column("address", sa.String(45)),
        sa.Column("secret_hash", KEY, nullable=False),
        sa.Column("commitment", KEY, nullable=False),
        sa.Column("coordinator_nonce", KEY, nullable=False),
        sa.Column("nonce", KEY),
        sa.Column("wrong", sa.Integer, nullable=False, server_default="0"),
        sa.Column("outcome", sa.String(32)),
        sa.Column("token", ID),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("expires_ms", WHOLE, nullable=False),
        sa.CheckConstraint("outcome in ('confirmed', 'refused', 'closed', 'withdrawn')", name="ck_pairings_outcome"),
        sa.ForeignKeyConstraint(["token"], ["join_tokens.id"], name="fk_pairings_token_join_tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_pairings"),
        sa.UniqueConstraint("secret_hash", name="uq_pairings_secret_hash"),
    )
    op.create_index("ix_pairings_handle", "pairings", ["handle"])
    op.create_index("ix_pairings_token", "pairings", ["token"])
