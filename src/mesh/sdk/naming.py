"""Which device is meant: people type an id, or a name where only one device has it.

Touches: nothing.
"""

from collections.abc import Iterable
from typing import Protocol

from mesh.errors import MeshError
from mesh.ids import DeviceId


class UnknownDevice(MeshError):
    """There is no such device in this network, or several have that name. `mesh device list` shows names and ids."""

    code = "device.unknown"
    kind = "not_found"


class Named(Protocol):
    """Anything with a device's id and name."""

    @property
    def device(self) -> DeviceId:
        """The id."""

    @property
    def name(self) -> str:
        """The name."""


def device_named(known: Iterable[Named], text: str) -> DeviceId:
    """The id of the device that ``text`` means. Raises UnknownDevice."""
    listed = list(known)
    if any(one.device == text for one in listed):
        return DeviceId(text)
    matching = [one.device for one in listed if one.name == text]
    if len(matching) != 1:
        raise UnknownDevice
    return matching[0]
