"""Tables of jobs and what is known about them: jobs, explanations, attempts, evidence, marks.

Touches: database (describes its tables).
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)
from sqlalchemy import text as sql_text

from mesh.coordinator.store.schema.columns import ID, METADATA, NAME, WHOLE, WORD, money, time_ms

_JOB = ["network", "requester", "job"]
_JOBS_JOB = ["jobs.network", "jobs.requester", "jobs.job"]

jobs = Table(
    "jobs",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("requester", ID, ForeignKey("devices.id"), primary_key=True),
    Column("job", ID, primary_key=True),
    Column("member", ID, ForeignKey("members.id"), nullable=False),
    Column("workload", NAME, nullable=False),
    Column("model", String(128), nullable=False),
    Column("sensitivity", WORD, nullable=False),
    Column("units", WHOLE, nullable=False),
    Column("max_cost", WHOLE),
    Column("own", Boolean, nullable=False, server_default=sql_text("false")),
    Column("device", ID, ForeignKey("devices.id")),
    Column("code", String(64)),
    Column("units_used", WHOLE),
    Column("report", Text),
    time_ms("created_ms"),
    time_ms("finished_ms", nullable=True),
    time_ms("cancelled_ms", nullable=True),
    Index(
        "ix_jobs_network_created_ms",
        "network",
        "created_ms",
        sqlite_where=sql_text("created_ms > 0"),
        postgresql_where=sql_text("created_ms > 0"),
    ),
    Index("ix_jobs_job", "job"),
)
"""A job's key is (network, requester's device, job id).

``own``: it ran on a device of the same owner, at price 0. ``device``, ``code`` (empty: it went well), ``units_used``
and ``report`` (its attempts, JSON) are what the requester reported, unsigned, for people to read.
"""

LISTED = jobs.c.created_ms > literal_column("0")
"""True of all jobs: said by queries that go through a network's jobs by time, and without it they find no index.

So the index is no choice for who looks for one job by its key. PostgreSQL, as long as it has no statistics, takes all
jobs of a network for one, and would read them all each time a row that refers to a job is checked.
"""

explanations = Table(
    "explanations",
    METADATA,
    Column("network", ID, primary_key=True),
    Column("requester", ID, primary_key=True),
    Column("job", ID, primary_key=True),
    Column("body", Text, nullable=False),
    time_ms("created_ms"),
    ForeignKeyConstraint(_JOB, _JOBS_JOB, ondelete="CASCADE"),
)
"""Why a job went where it went: ``protocol.values.Explanation`` as JSON text, encoded by the caller."""

attempts = Table(
    "attempts",
    METADATA,
    Column("network", ID, primary_key=True),
    Column("requester", ID, primary_key=True),
    Column("job", ID, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("permit", ID, ForeignKey("permits.id"), nullable=False),
    Column("share", ID, ForeignKey("shares.id"), nullable=False),
    Column("worker", ID, ForeignKey("devices.id"), nullable=False),
    Column("earner", ID, ForeignKey("members.id"), nullable=False),
    Column("state", WORD, nullable=False, server_default="submitted"),
    money("maximum"),
    money("pay"),
    money("fee"),
    money("owed"),
    Column("how", WORD),
    Column("units_paid", WHOLE, nullable=False, server_default="0"),
    Column("changes", Integer, nullable=False, server_default="0"),
    Column("matured", Boolean, nullable=False, server_default=sql_text("false")),
    time_ms("submitted_ms"),
    time_ms("paid_ms", nullable=True),
    time_ms("changed_ms"),
    CheckConstraint("pay >= 0 and fee >= 0 and owed >= 0", name="amounts"),
    ForeignKeyConstraint(_JOB, _JOBS_JOB),
    Index("ix_attempts_share", "share"),
    Index(
        "ix_attempts_maturing",
        "matured",
        "paid_ms",
        sqlite_where=sql_text("how = 'one_sided'"),
        postgresql_where=sql_text("how = 'one_sided'"),
    ),
    Index(
        "ix_attempts_pending",
        "worker",
        "paid_ms",
        sqlite_where=sql_text("matured = 0 and pay > 0"),
        postgresql_where=sql_text("not matured and pay > 0"),
    ),
)
"""One try on one worker. ``pay`` is what stands now (0 after a reversal), ``how`` says on which evidence.
``matured``: what it brought is its earner's to spend."""

evidence = Table(
    "evidence",
    METADATA,
    Column("network", ID, primary_key=True),
    Column("requester", ID, primary_key=True),
    Column("job", ID, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", ID, primary_key=True),
    Column("kind", WORD, primary_key=True),
    Column("permit", ID, ForeignKey("permits.id"), nullable=False),
    Column("units", WHOLE, nullable=False, server_default="0"),
    Column("code", String(64)),
    Column("signed", Text, nullable=False),
    time_ms("received_ms"),
    ForeignKeyConstraint(_JOB, _JOBS_JOB),
    Index("ix_evidence_permit", "permit", "worker"),
)
"""Signed facts, at most one of each kind per attempt and worker: the first one, or for a ``count`` the highest.

A fact may come before the Submit that it belongs to: it waits here, and counts once there is an ``attempts`` row.
"""

marks = Table(
    "marks",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("device", ID, ForeignKey("devices.id"), nullable=False),
    Column("kind", WORD, nullable=False),
    Column("job", ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("other", ID, ForeignKey("members.id")),
    time_ms("made_ms"),
    time_ms("cleared_ms", nullable=True),
    Index("uq_marks_once", "network", "device", "kind", "job", "attempt", unique=True),
)
"""What counts against a device: ``double_use``, ``double_submit``, ``denied``, ``unsupported``, ``unanswered``; and
``limit``: it asked for more than its day allows (``attempt``: which day). Admins may clear it."""

checks = Table(
    "checks",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("requester", ID, ForeignKey("devices.id"), nullable=False),
    Column("job", ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", ID, ForeignKey("devices.id"), nullable=False),
    Column("owner", ID, ForeignKey("members.id"), nullable=False),
    Column("admin", Boolean, nullable=False, server_default=sql_text("false")),
    Column("weighs", Boolean, nullable=False, server_default=sql_text("false")),
    Column("state", WORD, nullable=False, server_default="asked"),
    Column("verdict", Text),
    time_ms("asked_ms"),
    time_ms("until_ms"),
    time_ms("decided_ms", nullable=True),
    time_ms("cleared_ms", nullable=True),
    CheckConstraint("state in ('asked', 'passed', 'missed', 'skipped')", name="state"),
    ForeignKeyConstraint(_JOB, _JOBS_JOB),
    UniqueConstraint("network", "requester", "job", "attempt"),
    Index("ix_checks_worker", "worker", "state"),
    Index(
        "ix_checks_asked",
        "until_ms",
        sqlite_where=sql_text("state = 'asked'"),
        postgresql_where=sql_text("state = 'asked'"),
    ),
)
"""Attempts that were drawn to be done again by their requester (``owner``: whose it is), and its signed verdict.

``skipped``: there was none in time, or the job cannot be checked. ``admin``: its owner was an admin when it was drawn;
``weighs``: a pass counts towards freeing pay. ``cleared_ms``: an admin has answered for a miss.
"""
