"""Permits for a series of jobs: why it goes where it goes, and the way from a permit to the facts under it.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column and the index; permits that are there are all for one job."""
    op.add_column("permits", sa.Column("explanation", sa.Text))
    op.create_index("ix_evidence_permit", "evidence", ["permit", "worker"])
