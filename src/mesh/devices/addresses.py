"""Addresses: which of the ``ip:port`` texts that a device names may be told to another device.

A device could name a victim's address and have every member send packets there. So a public address counts only where
the coordinator itself sees the device come from it, and private ones are told only to devices near it.

Touches: nothing.
"""

import ipaddress
from collections.abc import Sequence

ADDRESSES_MAX = 8
"""Enough for two interfaces with both families and a virtual one; bounds what a dial probes."""


def tellable(addresses: Sequence[str], *, seen_from: str | None, asker_from: str | None) -> tuple[str, ...]:
    """The addresses of a device at ``seen_from`` that a device at ``asker_from`` may learn (both: IP texts)."""
    source, asker = _ip(seen_from), _ip(asker_from)
    near = source is not None and asker is not None and (source == asker or not (source.is_global or asker.is_global))
    told = []
    for address in addresses:
        ip = _ip(_host(address))
        if ip is None or ip.is_multicast or ip.is_unspecified:
            continue
        if (ip.is_global and ip == source) or (not ip.is_global and near):
            told.append(address)
    return tuple(told[:ADDRESSES_MAX])


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _ip(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if text is None:
        return None
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
