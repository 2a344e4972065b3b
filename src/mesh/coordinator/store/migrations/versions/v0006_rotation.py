"""Keys that follow one another: nothing changes in the tables yet.

Touches: nothing.
"""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Change nothing."""
