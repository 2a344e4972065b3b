"""Calls about what waits for an admin's eye, and what they answer.

Touches: nothing.
"""

from typing import Any
from urllib.parse import quote

from mesh.ids import DeviceId, MemberId, NetworkId
from mesh.sdk.answers import Answer, Done
from mesh.sdk.calls import Call


class Item(Answer, frozen=True):
    """Something to look at, and the acts that answer it."""

    item: str
    kind: str
    device: DeviceId
    since_ms: int
    facts: dict[str, Any]
    acts: tuple[str, ...]
    owner: MemberId | None = None


class Items(Answer, frozen=True):
    """All that waits, what is most serious first."""

    items: tuple[Item, ...]


class Shown(Item, frozen=True):
    """An item with the newest spot checks of its device."""

    checks: tuple[dict[str, Any], ...] = ()


def listing(network: NetworkId) -> Call[Items]:
    """What waits for review (for admins)."""
    return Call("GET", f"/v1/networks/{network}/review", Items)


def show(network: NetworkId, item: str) -> Call[Shown]:
    """One item (for admins)."""
    return Call("GET", f"/v1/networks/{network}/review/{quote(item, safe='')}", Shown)


def decide(network: NetworkId, item: str, act: str) -> Call[Done]:
    """Answer an item by one of its acts (for admins)."""
    return Call("POST", f"/v1/networks/{network}/review", Done, {"item": item, "act": act})
