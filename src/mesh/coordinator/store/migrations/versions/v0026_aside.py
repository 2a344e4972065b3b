"""Members have an account for what their balance was under the other credit line.

Touches: files (the database).
"""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Let accounts be of one more kind."""
    with op.batch_alter_table("accounts") as accounts:
        accounts.drop_constraint("ck_accounts_kind", type_="check")
        accounts.create_check_constraint(
            "ck_accounts_kind", "kind in ('balance', 'pending', 'aside', 'issue', 'verification', 'burn')"
        )
