"""What other weights would change: the newest placements are replayed from their records; nothing is saved.

Touches: database (through the store it is given).
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from mesh.coordinator.store import explanations, networks
from mesh.coordinator.store.connection import Store
from mesh.ids import DeviceId, JobId, MemberId, NetworkId
from mesh.jobs.replay import Replayed, replayed
from mesh.jobs.weights import Weights, changed, terms_of
from mesh.networks.membership import NotMember
from mesh.protocol.values import Explanation

REPLAYED_MAX = 50
"""Placements that are replayed: what people can look through."""
LOOKED_AT = 500
"""Jobs looked through for them: those of one series were placed once."""


class Moved(NamedTuple):
    """A placement that would go elsewhere: which job of whom, when; from where to where, and how both rank."""

    job: JobId
    requester: DeviceId
    member: MemberId
    workload: str
    created_ms: int
    found: Replayed


class Tried(NamedTuple):
    """How many placements were replayed, how many could not be told, and those that would go elsewhere."""

    weights: Weights
    replayed: int
    unknown: int
    moved: tuple[Moved, ...]


def tried(store: Store, network: NetworkId, changes: Mapping[str, float]) -> Tried:
    """Replay the newest placements with ``changes`` to the weights. Raises BadWeights, NotMember."""
    known = networks.get(store, network)
    if known is None:
        raise NotMember
    weights = changed(terms_of(known.settings).weights, changes)
    series: set[tuple[str, str]] = set()
    moved: list[Moved] = []
    looked = unknown = 0
    for row in explanations.newest(store, network, LOOKED_AT):
        body = row.body or row.of_series
        if body is None or (row.requester, row.of_series) in series:
            continue
        if row.of_series is not None:
            series.add((row.requester, row.of_series))
        record = msgspec.json.decode(body, type=Explanation)
        if record.chosen is None:
            continue
        looked += 1
        found = replayed(record, weights)
        unknown += found is None
        if found is not None and found.moved:
            about = (JobId(row.job), DeviceId(row.requester), MemberId(row.member), row.workload, row.created_ms)
            moved.append(Moved(*about, found))
        if looked == REPLAYED_MAX:
            break
    return Tried(weights, looked - unknown, unknown, tuple(moved))
