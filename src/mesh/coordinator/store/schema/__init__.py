"""Every table, a file per noun. ``METADATA`` knows them all once this package is imported.

Touches: nothing.
"""

from mesh.coordinator.store.schema import (
    api_keys,
    deletions,
    devices,
    jobs,
    ledger,
    logins,
    networks,
    pairings,
    people,
    permits,
    requests,
    sign_in_links,
    successions,
    ways_in,
)
from mesh.coordinator.store.schema.columns import METADATA

__all__ = [
    "METADATA",
    "api_keys",
    "deletions",
    "devices",
    "jobs",
    "ledger",
    "logins",
    "networks",
    "pairings",
    "people",
    "permits",
    "requests",
    "sign_in_links",
    "successions",
    "ways_in",
]
