"""How many of a batch's lines came to what, and what they cost.

Touches: nothing.
"""

from collections import Counter


class Tally:
    """What became of a batch's lines so far. ``charge`` in micro-credits."""

    def __init__(self) -> None:
        self.ok = 0
        self.charge = 0
        self.failures: Counter[str] = Counter()
        self.devices: Counter[str] = Counter()

    @property
    def ended(self) -> int:
        """Lines with an outcome."""
        return self.ok + self.failures.total()

    def add(self, code: str, device: str, charge: int, lines: int = 1) -> None:
        """Count lines with the same end."""
        self.charge += charge
        if code:
            self.failures[code] += lines
        else:
            self.ok += lines
            self.devices[device] += lines
