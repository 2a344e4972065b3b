"""When a grant holds: hours of the day and days of the week, in UTC, as minutes of the week from Monday.

Touches: nothing.
"""

import re

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_MINUTE_MS = 60_000
_EPOCH_DAY = 3
"""1 January 1970 was a Thursday."""
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_HOURS = re.compile(f"{_TIME}-{_TIME}")
_MOMENT = re.compile(f"({'|'.join(DAYS)}) {_TIME}")

Hours = tuple[int, int]
"""From and until, in minutes of the day; until before from: over midnight. The same: the whole day."""


def hours_of(text: str) -> Hours | None:
    """Read ``22:00-08:00``; None for what is none."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])


def moment_of(text: str) -> int | None:
    """Minute of the week of ``mon 22:30``; None for what is none."""
    match = _MOMENT.fullmatch(text.strip().lower())
    if match is None:
        return None
    return DAYS.index(match[1]) * DAY_MINUTES + int(match[2]) * 60 + int(match[3])


def moment_text(minute: int) -> str:
    """A minute of the week as ``mon 22:30``."""
    day, at = divmod(minute, DAY_MINUTES)
    return f"{DAYS[day]} {at // 60:02}:{at % 60:02}"


def minute_of_week(time_ms: int) -> int:
    """Minute of the week, from Monday 00:00 UTC, of a time since 1970."""
    return (time_ms // _MINUTE_MS + _EPOCH_DAY * DAY_MINUTES) % WEEK_MINUTES


def within(minute: int, hours: tuple[Hours, ...], days: tuple[str, ...]) -> bool:
    """Whether a minute of the week is in one of the hours, on one of the days (none: always).

    Hours over midnight belong to the day on which they began.
    """
    day, at = divmod(minute, DAY_MINUTES)
    if not hours:
        return not days or DAYS[day] in days
    for begin, end in hours:
        if begin < end:
            inside, began = begin <= at < end, day
        else:  # over midnight, or the whole day
            inside, began = at >= begin or at < end, day if at >= begin else (day - 1) % 7
        if inside and (not days or DAYS[began] in days):
            return True
    return False
