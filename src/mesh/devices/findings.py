"""What a check found: a stable code, a level, plain words, and the next step.

Touches: nothing.
"""

from typing import Literal

import msgspec

Level = Literal["ok", "note", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that a check found. ``next`` is empty where nothing is to be done."""

    code: str
    level: Level
    text: str
    next: str = ""


def ms(value: float) -> str:
    """Milliseconds in words."""
    return f"{value:.0f} ms" if value >= 1 else "under 1 ms"


def span(seconds: float) -> str:
    """A time span in words, in its largest unit."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{int(seconds)} s"
