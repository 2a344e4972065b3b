"""Contribution: whether a device works for people other than its owner right now.

Touches: nothing.
"""

from typing import NamedTuple

from mesh.protocol.values import Capability, Condition

PHONE_BATTERY_MIN = 0.5
"""A phone below half a battery keeps it for its owner."""
THERMAL_HEADROOM_MIN = 0.1
"""Below a tenth of its headroom a device is about to slow down by itself."""


class Contribution(NamedTuple):
    """Whether, and if not, why not (words made of codes and numbers)."""

    willing: bool
    reason: str = ""


def contributes(capability: Capability, condition: Condition) -> Contribution:
    """Whether a device takes other people's jobs. Owners' own jobs do not ask this."""
    if not condition.contributes:
        return Contribution(False, "its owner has contribution switched off")
    headroom = condition.thermal_headroom
    if headroom is not None and headroom < THERMAL_HEADROOM_MIN:
        return Contribution(False, f"too hot (headroom {headroom:.2f}, needs {THERMAL_HEADROOM_MIN})")
    if capability.phone:
        if not condition.plugged_in:
            return Contribution(False, "a phone off its charger")
        if (condition.battery if condition.battery is not None else 1.0) < PHONE_BATTERY_MIN:
            return Contribution(False, f"battery below {PHONE_BATTERY_MIN:.0%}")
    return Contribution(True)
