"""Auth keys that tag devices or let them go by themselves; which start of which home a device speaks from.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add the columns; what is there already has no tags, stays, and may say its first start."""
    for table in ("devices", "join_tokens"):
        op.add_column(table, sa.Column("tags", DOCUMENT, nullable=False, server_default=sa.text("'[]'")))
        op.add_column(table, sa.Column("leaves_after_s", sa.Integer))
    op.add_column("devices", sa.Column("installation", WHOLE, nullable=False, server_default=sa.text("0")))
    op.add_column("devices", sa.Column("start", sa.String(32), nullable=False, server_default=sa.text("('')")))
    op.add_column("devices", sa.Column("held", sa.String(32)))
