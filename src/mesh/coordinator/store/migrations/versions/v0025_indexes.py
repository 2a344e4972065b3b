"""Indexes by time that PostgreSQL cannot take for indexes by key, as it did as long as it had no statistics.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"


def upgrade() -> None:
    """Make them anew."""
    op.drop_index("ix_jobs_network_created_ms", "jobs")
    always = sa.text("created_ms > 0")
    op.create_index(
        "ix_jobs_network_created_ms", "jobs", ["network", "created_ms"], sqlite_where=always, postgresql_where=always
    )
    op.drop_index("ix_permits_job", "permits")
    op.create_index("ix_permits_job", "permits", ["job", "requester", "network"])
    op.drop_index("ix_permits_issued_ms", "permits")
    op.create_index("ix_permits_payer_network_issued_ms", "permits", ["payer", "network", "issued_ms"])
