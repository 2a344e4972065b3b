"""Keys that follow one another: the statements that both keys have signed.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table; keys that are there have followed nobody."""
    op.create_table(
        "successions",
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(26), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("old", sa.String(64), nullable=False),
        sa.Column("new", sa.String(64), nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
        sa.Column("at_ms", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("purpose", "subject", "number", name="pk_successions"),
        sa.CheckConstraint("purpose in ('device', 'network', 'coordinator')", name="ck_successions_purpose"),
        sa.CheckConstraint("number > 0", name="ck_successions_number"),
    )
