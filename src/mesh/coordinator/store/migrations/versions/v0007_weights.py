"""What placement weighs, per network: nothing changes in the tables yet.

Touches: nothing.
"""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Change nothing."""
