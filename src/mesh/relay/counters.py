"""What a relay counts: totals and reasons, never a key.

Touches: nothing.
"""

from collections import Counter
from typing import Any


class Counters:
    """Totals since the relay started. Bytes are those of whole frames (type byte, key, packet)."""

    def __init__(self) -> None:
        self.frames_in = 0
        self.bytes_in = 0
        self.frames_forwarded = 0
        self.bytes_forwarded = 0
        self.dropped: Counter[str] = Counter()
        """Frames that went nowhere, by reason: ``no_route`` (absent, or in no network of the sender's), ``full``,
        ``month`` (their network has had its bytes)."""
        self.closed: Counter[str] = Counter()
        """Connections that the relay ended or did not begin, by reason."""
        self.limited = 0
        """How often a client was slowed to its byte rate."""
        self.network_bytes: Counter[int] = Counter()
        """Bytes forwarded, by network number (a pair's smallest shared number)."""

    def public(self) -> dict[str, Any]:
        """What ``/healthz`` shows to anybody: no keys, and no network by itself."""
        return {
            "frames_in": self.frames_in,
            "bytes_in": self.bytes_in,
            "frames_forwarded": self.frames_forwarded,
            "bytes_forwarded": self.bytes_forwarded,
            "dropped": dict(self.dropped),
            "closed": dict(self.closed),
            "limited": self.limited,
        }
