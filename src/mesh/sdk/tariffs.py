"""A network's tariff: its versions, what a change of it would mean, and the calls for both.

Touches: nothing.
"""

from typing import Any

from mesh.ids import MemberId, NetworkId
from mesh.sdk.answers import Answer
from mesh.sdk.calls import Call
from mesh.sdk.prices import Price


class TariffVersion(Answer, frozen=True):
    """One version of a network's tariff: who published it and why (nobody: every network starts with it), and when."""

    version: int
    prices: tuple[Price, ...]
    fee_ppm: int
    since_ms: int
    note: str = ""
    by: MemberId | None = None
    name: str | None = None
    current: bool = False


class TariffVersions(Answer, frozen=True):
    """Versions of a tariff, newest first."""

    versions: tuple[TariffVersion, ...]
    cursor: str | None = None


class TariffEffect(Answer, frozen=True):
    """What a change means for one workload: a job of ``units`` costs ``after`` in place of ``before`` (None: no price).

    The ``jobs`` that were looked at cost ``charged`` together and would have cost ``would``; those who did them earned
    ``earned`` of it, and would have earned ``would_earn``.
    """

    workload: str
    units: int
    before: int | None
    after: int
    jobs: int
    charged: int
    would: int
    earned: int
    would_earn: int


class TariffTried(Answer, frozen=True):
    """What a change would mean, by the jobs since ``since_ms``; ``more``: only the newest of them were looked at."""

    base_version: int
    prices: tuple[Price, ...]
    fee_ppm: int
    fee_ppm_before: int
    since_ms: int
    effects: tuple[TariffEffect, ...]
    more: bool = False


class TariffPublished(Answer, frozen=True):
    """The version that was made."""

    version: int


def tariff(network: NetworkId, version: int | None = None) -> Call[TariffVersion]:
    """The prices in force, or an earlier version of them."""
    query = None if version is None else {"version": str(version)}
    return Call("GET", _tariff(network), TariffVersion, query=query)


def tariff_versions(network: NetworkId) -> Call[TariffVersions]:
    """The versions of a tariff, newest first."""
    return Call("GET", f"{_tariff(network)}/versions", TariffVersions)


def publish_tariff(network: NetworkId, change: dict[str, Any], base: int, note: str = "") -> Call[TariffPublished]:
    """Publish the version after ``base`` (for admins). ``change``: ``prices`` (each a workload, ``price_micro`` and,
    where the tariff does not tell, ``price_per``) and ``fee_ppm``; what is not named stays.
    """
    return Call("PUT", _tariff(network), TariffPublished, {**change, "base_version": base, "note": note})


def try_tariff(network: NetworkId, change: dict[str, Any]) -> Call[TariffTried]:
    """What a change would mean for jobs as they were (for admins); nothing is published."""
    return Call("POST", f"{_tariff(network)}/try", TariffTried, change)


def _tariff(network: NetworkId) -> str:
    return f"/v1/networks/{network}/tariff"
