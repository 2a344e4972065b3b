"""Spot checks: what was drawn and what came of it, devices in quarantine, people an admin vouches for.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"

ID, WORD = sa.String(26), sa.String(32)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add columns, an index and a table; nobody was checked before, and no admin vouches for anybody yet."""
    op.add_column("devices", sa.Column("streak", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.add_column("devices", sa.Column("quarantined_ms", WHOLE))
    op.add_column("memberships", sa.Column("trusted", sa.Boolean, nullable=False, server_default=sa.text("(false)")))
    op.create_index(
        "ix_attempts_pending",
        "attempts",
        ["worker", "paid_ms"],
        sqlite_where=sa.text("matured = 0 and pay > 0"),
        postgresql_where=sa.text("not matured and pay > 0"),
    )
    op.create_table(
        "checks",
        sa.Column("id", ID, nullable=False),
        sa.Column("network", ID, nullable=False),
        sa.Column("requester", ID, nullable=False),
        sa.Column("job", ID, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False, server_default=sa.text("(false)")),
        sa.Column("weighs", sa.Boolean, nullable=False, server_default=sa.text("(false)")),
        sa.Column("state", WORD, nullable=False, server_default="asked"),
        sa.Column("verdict", sa.Text),
        sa.Column("asked_ms", WHOLE, nullable=False),
        sa.Column("until_ms", WHOLE, nullable=False),
        sa.Column("decided_ms", WHOLE),
        sa.Column("cleared_ms", WHOLE),
        sa.CheckConstraint("state in ('asked', 'passed', 'missed', 'skipped')", name="ck_checks_state"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_checks_network_networks"),
        sa.ForeignKeyConstraint(["requester"], ["devices.id"], name="fk_checks_requester_devices"),
        sa.ForeignKeyConstraint(["worker"], ["devices.id"], name="fk_checks_worker_devices"),
        sa.ForeignKeyConstraint(["owner"], ["members.id"], name="fk_checks_owner_members"),
        sa.ForeignKeyConstraint(
            ["network", "requester", "job"],
            ["jobs.network", "jobs.requester", "jobs.job"],
            name="fk_checks_network_requester_job_jobs",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_checks"),
        sa.UniqueConstraint("network", "requester", "job", "attempt", name="uq_checks_network_requester_job_attempt"),
    )
    op.create_index("ix_checks_worker", "checks", ["worker", "state"])
    op.create_index(
        "ix_checks_asked",
        "checks",
        ["until_ms"],
        sqlite_where=sa.text("state = 'asked'"),
        postgresql_where=sa.text("state = 'asked'"),
    )
