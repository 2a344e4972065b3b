"""Permits for a series of jobs: nothing changes in the tables yet.

Touches: nothing.
"""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change nothing."""
