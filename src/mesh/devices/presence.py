"""Presence: what a device's beats and their absence mean.

Presence is soft: it is kept in memory and bounded by time, never by a promise. A device that is connected but does not
answer is found by the requester's deadlines, not here.

Touches: nothing.
"""

from mesh.protocol.values import DeviceState

OFFLINE_AFTER_S = 20.0
"""Three beats may be lost and the fourth be late: after that a device is offline."""
RESTART_GRACE_S = 30.0
"""After a restart of the coordinator, devices that were here stay eligible so long: the longest reconnect back-off."""


def seen_state(
    reported: DeviceState, *, last_beat_ms: int | None, now_ms: int, started_ms: int, linked: bool
) -> DeviceState:
    """What a device counts as now, from the state in its last beat.

    ``last_beat_ms`` may be from before the coordinator started at ``started_ms``: such a device has the grace of
    ``RESTART_GRACE_S`` if that beat was fresh when the coordinator went away, which nobody recorded; the grace is
    short enough to believe it. A link that closed makes a device offline at once, unless it closed with the
    coordinator.
    """
    if last_beat_ms is None or reported in ("pending", "revoked"):
        return reported if reported in ("pending", "revoked") else "offline"
    if last_beat_ms < started_ms:
        fresh = now_ms - started_ms <= RESTART_GRACE_S * 1000
    else:
        fresh = linked and now_ms - last_beat_ms <= OFFLINE_AFTER_S * 1000
    return reported if fresh else "offline"


def has_left(leaves_after_s: int | None, *, last_here_ms: int, now_ms: int, linked: bool) -> bool:
    """Whether an ephemeral device was away so long that it is removed by itself; others never are (None)."""
    return leaves_after_s is not None and not linked and now_ms - last_here_ms > leaves_after_s * 1000
