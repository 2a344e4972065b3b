"""Units that numbers are in: micro-credits, bytes, seconds.

Money is a whole number of micro-credits everywhere; only people's text shows credits.

Touches: nothing.
"""

from typing import NewType

MicroCredits = NewType("MicroCredits", int)
"""A millionth of a credit."""

CREDIT = 1_000_000
"""Micro-credits in one credit."""

MICRO_LIMIT = 2**53 - 1
"""The largest amount of any money column: what JSON readers in browsers hold exactly."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


def credits_text(micro: int) -> str:
    """Write micro-credits as credits for people: ``-1234500`` → ``-1.2345``, ``2000000`` → ``2``."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), CREDIT)
    return f"{sign}{whole}" if part == 0 else f"{sign}{whole}.{part:06d}".rstrip("0")


def ceil_div(amount: int, by: int) -> int:
    """Divide integers, rounding up (towards plus infinity)."""
    return -(-amount // by)
