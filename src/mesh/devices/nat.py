"""What a device's router does to its packets, from what observers at different places see of it.

Touches: nothing.
"""

import ipaddress
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mesh.devices.facts import AddressClass

Nat = Literal["unknown", "near", "none", "one_observer", "same_for_all", "by_destination"]
"""``near``: the observer is in this device's own network, so its router was not asked. ``one_observer``: there is
address translation, and a single place of view cannot tell of what kind."""

_SHARED = ipaddress.ip_network("100.64.0.0/10")


class Sight(NamedTuple):
    """What one observer sees: where it stands (``host:port``), and the device's ``ip:port`` as seen from there."""

    observer: str
    address: str


def classify(text: str) -> AddressClass:
    """Where an address counts. Takes an IP, a host name, or either with a port."""
    ip = _ip(text) or _ip(_host(text))
    if ip is None:
        return "loopback" if _host(text) == "localhost" or text == "localhost" else "name"
    if ip.is_loopback:
        return "loopback"
    if ip.version == 4 and ip in _SHARED:
        return "shared"
    return "public" if ip.is_global else "private"


def nat_of(sights: Sequence[Sight], local_ips: Sequence[str]) -> Nat:
    """Which kind of address translation lies between a device with these own addresses and the observers."""
    if not sights:
        return "unknown"
    own = {ip for ip in map(_ip, local_ips) if ip is not None}
    translated = [sight for sight in sights if _ip(_host(sight.address)) not in own]
    if not translated:
        return "none" if any(classify(sight.address) == "public" for sight in sights) else "near"
    by_family: dict[int, list[Sight]] = {}
    for sight in translated:
        ip = _ip(_host(sight.address))
        by_family.setdefault(0 if ip is None else ip.version, []).append(sight)
    if any(len({sight.address for sight in family}) > 1 for family in by_family.values()):
        return "by_destination"
    # two ports of one host are one place: many routers map by the destination's address alone
    places = max(len({_host(sight.observer) for sight in family}) for family in by_family.values())
    return "same_for_all" if places > 1 else "one_observer"


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
