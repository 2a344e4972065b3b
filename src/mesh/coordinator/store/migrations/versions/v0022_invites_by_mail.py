"""Invites for one e-mail address, and the letters by which somebody shows that it is theirs.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

ID, KEY = sa.String(26), sa.String(64)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns and the table; what is there already is for nobody's address."""
    op.add_column("join_tokens", sa.Column("address", sa.String(255)))
    op.add_column("join_tokens", sa.Column("letter", sa.String(8)))
    op.create_table(
        "invite_letters",
        sa.Column("id", ID, nullable=False),
        sa.Column("secret_hash", KEY, nullable=False),
        sa.Column("token", ID, nullable=False),
        sa.Column("browser_hash", KEY, nullable=False),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("expires_ms", WHOLE, nullable=False),
        sa.ForeignKeyConstraint(["token"], ["join_tokens.id"], name="fk_invite_letters_token_join_tokens"),
        sa.PrimaryKeyConstraint("id", name="pk_invite_letters"),
        sa.UniqueConstraint("secret_hash", name="uq_invite_letters_secret_hash"),
    )
    op.create_index("ix_invite_letters_token", "invite_letters", ["token"])
