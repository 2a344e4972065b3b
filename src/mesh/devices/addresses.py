"""Addresses: which of the ``ip:port`` texts that a device names may be told to another device.

A device could name a victim's address and have every member send packets there. So a public address counts only where
an observer has seen this very device at it, and private ones are told only to devices behind the same public address.

Touches: nothing.
"""

import ipaddress
from collections.abc import Sequence

ADDRESSES_MAX = 8
"""Enough for two interfaces with both families and a virtual one; bounds what a dial probes."""

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def tellable(
    addresses: Sequence[str], attested: Sequence[str], source: str | None, asker: str | None
) -> tuple[str, ...]:
    """Which addresses of a device whose home is ``source`` a device whose home is ``asker`` may learn.

    ``attested``: what observers have seen it at. Homes are IP texts, as ``home`` gives them.
    """
    near = _near(_ip(source), _ip(asker))
    seen = [address for address in attested if _is_public(address) or (near and _is_private(address))]
    private = [address for address in addresses if near and _is_private(address)]
    return tuple(dict.fromkeys([*seen, *private]))[:ADDRESSES_MAX]


def in_lan(addresses: Sequence[str]) -> tuple[str, ...]:
    """Of a device's addresses those that lead to it from its own LAN; the same of what somebody says in the LAN.

    No public ones: whoever is in the LAN could name a victim in the world. No loopback, and nothing of IPv6 that
    needs an interface beside it.
    """
    return tuple(dict.fromkeys(address for address in addresses if _is_of_lan(address)))[:ADDRESSES_MAX]


def home(attested: Sequence[str], seen_from: str | None) -> str | None:
    """The IP address that tells which network a device is in: where observers see it, else where its link comes from.

    Behind a proxy all links come from the proxy, so that the observers' word comes first.
    """
    return _host(attested[0]) if attested else seen_from


def neighbourhood(home: str | None) -> str | None:
    """A name that devices have in common whose homes are near each other; None where nothing is known."""
    ip = _ip(home)
    if ip is None:
        return None
    return str(ip) if ip.is_global else "coordinator"


def _near(source: _Ip | None, asker: _Ip | None) -> bool:
    """Both behind one public address, or both in the coordinator's own network."""
    return source is not None and asker is not None and (source == asker or not (source.is_global or asker.is_global))


def _is_public(address: str) -> bool:
    ip = _ip(_host(address))
    return ip is not None and ip.is_global and not ip.is_multicast


def _is_private(address: str) -> bool:
    ip = _ip(_host(address))
    return ip is not None and not (ip.is_global or ip.is_multicast or ip.is_unspecified)


def _is_of_lan(address: str) -> bool:
    ip = _ip(_host(address))
    if ip is None or not address.rpartition(":")[2].isdecimal():
        return False
    return ip.is_private and not (ip.is_loopback or ip.is_reserved or (ip.version == 6 and ip.is_link_local))


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _ip(text: str | None) -> _Ip | None:
    if text is None:
        return None
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
