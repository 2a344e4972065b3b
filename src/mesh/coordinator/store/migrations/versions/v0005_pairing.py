"""Devices that join by a code which a person confirms: nothing changes in the tables yet.

Touches: nothing.
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change nothing."""
