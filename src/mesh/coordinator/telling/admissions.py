"""Whom the relays admit: device keys and the numbers of the networks they are in.

A number means nothing to anybody but relays, who count a network's bytes by it; they get the whole list whenever they
connect.

Touches: nothing (relays are told through callables).
"""

from collections.abc import Callable

from mesh.coordinator.snapshot import Seen, Snapshot
from mesh.coordinator.store.devices import Device
from mesh.ids import DeviceKey, NetworkId
from mesh.protocol.link import Admission, Admissions

Tell = Callable[[Admissions], None]


class RelayAdmissions:
    """Follows the snapshot and tells every relay what changed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._numbers: dict[NetworkId, int] = {}
        self._relays: list[Tell] = []

    def join(self, tell: Tell) -> None:
        """A relay connected: it gets the whole list, then changes."""
        self._relays.append(tell)
        tell(self.whole())

    def leave(self, tell: Tell) -> None:
        """A relay is gone."""
        if tell in self._relays:
            self._relays.remove(tell)

    def whole(self) -> Admissions:
        """Everybody who is admitted."""
        keys: dict[DeviceKey, set[int]] = {}
        for seen in self._snapshot.everywhere():
            if seen.kept.standing == "active":
                for key in _good(seen):
                    keys.setdefault(key, set()).add(self._number(seen.kept.network))
        return Admissions(tuple(Admission(key, tuple(sorted(numbers))) for key, numbers in keys.items()), full=True)

    def changed(self, key: DeviceKey) -> None:
        """Something about a key changed: tell which networks it is in now, perhaps none."""
        numbers = {
            self._number(seen.kept.network)
            for seen in self._snapshot.everywhere()
            if key in _good(seen) and seen.kept.standing == "active"
        }
        news = Admissions((Admission(key, tuple(sorted(numbers))),))
        for tell in list(self._relays):
            tell(news)

    def device_changed(self, device: Device) -> None:
        """Something about a device changed: what becomes of each of its keys."""
        for key in (device.key, *(one.key for one in device.former)):
            self.changed(key)

    def _number(self, network: NetworkId) -> int:
        if network not in self._numbers:
            for known in sorted(self._snapshot.networks):  # ids grow with time: the same numbers at every start
                self._numbers.setdefault(known, len(self._numbers) + 1)
        return self._numbers.setdefault(network, len(self._numbers) + 1)


def _good(seen: Seen) -> list[DeviceKey]:
    """A device's key, and the earlier ones that are still good."""
    return [seen.kept.key, *(one.key for one in seen.kept.former)]
