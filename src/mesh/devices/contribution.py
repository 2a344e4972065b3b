"""Contribution: whether a device works for people other than its owner right now, by the terms its owner set on it.

The device judges itself and says the outcome in its beats, as a code; the coordinator names the gate by it. The owner's
own jobs ask none of this.

Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.protocol.values import Capability, Condition
from mesh.units import HOUR, MINUTE

BATTERY_MIN = 0.5
"""Below half a battery a device that is off its charger keeps it for its owner."""
THERMAL_HEADROOM_MIN = 0.1
"""Below a tenth of its headroom a device is about to slow down by itself."""
IDLE_AGAIN = 0.8
"""Once in use, a device counts as idle again below this share of the threshold: it must not change each second."""
MINUTES_A_DAY = 24 * 60
JOBS_MAX = 256
"""More jobs of others than the queue holds are no limit."""

REASONS: Mapping[str, str] = {
    "": "its owner has contribution switched off",
    "off": "its owner has contribution switched off",
    "hours": "outside the hours that its owner set",
    "use": "its owner uses it",
    "heat": "too hot",
    "charger": "off its charger",
    "battery": "its battery is low",
}
"""Code in a beat → words for people elsewhere; a newer device may know further codes."""
RETRY_S: Mapping[str, float] = {"off": HOUR, "use": 30.0, "heat": MINUTE, "charger": 5 * MINUTE, "battery": 10 * MINUTE}
"""When it is worth to ask again: how fast each of these usually changes."""


class BadTerms(MeshError):
    """These terms cannot be: shares are between 0 and 100 %, hours are written 22:00-08:00, jobs are 1 to 256."""

    code = "contribution.bad_terms"
    kind = "invalid"


class Hours(msgspec.Struct, frozen=True):
    """A span of the day in the device's own time, in minutes since midnight; it may go over midnight."""

    start: int
    end: int

    def holds(self, minute: int) -> bool:
        """Whether a minute of the day is in it; the same start and end are the whole day."""
        if self.start == self.end:
            return True
        return (minute - self.start) % MINUTES_A_DAY < (self.end - self.start) % MINUTES_A_DAY

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device's owner lets others have of it. Shares are 0..1.

    ``idle_below``: only while all but Mesh uses less than this of the processors, and of the GPUs (None: whatever its
    owner does). ``share``: of the engines' lanes; ``jobs_max``: jobs at once (None: no further limit).
    ``battery_min``: off its charger, only above this. ``headroom_min``: of the way from warm to too hot.
    """

    on: bool = True
    hours: tuple[Hours, ...] = ()
    idle_below: float | None = None
    share: float = 1.0
    jobs_max: int | None = None
    battery_min: float = BATTERY_MIN
    headroom_min: float = THERMAL_HEADROOM_MIN


DEFAULT_TERMS = Terms()


class Contribution(NamedTuple):
    """Whether, and if not: why not, in words made of codes and numbers, the code, and when to ask again (seconds)."""

    willing: bool
    reason: str = ""
    code: str = ""
    retry_after_s: float = 0.0


def contributes(capability: Capability, condition: Condition) -> Contribution:
    """Whether a device takes other people's jobs, as anybody can tell from its beat."""
    if not condition.contributes:
        return _no(condition.limit, REASONS.get(condition.limit, "its owner's limits"))
    return _machine(DEFAULT_TERMS if capability.phone else _OPEN, capability, condition)


def willing(
    terms: Terms, capability: Capability, condition: Condition, *, minute: int, before: str = ""
) -> Contribution:
    """Whether a device takes other people's jobs by its owner's terms: what the device itself decides.

    ``minute`` of its own day; ``before``: the code of the last answer, so that the border of idleness has two sides.
    """
    if not terms.on:
        return _no("off", "contribution is switched off")
    if terms.hours and not any(hours.holds(minute) for hours in terms.hours):
        words = ", ".join(str(hours) for hours in terms.hours)
        return _no("hours", f"it is {_clock(minute)}, outside {words}", _until(terms.hours, minute) * MINUTE)
    barred = _machine(terms, capability, condition)
    if not barred.willing or terms.idle_below is None:
        return barred
    border = terms.idle_below * (IDLE_AGAIN if before == "use" else 1.0)
    for name, busy in (("processors", condition.cpu_busy), ("GPUs", condition.gpu_busy)):
        if busy is not None and busy >= border:
            return _no("use", f"other programs use {busy:.0%} of its {name}; it is idle below {border:.0%}")
    return Contribution(True)


def check(terms: Terms) -> Terms:
    """The terms, if they can be. Raises BadTerms."""
    shares = (terms.share, terms.battery_min, terms.headroom_min, 1.0 if terms.idle_below is None else terms.idle_below)
    minutes = [minute for hours in terms.hours for minute in (hours.start, hours.end)]
    sound = (
        all(0 <= share <= 1 for share in shares)
        and terms.share > 0
        and all(0 <= minute < MINUTES_A_DAY for minute in minutes)
        and (terms.jobs_max is None or 1 <= terms.jobs_max <= JOBS_MAX)
    )
    if not sound:
        raise BadTerms
    return terms


def hours_of(text: str) -> Hours:
    """Read hours like ``22:00-08:00``. Raises BadTerms."""
    start, _, end = text.strip().partition("-")
    return Hours(_minute(start), _minute(end))


_OPEN = Terms(battery_min=0.0)
"""What is plain to everybody about a device that says it contributes: a laptop's owner decides about its battery."""


def _machine(terms: Terms, capability: Capability, condition: Condition) -> Contribution:
    """Heat and power: what no owner's switch changes."""
    headroom, battery = condition.thermal_headroom, condition.battery
    if headroom is not None and headroom < terms.headroom_min:
        return _no("heat", f"too hot (headroom {headroom:.2f}, needs {terms.headroom_min:g})")
    if capability.phone and not condition.plugged_in:
        return _no("charger", "a phone off its charger")
    on_battery = capability.phone or condition.plugged_in is False
    if on_battery and battery is not None and battery < terms.battery_min:
        return _no("battery", f"battery at {battery:.0%}, needs {terms.battery_min:.0%}")
    return Contribution(True)


def _no(code: str, reason: str, retry_after_s: float | None = None) -> Contribution:
    return Contribution(False, reason, code, RETRY_S.get(code, MINUTE) if retry_after_s is None else retry_after_s)


def _until(hours: Sequence[Hours], minute: int) -> int:
    """Minutes until the next of these hours begins."""
    return min((one.start - minute) % MINUTES_A_DAY for one in hours)


def _minute(text: str) -> int:
    hour, _, minute = text.strip().partition(":")
    if not (hour.isdecimal() and len(hour) <= 2 and (minute.isdecimal() and len(minute) == 2)):
        raise BadTerms
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > MINUTES_A_DAY:
        raise BadTerms
    return found % MINUTES_A_DAY


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
