"""Links by which a person signs in on a further machine.

Touches: files (the database).
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

ID = sa.String(26)
WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table; no link is there yet."""
    op.create_table(
        "sign_in_links",
        sa.Column("id", ID, nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("member", ID, nullable=False),
        sa.Column("created_ms", WHOLE, nullable=False),
        sa.Column("expires_ms", WHOLE, nullable=False),
        sa.Column("used_ms", WHOLE),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name="fk_sign_in_links_member_members"),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_links"),
        sa.UniqueConstraint("secret_hash", name="uq_sign_in_links_secret_hash"),
    )
    op.create_index("ix_sign_in_links_member", "sign_in_links", ["member"])
