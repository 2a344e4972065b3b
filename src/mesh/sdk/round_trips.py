"""How far devices are from each other, as the coordinator tells it.

Touches: nothing.
"""

import msgspec

from mesh.ids import DeviceId


class RoundTrip(msgspec.Struct, frozen=True):
    """A round trip to another ``device``, as one of the two measured it last, and when the coordinator heard of it."""

    device: DeviceId
    rtt_ms: float
    at_ms: int
