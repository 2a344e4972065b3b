"""Accounts that their people want deleted, and where a log of decisions begins whose old end was forgotten.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

ID, KEY = sa.String(26), sa.String(64)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables; nobody has asked yet, and every log begins with its first line."""
    op.create_table(
        "deletions",
        sa.Column("member", ID, nullable=False),
        sa.Column("receipt_hash", KEY, nullable=False),
        sa.Column("asked_ms", WHOLE, nullable=False),
        sa.Column("due_ms", WHOLE, nullable=False),
        sa.Column("closed_ms", WHOLE),
        sa.Column("done_ms", WHOLE),
        sa.Column("report", sa.Text),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_deletions_member_members"),
        sa.PrimaryKeyConstraint("member", name="pk_deletions"),
        sa.UniqueConstraint("receipt_hash", name="uq_deletions_receipt_hash"),
    )
    op.create_table(
        "decision_starts",
        sa.Column("network", ID, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_decision_starts_network_networks"),
        sa.PrimaryKeyConstraint("network", name="pk_decision_starts"),
    )
