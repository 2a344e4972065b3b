"""What of a network people may look at again.

Touches: nothing.
"""

from typing import Literal

Topic = Literal["devices", "jobs", "people", "settings"]
