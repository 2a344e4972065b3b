"""Who knocks at this device without being a member's: turned away before a byte is read, and counted in the log.

Touches: the clock, the log.
"""

import time
from collections.abc import Callable

import structlog

from mesh.ids import DeviceKey

TELL_EVERY_S = 60.0
"""A flood of strangers is a line a minute, not a flood of lines."""

log = structlog.get_logger()


class Strangers:
    """Stands before the transport and lets in members' devices."""

    def __init__(self, known: Callable[[DeviceKey], bool], now_s: Callable[[], float] = time.monotonic) -> None:
        """``known``: whether a key is a member's device, now."""
        self._known = known
        self._now_s = now_s
        self._count = 0
        self._told_s = -TELL_EVERY_S

    def admits(self, key: DeviceKey) -> bool:
        """Whether to let a peer in whose key was just proven."""
        if self._known(key):
            return True
        self._count += 1
        now_s = self._now_s()
        if now_s - self._told_s >= TELL_EVERY_S:
            log.info("peer.refused", reason="unknown_key", count=self._count)
            self._told_s, self._count = now_s, 0
        return False
