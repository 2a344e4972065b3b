"""Indexes for pages of a long ledger: by who asked, by who worked, and of the kinds that are rare.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the indexes."""
    for column in ("requester", "worker"):
        op.create_index(
            f"ix_postings_{column}",
            "postings",
            ["network", column, "id"],
            sqlite_where=sa.text(f"{column} is not null"),
            postgresql_where=sa.text(f"{column} is not null"),
        )
    op.create_index(
        "ix_postings_rare",
        "postings",
        ["network", "kind", "id"],
        sqlite_where=sa.text("kind <> 'settle'"),
        postgresql_where=sa.text("kind <> 'settle'"),
    )
