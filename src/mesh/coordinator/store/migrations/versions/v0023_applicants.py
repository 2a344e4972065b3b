"""People who wait for an admin: for whom their invite was, which address they proved, and how their request ended.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the columns; whoever is in a network already is in it."""
    op.add_column("memberships", sa.Column("invite_name", sa.String(128)))
    op.add_column("memberships", sa.Column("address", sa.String(255)))
    op.add_column("memberships", sa.Column("ended", sa.String(32)))
    op.add_column("memberships", sa.Column("why", sa.String(255)))
