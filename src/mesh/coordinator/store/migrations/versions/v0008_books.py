"""Books that explain and seal themselves: receipts and reasons of postings, sealed heads, day limits, decisions.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

ID, KEY, WORD = sa.String(26), sa.String(64), sa.String(32)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add columns, indices and tables; what was posted before has no receipt, and is sealed by and by."""
    op.add_column("postings", sa.Column("receipt", KEY))
    op.add_column("postings", sa.Column("reason", sa.String(200)))
    op.create_index(
        "ix_postings_unsealed",
        "postings",
        ["network", "id"],
        sqlite_where=sa.text("sealed_number is null"),
        postgresql_where=sa.text("sealed_number is null"),
    )
    op.create_index("uq_postings_sealed", "postings", ["network", "sealed_number"], unique=True)
    op.add_column("memberships", sa.Column("day_limit", WHOLE))
    op.add_column("devices", sa.Column("day_limit", WHOLE))
    op.create_index("ix_permits_issued_ms", "permits", ["network", "payer", "issued_ms"])
    op.create_table(
        "ledger_heads",
        sa.Column("network", ID, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("signed", sa.Text, nullable=False),
        sa.Column("sealed_ms", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_ledger_heads_network_networks"),
        sa.PrimaryKeyConstraint("network", name="pk_ledger_heads"),
    )
    op.create_table(
        "decisions",
        sa.Column("network", ID, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("at_ms", WHOLE, nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_decisions_network_networks"),
        sa.PrimaryKeyConstraint("network", "number", name="pk_decisions"),
    )
