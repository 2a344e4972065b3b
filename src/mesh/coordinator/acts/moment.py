"""When an act happens, and the ids it may give out: time and randomness come in as facts.

Touches: nothing.
"""

from collections.abc import Callable
from typing import NamedTuple


class Moment(NamedTuple):
    """The coordinator's clock in milliseconds since 1970 UTC, and a source of new ULIDs."""

    now_ms: int
    new_id: Callable[[], str]
