"""Permits, jobs, evidence and the ledger.

A frozen copy of the tables as they were then; later changes are migrations of their own.

Touches: files (the database).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

ID, KEY, WORD, NAME = sa.String(26), sa.String(64), sa.String(32), sa.String(63)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def col(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, nullable=False, **options)


def upgrade() -> None:
    """Create the tables, parents first."""
    _accounts()
    _postings()
    _tariffs()
    _entries()
    _jobs()
    _marks()
    _permits()
    _candidates()
    _evidence()
    _explanations()
    _shares()
    _attempts()


def _accounts() -> None:
    op.create_table(
        "accounts",
        col("id", ID),
        col("network", ID),
        col("kind", WORD),
        col("member", ID, server_default=sa.text("('')")),
        col("amount", WHOLE, server_default="0"),
        col("held", WHOLE, server_default="0"),
        sa.CheckConstraint("kind in ('balance', 'pending', 'issue', 'verification', 'burn')", name="ck_accounts_kind"),
        sa.CheckConstraint("held >= 0", name="ck_accounts_held"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_accounts_network_networks"),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("network", "kind", "member", name="uq_accounts_network_kind_member"),
    )


def _postings() -> None:
    op.create_table(
        "postings",
        col("id", ID),
        col("network", ID),
        col("kind", WORD),
        col("business", sa.String(length=128)),
        sa.Column("payer", ID),
        sa.Column("earner", ID),
        sa.Column("requester", ID),
        sa.Column("worker", ID),
        sa.Column("job", ID),
        sa.Column("attempt", sa.Integer),
        sa.Column("permit", ID),
        sa.Column("tariff_version", sa.Integer),
        sa.Column("units", WHOLE),
        sa.Column("price_micro", WHOLE),
        sa.Column("price_per", sa.Integer),
        sa.Column("approver", ID),
        col("posted_ms", WHOLE),
        sa.Column("sealed_number", WHOLE),
        sa.Column("sealed_hash", KEY),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_postings_network_networks"),
        sa.PrimaryKeyConstraint("id", name="pk_postings"),
        sa.UniqueConstraint("network", "business", name="uq_postings_network_business"),
    )
    op.create_index("ix_postings_job", "postings", ["job"])
    op.create_index("ix_postings_network_id", "postings", ["network", "id"])


def _tariffs() -> None:
    op.create_table(
        "tariffs",
        col("network", ID),
        col("version", sa.Integer, autoincrement=False),
        col("rates", DOCUMENT),
        sa.Column("made_by", ID),
        col("made_ms", WHOLE),
        sa.ForeignKeyConstraint(["made_by"], ["members.id"], name="fk_tariffs_made_by_members"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_tariffs_network_networks"),
        sa.PrimaryKeyConstraint("network", "version", name="pk_tariffs"),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        col("posting", ID),
        col("account", ID),
        col("amount", WHOLE, server_default="0"),
        col("rolled", sa.Boolean, server_default=sa.text("(false)")),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_entries_account_accounts"),
        sa.ForeignKeyConstraint(["posting"], ["postings.id"], name="fk_entries_posting_postings"),
        sa.PrimaryKeyConstraint("posting", "account", name="pk_entries"),
    )
    op.create_index("ix_entries_account_posting", "entries", ["account", "posting", "amount"])
    op.create_index(
        "ix_entries_unrolled",
        "entries",
        ["account"],
        sqlite_where=sa.text("rolled = 0"),
        postgresql_where=sa.text("not rolled"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        col("network", ID),
        col("requester", ID),
        col("job", ID),
        col("member", ID),
        col("workload", NAME),
        col("model", sa.String(length=128)),
        col("sensitivity", WORD),
        col("units", WHOLE),
        sa.Column("max_cost", WHOLE),
        col("own", sa.Boolean, server_default=sa.text("(false)")),
        sa.Column("device", ID),
        sa.Column("code", KEY),
        sa.Column("units_used", WHOLE),
        sa.Column("report", sa.Text),
        col("created_ms", WHOLE),
        sa.Column("finished_ms", WHOLE),
        sa.Column("cancelled_ms", WHOLE),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_jobs_device_devices"),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_jobs_member_members"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_jobs_network_networks"),
        sa.ForeignKeyConstraint(["requester"], ["devices.id"], name="fk_jobs_requester_devices"),
        sa.PrimaryKeyConstraint("network", "requester", "job", name="pk_jobs"),
    )
    op.create_index("ix_jobs_job", "jobs", ["job"])
    op.create_index("ix_jobs_network_created_ms", "jobs", ["network", "created_ms"])


def _marks() -> None:
    op.create_table(
        "marks",
        col("id", ID),
        col("network", ID),
        col("device", ID),
        col("kind", WORD),
        col("job", ID),
        col("attempt", sa.Integer),
        sa.Column("other", ID),
        col("made_ms", WHOLE),
        sa.Column("cleared_ms", WHOLE),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name="fk_marks_device_devices"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_marks_network_networks"),
        sa.ForeignKeyConstraint(["other"], ["members.id"], name="fk_marks_other_members"),
        sa.PrimaryKeyConstraint("id", name="pk_marks"),
    )
    op.create_index("uq_marks_once", "marks", ["network", "device", "kind", "job", "attempt"], unique=True)


def _permits() -> None:
    op.create_table(
        "permits",
        col("id", ID),
        col("network", ID),
        col("requester", ID),
        col("request", ID),
        col("kind", WORD, server_default="job"),
        sa.Column("job", ID),
        col("payer", ID),
        col("requester_key", KEY),
        col("role", WORD),
        col("workload", NAME),
        col("model", sa.String(length=128)),
        col("sensitivity", WORD),
        col("tariff_version", sa.Integer),
        col("price_micro", WHOLE),
        col("price_per", sa.Integer),
        col("fee_ppm", sa.Integer),
        col("hold", WHOLE, server_default="0"),
        col("epoch", WHOLE),
        col("state", WORD, server_default="open"),
        col("issued_ms", WHOLE),
        col("start_by_ms", WHOLE),
        col("finish_by_ms", WHOLE),
        sa.Column("closed_ms", WHOLE),
        sa.CheckConstraint("kind in ('job', 'series')", name="ck_permits_kind"),
        sa.CheckConstraint("state in ('open', 'closed', 'pruned')", name="ck_permits_state"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_permits_network_networks"),
        sa.ForeignKeyConstraint(["payer"], ["members.id"], name="fk_permits_payer_members"),
        sa.ForeignKeyConstraint(["requester"], ["devices.id"], name="fk_permits_requester_devices"),
        sa.PrimaryKeyConstraint("id", name="pk_permits"),
        sa.UniqueConstraint("network", "requester", "request", name="uq_permits_network_requester_request"),
    )
    op.create_index("ix_permits_finish_by_ms", "permits", ["finish_by_ms"])
    op.create_index("ix_permits_job", "permits", ["network", "requester", "job"])


def _candidates() -> None:
    op.create_table(
        "candidates",
        col("permit", ID),
        col("worker", ID),
        col("rank", sa.Integer),
        col("key", KEY),
        col("owner", ID),
        col("cap", WHOLE, server_default="0"),
        sa.Column("no_more", sa.Integer),
        sa.ForeignKeyConstraint(["owner"], ["members.id"], name="fk_candidates_owner_members"),
        sa.ForeignKeyConstraint(["permit"], ["permits.id"], name="fk_candidates_permit_permits"),
        sa.ForeignKeyConstraint(["worker"], ["devices.id"], name="fk_candidates_worker_devices"),
        sa.PrimaryKeyConstraint("permit", "worker", name="pk_candidates"),
    )


def _evidence() -> None:
    op.create_table(
        "evidence",
        col("network", ID),
        col("requester", ID),
        col("job", ID),
        col("attempt", sa.Integer, autoincrement=False),
        col("worker", ID),
        col("kind", WORD),
        col("permit", ID),
        col("units", WHOLE, server_default="0"),
        sa.Column("code", KEY),
        col("signed", sa.Text),
        col("received_ms", WHOLE),
        sa.ForeignKeyConstraint(
            ["network", "requester", "job"],
            ["jobs.network", "jobs.requester", "jobs.job"],
            name="fk_evidence_network_requester_job_jobs",
        ),
        sa.ForeignKeyConstraint(["permit"], ["permits.id"], name="fk_evidence_permit_permits"),
        sa.PrimaryKeyConstraint("network", "requester", "job", "attempt", "worker", "kind", name="pk_evidence"),
    )


def _explanations() -> None:
    op.create_table(
        "explanations",
        col("network", ID),
        col("requester", ID),
        col("job", ID),
        col("body", sa.Text),
        col("created_ms", WHOLE),
        sa.ForeignKeyConstraint(
            ["network", "requester", "job"],
            ["jobs.network", "jobs.requester", "jobs.job"],
            name="fk_explanations_network_requester_job_jobs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("network", "requester", "job", name="pk_explanations"),
    )


def _shares() -> None:
    op.create_table(
        "shares",
        col("id", ID),
        col("permit", ID),
        col("network", ID),
        col("payer", ID),
        sa.Column("worker", ID),
        col("amount", WHOLE, server_default="0"),
        col("left", WHOLE, server_default="0"),
        col("paid", WHOLE, server_default="0"),
        col("state", WORD, server_default="open"),
        sa.Column("requester_no_more", sa.Integer),
        sa.Column("end_reason", WORD),
        col("due_ms", WHOLE),
        sa.Column("ended_ms", WHOLE),
        sa.CheckConstraint("state in ('open', 'ended')", name="ck_shares_state"),
        sa.CheckConstraint('"left" >= 0', name="ck_shares_left"),
        sa.ForeignKeyConstraint(["permit"], ["permits.id"], name="fk_shares_permit_permits"),
        sa.ForeignKeyConstraint(["worker"], ["devices.id"], name="fk_shares_worker_devices"),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
    )
    op.create_index(
        "ix_shares_open",
        "shares",
        ["due_ms"],
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_shares_permit", "shares", ["permit"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        col("network", ID),
        col("requester", ID),
        col("job", ID),
        col("attempt", sa.Integer, autoincrement=False),
        col("permit", ID),
        col("share", ID),
        col("worker", ID),
        col("earner", ID),
        col("state", WORD, server_default="submitted"),
        col("maximum", WHOLE, server_default="0"),
        col("pay", WHOLE, server_default="0"),
        col("fee", WHOLE, server_default="0"),
        col("owed", WHOLE, server_default="0"),
        sa.Column("how", WORD),
        col("units_paid", WHOLE, server_default="0"),
        col("changes", sa.Integer, server_default="0"),
        col("matured", sa.Boolean, server_default=sa.text("(false)")),
        col("submitted_ms", WHOLE),
        sa.Column("paid_ms", WHOLE),
        col("changed_ms", WHOLE),
        sa.CheckConstraint("pay >= 0 and fee >= 0 and owed >= 0", name="ck_attempts_amounts"),
        sa.ForeignKeyConstraint(["earner"], ["members.id"], name="fk_attempts_earner_members"),
        sa.ForeignKeyConstraint(
            ["network", "requester", "job"],
            ["jobs.network", "jobs.requester", "jobs.job"],
            name="fk_attempts_network_requester_job_jobs",
        ),
        sa.ForeignKeyConstraint(["permit"], ["permits.id"], name="fk_attempts_permit_permits"),
        sa.ForeignKeyConstraint(["share"], ["shares.id"], name="fk_attempts_share_shares"),
        sa.ForeignKeyConstraint(["worker"], ["devices.id"], name="fk_attempts_worker_devices"),
        sa.PrimaryKeyConstraint("network", "requester", "job", "attempt", name="pk_attempts"),
    )
    op.create_index(
        "ix_attempts_maturing",
        "attempts",
        ["matured", "paid_ms"],
        sqlite_where=sa.text("how = 'one_sided'"),
        postgresql_where=sa.text("how = 'one_sided'"),
    )
    op.create_index("ix_attempts_share", "attempts", ["share"])
