"""The terms on which a network places jobs: what a score weighs, and how many permits one person may have open.

Touches: nothing.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.errors import MeshError

SUM_WITHIN = 1e-6
"""Weights are written in decimals; their sum is 1 within this."""


class BadWeights(MeshError):
    """The weights must be numbers from 0 to 1 by the names seconds, rtt, plugged, thermal, idle and cost; sum: 1."""

    code = "network.bad_weights"
    kind = "invalid"


class Weights(NamedTuple):
    """What the score weighs; they sum to 1. The defaults are the product's."""

    seconds: float = 0.50
    rtt: float = 0.15
    plugged: float = 0.10
    thermal: float = 0.10
    idle: float = 0.075
    cost: float = 0.075


DEFAULT_WEIGHTS = Weights()


class Terms(NamedTuple):
    """What a network has set. ``permits_per_member``: permits that one person may have open; None: no limit."""

    weights: Weights = DEFAULT_WEIGHTS
    permits_per_member: int | None = None


def terms_of(settings: Mapping[str, Any]) -> Terms:
    """The terms in a network's settings as they are kept; what is not there has its default."""
    return Terms(DEFAULT_WEIGHTS._replace(**settings.get("weights", {})), settings.get("permits_per_member"))


def changed(weights: Weights, changes: Mapping[str, float]) -> Weights:
    """``weights`` with ``changes``. Raises BadWeights unless all are known, from 0 to 1, and sum to 1."""
    unknown = sorted(set(changes) - set(Weights._fields))
    if unknown:
        raise BadWeights(f"There is no weight {unknown[0]}: they are {', '.join(Weights._fields)}.", weight=unknown[0])
    fresh = weights._replace(**changes)
    for name, weight in zip(Weights._fields, fresh, strict=True):
        if not 0 <= weight <= 1:
            raise BadWeights(f"The weight {name} must be from 0 to 1.", weight=name)
    total = math.fsum(fresh)
    if abs(total - 1) > SUM_WITHIN:
        raise BadWeights(f"The weights sum to {total:g}: they must sum to 1, so change others too.", sum=total)
    return fresh
