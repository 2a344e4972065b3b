"""Backlog: seconds of work that wait on a device, as seen from afar.

What a device reported or was promised drains at one second per second; a beat replaces it. Without the draining a
device that just beat looks empty beside all others and gets everything (scheduling measured 20 times the latency).

Touches: nothing.
"""

from typing import NamedTuple

from mesh.protocol.values import Load


class Backlog(NamedTuple):
    """``work_s`` seconds of work were waiting at ``at_ms``."""

    work_s: float = 0.0
    at_ms: int = 0


def waiting_s(backlog: Backlog, now_ms: int) -> float:
    """Seconds of work that still wait at ``now_ms``; never below 0."""
    return max(0.0, backlog.work_s - max(0, now_ms - backlog.at_ms) / 1000)


def on_beat(load: Load, now_ms: int) -> Backlog:
    """A beat replaces what was believed: it has seen the promised jobs that arrived."""
    return Backlog(max(0.0, load.work_s), now_ms)


def on_permit(backlog: Backlog, service_s: float, now_ms: int) -> Backlog:
    """A job of ``service_s`` seconds was promised to the device."""
    return Backlog(waiting_s(backlog, now_ms) + service_s, now_ms)
