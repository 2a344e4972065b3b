"""What the entries of each hour sum to, so that balances and charts of a long ledger are quick.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0017"

ID, WORD = sa.String(26), sa.String(32)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table, and sum up what is sealed by now."""
    op.create_table(
        "ledger_hours",
        sa.Column("account", ID, nullable=False),
        sa.Column("hour", WHOLE, nullable=False, autoincrement=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("requester", ID, nullable=False),
        sa.Column("worker", ID, nullable=False),
        *(sa.Column(name, WHOLE, nullable=False, server_default="0") for name in ("amount", "earned", "spent")),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_ledger_hours_account_accounts"),
        sa.PrimaryKeyConstraint("account", "hour", "kind", "requester", "worker", name="pk_ledger_hours"),
    )
    op.execute(
        sa.text(
            "insert into ledger_hours (account, hour, kind, requester, worker, amount, earned, spent) "
            "select e.account, p.posted_ms / 3600000, p.kind, coalesce(p.requester, ''), coalesce(p.worker, ''), "
            "sum(e.amount), sum(case when a.member = p.earner then e.amount else 0 end), "
            "sum(case when a.member = p.payer then e.amount else 0 end) "
            "from postings p join entries e on e.posting = p.id join accounts a on a.id = e.account "
            "where p.sealed_number is not null "
            "group by e.account, p.posted_ms / 3600000, p.kind, coalesce(p.requester, ''), coalesce(p.worker, '')"
        )
    )
    op.create_index("ix_ledger_hours_amount", "ledger_hours", ["account", "hour", "amount"])
