"""Choosing: what the coordinator knows now, given to the rules of placement. Nothing is granted and nothing is kept.

Touches: database (reads, through ``parts``), randomness (through ``parts``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.store import permits
from mesh.credits.tariff import Rate
from mesh.ids import DeviceId, MemberId, RequestId
from mesh.jobs.facts import Ask, DeviceFacts
from mesh.jobs.placement import Placement, place
from mesh.protocol.link import PathSeen
from mesh.protocol.values import PATHS_MAX, JobSpec

_DRAW_BYTES = 8


class Wanted(NamedTuple):
    """A job to be placed, and the request that asks. ``available``: the payer's free credits where they are short.

    ``apart``: owners whose work the asker denied too often. ``price``: the network's; None where it has none, and only
    one's own devices can do it.
    """

    request: RequestId
    spec: JobSpec
    price: Rate | None
    tried: Sequence[DeviceId] = ()
    paths: Sequence[PathSeen] = ()
    available: int | None = None
    apart: frozenset[MemberId] = frozenset()


async def choose(parts: Parts, asker: Seen, wanted: Wanted) -> Placement:
    """Rank the devices of the asker's network for a job, by the network's own terms."""
    snapshot, kept, spec = parts.snapshot, asker.kept, wanted.spec
    terms, price = snapshot.terms(kept.network), wanted.price
    left = None
    if terms.permits_per_member is not None:
        payer = snapshot.payer(kept.network, kept.owner)
        left = terms.permits_per_member - await parts.database.read(
            permits.open_of, kept.network, payer, wanted.request
        )
    now_ms = parts.now_ms()
    ask = Ask(
        spec=spec,
        member=kept.owner,
        role=snapshot.role(kept.network, kept.owner) or "guest",
        device=kept.id,
        cost=None if price is None else price.cost(spec.units),
        available=wanted.available,
        home=asker.home,
        tried=frozenset(wanted.tried),
        permits_left=left,
        now_ms=now_ms,
        policy=snapshot.policy(kept.network),
        apart=wanted.apart,
    )
    measured = {path.device: path for path in wanted.paths[:PATHS_MAX]}
    facts = [_measured(one, measured) for one in snapshot.facts(kept.network, now_ms)]
    return place(ask, facts, weights=terms.weights, draw=int.from_bytes(parts.random_bytes(_DRAW_BYTES)))


def _measured(facts: DeviceFacts, measured: Mapping[DeviceId, PathSeen]) -> DeviceFacts:
    path = measured.get(facts.device)
    if path is None:
        return facts
    rtt_s = None if path.rtt_ms is None else max(0.0, path.rtt_ms) / 1000
    rate_bytes_s = path.rate_bytes_s if path.rate_bytes_s and path.rate_bytes_s > 0 else None
    return facts._replace(rtt_s=rtt_s, rate_bytes_s=rate_bytes_s)
