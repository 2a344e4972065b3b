"""What an admin should look at: earnings that stand out from those of the other devices.

A signal accuses nobody: a new fast machine stands out too. It names what to look at.

Touches: nothing.
"""

from collections.abc import Mapping
from statistics import fmean, pstdev

from mesh.ids import DeviceId
from mesh.units import CREDIT

SIGMAS = 3
OTHERS_MIN = 4
"""With fewer others there is no usual to stand out from."""
AMOUNT_MIN = 10 * CREDIT
"""Below this nobody looks: not two minutes of a typical laptop."""


def standing_out(earned: Mapping[DeviceId, int]) -> tuple[DeviceId, ...]:
    """Devices that earned more than three standard deviations above the mean of all others, the most first.

    ``earned``: micro-credits of every device that worked for others in the same span. Each is compared with the rest
    alone: among few, one that is far out would otherwise hide behind its own weight.
    """
    found = []
    for device, amount in earned.items():
        others = [other for key, other in earned.items() if key != device]
        if amount >= AMOUNT_MIN and len(others) >= OTHERS_MIN and amount > fmean(others) + SIGMAS * pstdev(others):
            found.append(device)
    return tuple(sorted(found, key=lambda device: (-earned[device], device)))
