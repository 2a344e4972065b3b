"""Versions of networks' policies, as their admins wrote them.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

ID = sa.String(26)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table; every network has the default policy."""
    op.create_table(
        "policies",
        sa.Column("network", ID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("note", sa.String(255), nullable=False),
        sa.Column("by", ID, nullable=False),
        sa.Column("at_ms", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_policies_network_networks"),
        sa.ForeignKeyConstraint(["by"], ["members.id"], name="fk_policies_by_members"),
        sa.PrimaryKeyConstraint("network", "version", name="pk_policies"),
    )
